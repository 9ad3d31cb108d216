"""What is stated once reaches every vLLM that KServe starts: both runtimes, decode, prefill, leaders, workers."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest

from tests.chart.rendering import render
from tests.kserve import Cluster, build, recorded
from tests.kserve.manifests import Manifest
from tests.unit.llm_services import EVERY_POD, main, mode, service
from tests.unit.manifests import RUNTIMES
from wellhead_runtime.arguments import parse_arguments

JSON = '--override-generation-config={"temperature": 0.2, "name": "it\'s"}'
VALUES: dict[str, Any] = {
    "loadFormat": "runai_streamer",
    "modelLoaderExtraConfig": {"concurrency": 16, "memory_limit": 5368709120},
    "extraArgs": ["--max-model-len=8192", JSON],
    "extraEnv": [{"name": "A", "value": "1"}],
    "llm": {"enabled": True},
}
ARGUMENTS = [
    "--load-format=runai_streamer",
    '--model-loader-extra-config={"concurrency":16,"memory_limit":5368709120}',
    "--max-model-len=8192",
    JSON,
]


def pods(values: dict[str, Any], service: Manifest) -> tuple[Manifest, ...]:
    return build(Cluster.with_stock(list(render(values).objects.values())), service).pods


def pod_of(runtime: str, values: dict[str, Any], **annotations: str) -> Manifest:
    made = recorded.annotated(recorded.inference_service({"runtime": runtime, "args": ["--own"]}), **annotations)
    (pod,) = pods(values, made)
    return pod


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_has_arguments_and_variables_before_the_services_own(runtime: str) -> None:
    server = recorded.server(pod_of(runtime, VALUES))
    fixed = ["--port=8080", "--served-model-name=llama", "--model=/mnt/models"]
    assert server["args"] == [*fixed, *ARGUMENTS, "--own"]
    assert recorded.environment(server)["A"] == "1"
    parsed = parse_arguments(server["args"])
    assert (parsed.load_format, parsed.extra_config["concurrency"]) == ("runai_streamer", 16)


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_every_pod_of_an_llm_service_has_them(shape: str, suffix: str) -> None:
    for pod in pods(VALUES, service(shape, suffix)):
        variables = recorded.environment(main(pod))
        assert shlex.split(variables["VLLM_ADDITIONAL_ARGS"]) == ARGUMENTS
        assert variables["A"] == "1"
        assert "${VLLM_ADDITIONAL_ARGS}" in main(pod)["command"][2], "what KServe's script evaluates"
        assert "VLLM_ADDITIONAL_ARGS" not in recorded.environment(recorded.initializer(pod))


def test_no_argument_means_anything_to_the_shell_that_evaluates_them() -> None:
    hostile = ["--a=it's", "--b=$HOME", "--c=`id`", '--d={"e": [1, 2]}', "--f=*", "--g=; exit 3", "--h=a\\b"]
    (pod,) = pods({"extraArgs": hostile, "llm": {"enabled": True}}, service("single node"))
    line = """eval "printf '%s\\0' ${VLLM_ADDITIONAL_ARGS}\""""
    finished = subprocess.run(
        ["/bin/bash", "-c", line],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"VLLM_ADDITIONAL_ARGS": recorded.environment(main(pod))["VLLM_ADDITIONAL_ARGS"]},
    )
    assert finished.stdout.split("\0") == [*hostile, ""]


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_a_services_own_arguments_stay_beside_them(shape: str, suffix: str) -> None:
    own = {"containers": [{"name": "main", "args": ["--own"]}]}
    (pod,) = [
        each for each in pods(VALUES, service(shape, suffix, template=own)) if main(each).get("args") == ["--own"]
    ]
    assert shlex.split(recorded.environment(main(pod))["VLLM_ADDITIONAL_ARGS"]) == ARGUMENTS


@pytest.mark.parametrize("text", ['{"concurrency": 16}', '{ "concurrency":16 }\n'])
def test_the_extra_config_may_be_json(text: str) -> None:
    as_object, as_text = ({**VALUES, "modelLoaderExtraConfig": each} for each in ({"concurrency": 16}, text))
    assert render(as_text).objects == render(as_object).objects


