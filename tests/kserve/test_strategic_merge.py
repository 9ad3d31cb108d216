"""Kubernetes' strategic merge; kubectl, which has the real one, is asked for the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kserve.strategic_merge import merge, merge_lists

KUBECTL = Path(sys.executable).with_name("kubectl")


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", **fields}]}


def by_kubectl(original: dict[str, Any], patch: dict[str, Any], folder: Path) -> Any:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": original}
    file = folder / "pod.json"
    file.write_text(json.dumps(pod))
    command: list[str | Path] = [KUBECTL, "patch", "--local", "-f", file, "--type", "strategic"]
    command += ["-p", json.dumps({"spec": patch}), "-o", "json"]
    finished = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    spec = json.loads(finished.stdout)["spec"]
    for each in spec["containers"]:
        if each.get("resources") == {}:
            del each["resources"]
    return spec


@pytest.mark.parametrize(
    ("original", "patch"),
    [
        (container(env=variables(R1="a", HOME="b", R2="c")), container(env=variables(I1="x", HOME="y"))),
        (container(env=variables(A="1", B="2", C="3")), container(env=variables(C="4", A="5", N="6"))),
        (container(args=["--a"], command=["x"]), container(args=["--b"])),
        (
            container(volumeMounts=[{"name": "shm", "mountPath": "/dev/shm"}, {"name": "tmp", "mountPath": "/tmp"}]),
            container(volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}, {"name": "tmp", "mountPath": "/scratch"}]),
        ),
        (
            container(ports=[{"containerPort": 8080, "name": "http1", "protocol": "TCP"}]),
            container(ports=[{"containerPort": 9000, "name": "http1", "protocol": "TCP"}]),
        ),
        (
            container(resources={"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1"}}),
            container(resources={"limits": {"nvidia.com/gpu": "1", "memory": "4Gi"}}),
        ),
        (
            container(readinessProbe={"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 5}),
            container(readinessProbe={"tcpSocket": {"port": 8080}}),
        ),
        (
            container(envFrom=[{"secretRef": {"name": "a"}}]),
            container(envFrom=[{"secretRef": {"name": "b"}}]),
        ),
        (
            {**container(), "tolerations": [{"key": "a", "operator": "Exists"}], "nodeSelector": {"a": "1", "b": "1"}},
            {**container(), "tolerations": [{"key": "b", "operator": "Exists"}], "nodeSelector": {"b": "2"}},
        ),
        (
            {**container(), "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "shm", "emptyDir": {}}]},
            {**container(), "volumes": [{"name": "model", "emptyDir": {"medium": "Memory"}}]},
        ),
        ({"containers": [{"name": "a"}, {"name": "b"}]}, {"containers": [{"name": "c"}, {"name": "b", "image": "i"}]}),
    ],
    ids=["env", "order", "args", "mounts", "ports", "resources", "probe", "envFrom", "pod", "volumes", "containers"],
)
def test_kubectl_merges_alike(original: dict[str, Any], patch: dict[str, Any], tmp_path: Path) -> None:
    assert merge(original, patch) == by_kubectl(original, patch, tmp_path)


def test_what_only_the_patch_has_comes_first() -> None:
    merged = merge_lists(variables(R1="a", HOME="b"), variables(I1="x", HOME="y"), "name")
    assert [entry["name"] for entry in merged] == ["I1", "R1", "HOME"]


def test_neither_side_is_changed() -> None:
    original, patch = container(env=variables(A="1")), container(env=variables(A="2"))
    merge(original, patch)["containers"][0]["env"].append({"name": "B"})
    assert original == container(env=variables(A="1"))
    assert patch == container(env=variables(A="2"))


def test_a_null_removes_a_field() -> None:
    assert merge({"args": ["--a"], "image": "i"}, {"args": None}) == {"image": "i"}
