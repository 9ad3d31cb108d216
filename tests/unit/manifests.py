"""Manifests as `kubectl kustomize` renders them: of the repository, and of kustomizations made up for a test."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

from tests.kserve.cli import read_manifests
from tests.kserve.manifests import Manifest

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "servingruntimes"
PIN = "internal.serving.kserve.io/storage-container-name"
RUNTIMES = ("wellhead-vllm", "wellhead-vllm-cpu")
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}

Objects = dict[tuple[str, str], Manifest]


def rendered(folder: Path) -> Objects:
    """The objects of a kustomization, by kind and name; one that does not render is an OSError."""
    return {(each["kind"], each["metadata"]["name"]): each for each in read_manifests(str(folder))}


@cache
def bundle(name: str) -> Objects:
    """Those of a folder under servingruntimes."""
    return rendered(MANIFESTS / name)


def overlay(
    folder: Path,
    *resources: str,
    components: tuple[str, ...] = (),
    own: tuple[Manifest, ...] = (),
    **fields: object,
) -> Objects:
    """Those of a user's kustomization in `folder`: folders under servingruntimes, and objects of the user's `own`."""
    (folder / "own.yaml").write_text(yaml.safe_dump_all(own))
    content = {
        "resources": [_relative(MANIFESTS / each, folder) for each in resources] + ["own.yaml"] * bool(own),
        "components": [_relative(MANIFESTS / "components" / each, folder) for each in components],
        **fields,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return rendered(folder)


def _relative(path: Path, start: Path) -> str:
    """kustomize takes no absolute paths."""
    up = len(start.resolve().parts) - 1
    return "../" * up + path.resolve().relative_to("/").as_posix()
