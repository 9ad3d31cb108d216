"""Which runtime serves a service."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import NotModelledError, Refused, build, recorded
from tests.kserve.manifests import Manifest


def runtime(name: str, *formats: Manifest, kind: str = "ClusterServingRuntime", **spec: Any) -> Manifest:
    container = {"name": "kserve-container", "image": f"registry.example/{name}:1"}
    metadata: Manifest = {"name": name, **({"namespace": recorded.NAMESPACE} if kind == "ServingRuntime" else {})}
    spec = {"supportedModelFormats": list(formats or [offer()]), "containers": [container], **spec}
    return {"kind": kind, "metadata": metadata, "spec": spec}


def offer(name: str = "gguf", **fields: Any) -> Manifest:
    return {"name": name, "version": "1", "autoSelect": True, **fields}


def chosen(*runtimes: Manifest, **model: Any) -> str:
    service = recorded.inference_service({"modelFormat": {"name": "gguf"}, **model})
    image = recorded.server(build(recorded.cluster(*runtimes), service).pod)["image"]
    return str(image).removeprefix("registry.example/").removesuffix(":1")


def refusal(*runtimes: Manifest, **model: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        chosen(*runtimes, **model)
    assert caught.value.stage == "reconcile"
    return caught.value


def test_the_highest_priority_wins_and_none_is_the_lowest() -> None:
    low, high = runtime("a", offer(priority=1)), runtime("b", offer(priority=2))
    assert chosen(runtime("0"), low, high) == "b"


def test_a_runtime_of_the_namespace_comes_before_any_of_the_cluster() -> None:
    assert chosen(runtime("b", kind="ServingRuntime"), runtime("a", offer(priority=9))) == "b"


def test_a_name_is_looked_up_in_the_namespace_first() -> None:
    own = runtime("same", kind="ServingRuntime")
    own["spec"]["containers"][0]["image"] = "registry.example/own:1"
    assert chosen(runtime("same"), own, runtime="same") == "own"


def test_the_newest_of_equals_wins_then_the_name_decides() -> None:
    old, new = runtime("a"), runtime("b")
    assert chosen(new, old) == "a"
    old["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    new["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    assert chosen(old, new) == "b"


def test_without_auto_select_only_its_name_chooses_a_runtime() -> None:
    manual = runtime("a", offer(autoSelect=False))
    assert chosen(manual, runtime="a") == "a"
    assert refusal(manual).reason == "NoSupportingRuntime"


def test_a_version_must_match_where_the_service_gives_one() -> None:
    model = {"modelFormat": {"name": "gguf", "version": "2"}}
    assert chosen(runtime("a", offer(priority=9)), runtime("b", offer(version="2")), **model) == "b"
    words = "no runtime found to support predictor with model type: {gguf 0x"
    assert refusal(runtime("a"), **model).message.startswith(words)


def test_the_protocol_is_v1_unless_the_service_or_its_format_says_otherwise() -> None:
    second = runtime("a", protocolVersions=["v2"])
    assert refusal(second).status_message == "No runtime found to support specified framework/version"
    assert chosen(second, protocolVersion="v2") == "a"
    assert chosen(runtime("a", offer("vLLM"), protocolVersions=["v2"]), modelFormat={"name": "vLLM"}) == "a"
    assert chosen(runtime("a")) == "a", "one without protocols speaks them all"


def test_among_equals_the_older_protocol_wins_and_a_runtime_that_names_none_is_the_last() -> None:
    both, later = runtime("b", protocolVersions=["v2", "v1"]), runtime("a", protocolVersions=["grpc-v1", "v2"])
    silent = runtime("0")
    assert chosen(silent, later, both, protocolVersion="v2") == "b"
    assert chosen(silent, later, protocolVersion="v2") == "a"


def test_disabled_multi_model_and_multi_node_runtimes_are_passed_over() -> None:
    others = [runtime("a", disabled=True), runtime("b", multiModel=True), runtime("c", workerSpec={"containers": []})]
    assert chosen(*others, runtime("d")) == "d"


@pytest.mark.parametrize(
    ("model", "message", "reason"),
    [
        ({"runtime": "off"}, "specified runtime off is disabled", "RuntimeDisabled"),
        (
            {"runtime": "v2", "protocolVersion": "v1"},
            "specified runtime v2 does not support specified protocol version",
            "NoSupportingRuntime",
        ),
        (
            {"runtime": "v2", "modelFormat": {"name": "onnx"}},
            "specified runtime v2 does not support specified framework/version",
            "NoSupportingRuntime",
        ),
    ],
)
def test_a_runtime_by_name_that_does_not_fit_is_refused(model: Manifest, message: str, reason: str) -> None:
    known = [runtime("off", disabled=True), runtime("v2", protocolVersions=["v2"])]
    refused = refusal(*known, **model)
    assert (refused.message, refused.reason) == (message, reason)
    assert refused.status_message.startswith("Specified runtime ")


def test_a_runtime_without_containers_is_refused() -> None:
    refused = refusal(runtime("a", containers=[]))
    assert refused.message == "no container configuration found in selected serving runtime"


def test_other_containers_of_the_runtime_are_kept_as_they_are() -> None:
    server = {"name": "kserve-container", "image": "i:1"}
    proxy = {"name": "proxy", "image": "p:1", "args": ["{{.Name}}"]}
    service = recorded.inference_service({"modelFormat": {"name": "gguf"}})
    pod = build(recorded.cluster(runtime("a", containers=[proxy, server])), service).pod
    assert [each["name"] for each in pod["spec"]["containers"]] == ["kserve-container", "proxy"]
    assert recorded.named(pod["spec"]["containers"], "proxy")["args"] == ["{{.Name}}"]


@pytest.mark.parametrize(
    ("name", "annotation", "resources", "version", "image"),
    [
        ("a", None, {}, "2", "server:2"),
        ("a", "vllmserver", {}, None, "server-cpu:1"),
        ("a", "vllmserver", {"limits": {"nvidia.com/gpu": "1"}}, None, "server:1"),
        ("a", "huggingfaceserver", {"limits": {"amd.com/gpu": "1"}}, None, "server:1-gpu"),
        ("kserve-huggingfaceserver", None, {"limits": {"nvidia.com/gpu": "1"}}, None, "server:1-gpu"),
        ("a", None, {"limits": {"nvidia.com/gpu": "1"}}, None, "server:1"),
        ("a", "sklearnserver", {"limits": {"nvidia.com/gpu": "1"}}, None, "server:1"),
        ("huggingfaceserver", None, {"limits": {"nvidia.com/gpu": "1"}}, None, "server:1"),
        ("kserve-vllmserver", "own", {}, None, "server:1"),
    ],
)
def test_images_that_kserve_exchanges(
    name: str, annotation: str | None, resources: Manifest, version: str | None, image: str
) -> None:
    known = runtime(name, containers=[{"name": "kserve-container", "image": "server:1"}])
    if annotation is not None:
        known["metadata"]["annotations"] = {"serving.kserve.io/server-type": annotation}
    model = {"modelFormat": {"name": "gguf"}, "resources": resources, "runtimeVersion": version}
    pod = build(recorded.cluster(known), recorded.inference_service(model)).pod
    assert recorded.server(pod)["image"] == image


def test_an_image_by_digest_stays() -> None:
    image = f"server@sha256:{'0' * 64}"
    known = runtime("a", containers=[{"name": "kserve-container", "image": image}])
    model = {"modelFormat": {"name": "gguf"}, "runtimeVersion": "2"}
    pod = build(recorded.cluster(known), recorded.inference_service(model)).pod
    assert recorded.server(pod)["image"] == image


def test_only_some_fields_of_a_runtime_reach_the_pod() -> None:
    known = runtime(
        "a",
        hostIPC=True,
        nodeSelector={"gpu": "h100", "zone": "a"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        imagePullSecrets=[{"name": "registry"}],
    )
    service = recorded.inference_service({"modelFormat": {"name": "gguf"}}, nodeSelector={"zone": "b"})
    spec = build(recorded.cluster(known), service).pod["spec"]
    assert spec["nodeSelector"] == {"gpu": "h100", "zone": "b"}
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["tolerations"][0] == {"key": "gpu", "operator": "Exists"}
    assert "hostIPC" not in spec


def test_a_runtime_without_the_servers_container_is_refused() -> None:
    refused = refusal(runtime("a", containers=[{"name": "server", "image": "i"}]))
    assert refused.message == "failed to find kserve-container in ServingRuntime containers"
    assert refused.reason == "InvalidPredictorSpec"


def test_a_server_with_defaults_of_its_own_is_not_guessed() -> None:
    with pytest.raises(NotModelledError, match="mlserver"):
        chosen(runtime("kserve-mlserver"))
