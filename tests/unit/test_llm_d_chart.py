"""The stand-in for llm-d's chart renders what the chart itself was seen to render."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.llm_d_chart import ROLES, ChartError, NotRecordedError, Values, render
from tests.unit.builders import REPOSITORY

RECORDED: list[dict[str, Any]] = yaml.safe_load((REPOSITORY / "tests/data/llm-d/rendered.yaml").read_text())
SHOWN = ("command", "args", "env", "volumeMounts")  # of a container
SHOWN_OF_POD = ("volumes", "serviceAccountName", "initContainers")


def values_of(recorded: dict[str, Any]) -> Values:
    """The values of a recording, with those that all of them had."""
    container = {
        "name": "vllm",
        "image": "wellhead-runtime:0.1.0",
        "command": ["wellhead", "serve"],
        **{name: recorded[name] for name in ("modelCommand", "mountModelVolume", "args")},
    }
    uri = recorded["modelArtifacts.uri"]
    return {
        "modelArtifacts": {"name": "team/llama", "uri": uri, "size": "20Gi", "authSecretName": "s3-creds"},
        "routing": {"proxy": {"enabled": False}},
        **{role: {"containers": [container]} for role in ROLES},
    }


def label(recorded: dict[str, Any]) -> str:
    values = recorded["values"]
    mounted = "mounted" if values["mountModelVolume"] else "not mounted"
    return " ".join([values["modelArtifacts.uri"], values["modelCommand"], mounted, *values["args"][:-1]])


def test_there_are_recordings() -> None:
    assert len({label(each) for each in RECORDED}) == len(RECORDED) == 23


@pytest.mark.parametrize("recorded", [each for each in RECORDED if "error" not in each], ids=label)
def test_pods(recorded: dict[str, Any]) -> None:
    pods = render(values_of(recorded["values"]), release="x")
    for role in ROLES:
        (container,) = pods[role]["containers"]
        shown = {name: container.get(name) for name in SHOWN} | {name: pods[role][name] for name in SHOWN_OF_POD}
        assert shown == recorded[role]
        assert container["image"] == "wellhead-runtime:0.1.0"


@pytest.mark.parametrize("recorded", [each for each in RECORDED if "error" in each], ids=label)
def test_refusals(recorded: dict[str, Any]) -> None:
    with pytest.raises(ChartError) as refused:
        render(values_of(recorded["values"]), release="x")
    assert f": {refused.value}\n" in recorded["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"multinode": True},
        {"routing": {"proxy": {"enabled": True}}},
        {"modelArtifacts": {"name": "x", "uri": "s3://x", "mountPath": "/models"}},
        {"decode": {"containers": [], "parallelism": {"tensor": 2}}},
    ],
)
def test_what_nobody_has_seen_is_not_made_up(change: dict[str, Any]) -> None:
    with pytest.raises(NotRecordedError):
        render({**values_of(RECORDED[0]["values"]), **change}, release="x")