# The mode ---------------------------------------------------------------------------------------------------------

MODES = [
    ({}, ""),
    ({"mode": "auto"}, ""),
    ({"mode": "stream"}, "stream"),
    ({"mode": "download"}, "download"),
    ({"loadFormat": "auto"}, ""),
    ({"loadFormat": "auto", "mode": "stream"}, "stream"),
    ({"loadFormat": "runai_streamer"}, "stream"),
    ({"loadFormat": "runai_streamer", "mode": "auto"}, ""),
    ({"loadFormat": "runai_streamer", "mode": "stream"}, "stream"),
    ({"loadFormat": "safetensors"}, "download"),
    ({"loadFormat": "safetensors", "mode": "download"}, "download"),
]


@pytest.mark.parametrize(("values", "expected"), MODES)
def test_mode_and_load_format_give_one_mode(values: dict[str, Any], expected: str) -> None:
    for runtime in RUNTIMES:
        annotations = pod_of(runtime, values)["metadata"]["annotations"]
        assert annotations.get("wellhead.dev/mode", "") == expected
    for pod in pods({**values, "llm": {"enabled": True}}, service("multi-node prefill and decode")):
        assert mode(pod) == expected


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_services_annotation_wins(runtime: str) -> None:
    pod = pod_of(runtime, {"mode": "stream"}, **{"wellhead.dev__mode": "download"})
    assert pod["metadata"]["annotations"]["wellhead.dev/mode"] == "download"


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_an_llm_services_annotation_wins(shape: str, suffix: str) -> None:
    annotated = recorded.annotated(service(shape, suffix), **{"wellhead.dev__mode": "auto"})
    assert {mode(pod) for pod in pods({"mode": "stream", "llm": {"enabled": True}}, annotated)} == {"auto"}


# Pods -------------------------------------------------------------------------------------------------------------

TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
PODS: dict[str, Any] = {"nodeSelector": {"gpu": "h100"}, "tolerations": [TOLERATION]}


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_llm_pods_have_memory_nodes_and_registry_credentials(shape: str, suffix: str) -> None:
    values = {
        "llm": {"enabled": True, **PODS},
        "sharedMemorySize": "16Gi",
        "images": {"pullSecrets": ["registry"]},
    }
    for pod in pods(values, service(shape, suffix)):
        (mount,) = [each for each in main(pod)["volumeMounts"] if each["mountPath"] == "/dev/shm"]
        volume = recorded.named(pod["spec"]["volumes"], mount["name"])
        assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
        assert pod["spec"]["nodeSelector"] == PODS["nodeSelector"]
        assert TOLERATION in pod["spec"]["tolerations"]
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_a_runtimes_pods_have_them_too() -> None:
    values = {"runtimes": {"gpu": PODS}, "sharedMemorySize": "16Gi", "images": {"pullSecrets": ["registry"]}}
    spec = pod_of("wellhead-vllm", values)["spec"]
    assert recorded.named(spec["volumes"], "devshm")["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    assert spec["nodeSelector"] == PODS["nodeSelector"]
    assert TOLERATION in spec["tolerations"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert "nodeSelector" not in pod_of("wellhead-vllm-cpu", values)["spec"]


def test_variables_of_the_init_container_reach_it_wherever_it_runs() -> None:
    values = {"initializer": {"extraEnv": [{"name": "WELLHEAD_CONNECTIONS", "value": "32"}]}, "llm": {"enabled": True}}
    made = [pod_of("wellhead-vllm", values), *pods(values, service("multi-node prefill and decode"))]
    assert {recorded.environment(recorded.initializer(pod))["WELLHEAD_CONNECTIONS"] for pod in made} == {"32"}
    container = render(values).objects["ClusterStorageContainer", "wellhead-local-cache"]["spec"]["container"]
    assert recorded.environment(container)["WELLHEAD_CONNECTIONS"] == "32"
