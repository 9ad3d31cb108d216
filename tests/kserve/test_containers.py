"""Runtime and service, storage container and initializer: one container laid over another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import build, recorded
from tests.kserve.containers import merge_containers, merge_containers_by_position, merge_runtime_container
from tests.kserve.manifests import Manifest
from tests.kserve.quantities import canonical
from tests.kserve.zero_values import without_zero_values

REFERENCE = {"secretKeyRef": {"name": "s", "key": "k"}}


def container(*env: Manifest, **fields: Any) -> Manifest:
    return {"name": "c", "env": list(env), **fields}


def test_arguments_are_put_one_after_the_other_and_the_command_is_replaced() -> None:
    runtime = container(command=["wellhead", "serve"], args=["--port=8080"])
    merged = merge_runtime_container(runtime, {"name": "", "command": ["sh"], "args": ["--port=9000"]})
    assert merged["args"] == ["--port=8080", "--port=9000"]
    assert merged["command"] == ["sh"]
    assert merged["name"] == "c", "an empty name is none"


@pytest.mark.parametrize(
    ("base", "overlay", "merged"),
    [
        ({"value": "a"}, {"valueFrom": REFERENCE}, {"valueFrom": REFERENCE}),
        ({"valueFrom": REFERENCE}, {"value": "a"}, {"value": "a"}),
        ({"value": "a"}, {"value": "b"}, {"value": "b"}),
    ],
)
def test_a_variable_keeps_one_source_the_overlays(base: Manifest, overlay: Manifest, merged: Manifest) -> None:
    result = merge_containers(container({"name": "A", **base}), container({"name": "A", **overlay}))
    assert result["env"] == [{"name": "A", **merged}]


def test_by_position_a_variable_inherits_from_the_one_that_was_at_its_place() -> None:
    merged = merge_containers_by_position(
        container({"name": "KEY", "valueFrom": REFERENCE}, {"name": "URL", "value": "u"}),
        container({"name": "MODE", "value": "m"}),
    )
    assert merged["env"] == [
        {"name": "MODE", "value": "m", "valueFrom": REFERENCE},
        {"name": "KEY", "value": "u", "valueFrom": REFERENCE},
        {"name": "URL", "value": "u"},
    ]


def test_zero_values_do_not_survive_gos_structs() -> None:
    held = without_zero_values(
        {
            "env": [{"name": "A", "value": ""}],
            "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": False}],
            "securityContext": {"privileged": False},
            "args": None,
            "tolerations": [],
        }
    )
    assert held == {
        "env": [{"name": "A"}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "securityContext": {"privileged": False},
    }


def test_an_empty_value_does_not_undo_the_runtimes() -> None:
    service = recorded.inference_service({"env": [{"name": "HOME", "value": ""}]})
    assert recorded.environment(recorded.server(build(recorded.cluster(), service).pod))["HOME"] == "/tmp/home"


def test_a_partial_set_of_resources_keeps_the_rest_of_the_runtimes() -> None:
    service = recorded.inference_service({"resources": {"requests": {"cpu": 8}}})
    pod = build(recorded.cluster(), service).pod
    assert recorded.server(pod)["resources"]["requests"] == {"cpu": "8", "memory": "32Gi"}


@pytest.mark.parametrize(
    ("given", "canonical_form"),
    [
        (4, "4"),
        ("1000m", "1"),
        (0.5, "500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("512Mi", "512Mi"),
        ("4000", "4k"),
        ("1e3", "1k"),
        ("0", "0"),
    ],
)
def test_quantities_come_back_canonical(given: object, canonical_form: str) -> None:
    assert canonical(given) == canonical_form


def test_a_quantity_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="regular expression"):
        canonical("12 GB")
