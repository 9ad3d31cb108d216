"""What the chart makes of values: objects, notes, or a refusal in words."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from tests.kserve.manifests import Manifest
from tests.unit.manifests import MANIFESTS, REPOSITORY, Objects

CHART = MANIFESTS / "chart" / "wellhead"
NAMESPACE = "team-a"
_NOTES = "wellhead/templates/NOTES.txt"


class RefusedValues(Exception):
    """Helm's words; nothing would reach the cluster."""


@dataclass(frozen=True)
class Rendered:
    """A release.

    Attributes:
        text: all objects, as `helm template` prints them.
        notes: what `helm install` prints at its end.
        lint: findings of `helm lint --strict`.
    """

    text: str
    notes: str
    lint: dict[str, Any]

    @property
    def objects(self) -> Objects:
        """By kind and name."""
        manifests: list[Manifest] = [each for each in yaml.safe_load_all(self.text) if each]
        found = {(each["kind"], each["metadata"]["name"]): each for each in manifests}
        assert len(found) == len(manifests), "two objects with one name"
        return found


def render(values: dict[str, Any] | None = None, namespace: str = NAMESPACE) -> Rendered:
    """A release `wellhead` in `namespace`.

    Raises:
        RefusedValues: by the schema, or by the chart's own checks.
    """
    return _render(json.dumps(values or {}), namespace)


@cache
def _render(values: str, namespace: str) -> Rendered:
    request = {"chart": str(CHART), "values": json.loads(values), "release": "wellhead", "namespace": namespace}
    answer = _ask(json.dumps(request))
    if "refused" in answer:
        raise RefusedValues(answer["refused"])
    files: dict[str, str] = answer["files"]
    notes = files.pop(_NOTES)
    full = {name: text.strip().removeprefix("---\n") for name, text in sorted(files.items()) if text.strip()}
    text = "".join(f"---\n# Source: {name}\n{body}\n" for name, body in full.items())
    return Rendered(text, notes, answer["lint"])


def _ask(request: str) -> dict[str, Any]:
    engine = _engine()
    assert engine.stdin is not None
    assert engine.stdout is not None
    print(request, file=engine.stdin, flush=True)
    line = engine.stdout.readline()
    assert line, f"Helm's engine ended; python -m tests.chart.engine shows why, given {request}"
    answer: dict[str, Any] = json.loads(line)
    return answer


@cache
def _engine() -> subprocess.Popen[str]:
    """One for all renders: starting it takes longer than any of them."""
    engine = subprocess.Popen(
        [sys.executable, "-m", "tests.chart.engine"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # Helm logs there what it also answers
        text=True,
        cwd=REPOSITORY,
    )
    atexit.register(engine.communicate, timeout=10)
    return engine
