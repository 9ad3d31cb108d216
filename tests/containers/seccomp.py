"""The system call filter that `seccompProfile: RuntimeDefault` means, in the form runc reads.

The distribution's containers package ships the profile in the format of the container engines, where rules
depend on capabilities and architectures; a pod of ours has no capability at all.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

PROFILE = Path("/usr/share/containers/seccomp.json")
ARCHITECTURES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


def runtime_default() -> dict[str, Any] | None:
    """The profile for a container without capabilities, or nothing where the machine has none to offer."""
    if not PROFILE.exists() or platform.machine() not in ARCHITECTURES:
        return None
    profile = json.loads(PROFILE.read_text())
    short, name = ARCHITECTURES[platform.machine()]
    architectures = [name]
    for entry in profile["archMap"]:
        if entry["architecture"] == name:
            architectures += entry["subArchitectures"]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": architectures,
        "syscalls": [_rule(rule) for rule in profile["syscalls"] if _applies(rule, short)],
    }


def _applies(rule: dict[str, Any], architecture: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("caps") or architecture in excludes.get("arches", ()):
        return False
    return not includes.get("arches") or architecture in includes["arches"]


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    kept = {key: rule[key] for key in ("names", "action", "args") if rule.get(key)}
    if rule["action"] == "SCMP_ACT_ERRNO" and "errnoRet" in rule:
        kept["errnoRet"] = rule["errnoRet"]
    return kept
