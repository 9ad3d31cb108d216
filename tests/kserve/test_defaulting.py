"""What is stored of an InferenceService, what is refused, and what of its metadata reaches the pod."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import NotModelledError, Refused, build, recorded
from tests.kserve.manifests import Manifest

DENIED = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '
CONFIG = {"kind": "ConfigMap", "metadata": {"name": "inferenceservice-config", "namespace": "kserve"}}


def stored(service: Manifest, *manifests: Manifest) -> Manifest:
    return build(recorded.cluster(*manifests), service).service


def denial(service: Manifest) -> str:
    with pytest.raises(Refused) as caught:
        build(recorded.cluster(), service)
    assert caught.value.stage == "InferenceService"
    assert caught.value.message.startswith(DENIED)
    return caught.value.message.removeprefix(DENIED)


def test_the_model_format_becomes_an_annotation_unless_there_is_one() -> None:
    assert stored(recorded.inference_service())["metadata"]["annotations"]["modelFormat"] == "wellhead"
    own = recorded.annotated(recorded.inference_service(), modelFormat="mine")
    assert stored(own)["metadata"]["annotations"]["modelFormat"] == "mine"


def test_the_format_vllm_speaks_v2() -> None:
    service = recorded.inference_service({"modelFormat": {"name": "vLLM"}, "runtime": "wellhead-vllm"})
    assert stored(service)["spec"]["predictor"]["model"]["protocolVersion"] == "v2"
    assert "protocolVersion" not in stored(recorded.inference_service())["spec"]["predictor"]["model"]


def test_a_framework_field_becomes_a_model() -> None:
    service = recorded.inference_service()
    service["spec"]["predictor"] = {"sklearn": {"storageUri": "s3://models/iris"}}
    predictor = stored(service)["spec"]["predictor"]
    assert predictor["model"]["modelFormat"] == {"name": "sklearn"}
    assert "sklearn" not in predictor


def test_the_deployment_mode_is_written_down_unless_it_is_given() -> None:
    mode, older = "serving.kserve.io/deploymentMode", recorded.inference_service()
    older["metadata"]["annotations"] = {mode: "RawDeployment"}
    assert stored(recorded.inference_service())["metadata"]["annotations"][mode] == "Standard"
    assert stored(older)["metadata"]["annotations"][mode] == "RawDeployment"


def test_a_deployment_mode_that_is_none_counts_as_the_default() -> None:
    service = recorded.inference_service()
    service["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "Serverful"}
    outcome = build(recorded.cluster(), service)
    assert outcome.pod["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Serverful"


def test_the_service_that_was_given_is_left_alone() -> None:
    service = recorded.inference_service()
    build(recorded.cluster(), service)
    assert service == recorded.inference_service()


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"model": {"name": "x"}}, "the 'name' field is not allowed in standard predictor"),
        (
            {"model": {"env": [{"name": "PYTHONPATH", "value": "/x"}]}},
            'the InferenceService "llama" is invalid: '
            'setting PYTHONPATH in container "" is not allowed for security reasons',
        ),
        (
            {"containers": [{"name": "transformer-container", "env": [{"name": "STORAGE_URI", "value": "s3://x"}]}]},
            "storage uri should not be specified in transformer container",
        ),
        ({"storageUris": [{"uri": "s3://a"}]}, "Setting both StorageURI and StorageURIs is not supported."),
        ({"minReplicas": 3, "maxReplicas": 2}, "'MinReplicas' cannot be greater than MaxReplicas"),
        ({"minReplicas": -1}, "'MinReplicas' cannot be less than 0"),
        ({"maxReplicas": -1}, "'MaxReplicas' cannot be less than 0"),
        ({"containerConcurrency": -1}, "parallelism cannot be less than 0"),
    ],
)
def test_what_the_webhook_denies(service: dict[str, Any], words: str) -> None:
    assert denial(recorded.inference_service(**service)) == words


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["/"], "storage path cannot be empty"),
        (["models"], "storage path must be absolute: models"),
        (["/mnt/../etc"], "storage path cannot contain '..' for security reasons: /mnt/../etc"),
        (
            ["/mnt/a", "/opt/b"],
            "storage paths must have a common parent directory. "
            "Current paths: [/mnt/a /opt/b] have no common parent beyond root",
        ),
    ],
)
def test_paths_of_several_uris_that_are_denied(paths: list[str], words: str) -> None:
    uris = [{"uri": f"s3://models/{index}", "mountPath": path} for index, path in enumerate(paths)]
    assert denial(recorded.inference_service({"storageUri": None}, storageUris=uris)) == words


def test_a_name_that_starts_with_a_digit_is_denied() -> None:
    service = recorded.inference_service()
    service["metadata"]["name"] = "7b"
    assert denial(service).startswith('the InferenceService "7b" is invalid: a InferenceService name must consist of')


SERVER = {"name": "kserve-container", "image": "own:1"}


@pytest.mark.parametrize(
    "predictor",
    [
        {},
        {"containers": []},
        {"containers": [SERVER], "model": {"modelFormat": {"name": "wellhead"}, "storageUri": "s3://m"}},
        {"sklearn": {"storageUri": "s3://m"}, "xgboost": {"storageUri": "s3://m"}},
    ],
)
def test_a_predictor_is_exactly_one_thing(predictor: Manifest) -> None:
    words = denial({**recorded.inference_service(), "spec": {"predictor": predictor}})
    assert words.startswith("exactly one of [SKLearn, XGBoost, ")
    assert words.endswith(", PodSpec] must be specified in PredictorSpec")


@pytest.mark.parametrize(
    "spec",
    [
        {"transformer": {"containers": []}},
        {"explainer": {}, "canary": [{}]},
        {"predictor": {**recorded.inference_service()["spec"]["predictor"], "workerSpec": {}}},
        {"predictor": {**recorded.inference_service()["spec"]["predictor"], "logger": {"mode": "all"}}},
    ],
)
def test_what_is_not_known_is_said(spec: Manifest) -> None:
    service = recorded.inference_service()
    with pytest.raises(NotModelledError):
        build(recorded.cluster(), {**service, "spec": {**service["spec"], **spec}})


def test_a_predictor_without_storage_would_get_the_multi_model_agent() -> None:
    with pytest.raises(NotModelledError, match="agent"):
        build(recorded.cluster(), recorded.inference_service({"storageUri": None}))


def test_beside_a_container_of_the_users_own_no_storage_is_needed() -> None:
    service = recorded.inference_service({"storageUri": None}, containers=[{"name": "sidecar", "image": "s:1"}])
    spec = build(recorded.cluster(), service).pod["spec"]
    assert "initContainers" not in spec
    assert [each["name"] for each in spec["containers"]] == ["kserve-container", "sidecar"]


def test_knative_is_not_known() -> None:
    service = recorded.inference_service()
    service["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "Knative"}
    with pytest.raises(NotModelledError, match="Knative"):
        build(recorded.cluster(), service)


def test_metadata_of_the_predictor_beats_the_services_and_that_the_runtimes() -> None:
    service = recorded.annotated(recorded.inference_service(), wellhead__engine="service", only="service")
    service["metadata"]["annotations"] |= {"prometheus.io/port": "1", "autoscaling.knative.dev/min-scale": "1"}
    service["metadata"]["labels"] = {"app.kubernetes.io/part-of": "service", "team": "a"}
    service["spec"]["predictor"] |= {"annotations": {"prometheus.io/port": "2"}, "labels": {"team": "b"}}
    metadata = build(recorded.cluster(), service).pod["metadata"]
    assert metadata["annotations"]["prometheus.io/port"] == "2"
    assert metadata["annotations"]["prometheus.io/path"] == "/metrics"
    assert metadata["annotations"]["only"] == "service"
    assert metadata["labels"]["app.kubernetes.io/part-of"] == "service"
    assert metadata["labels"]["team"] == "b"
    assert not {"autoscaling.knative.dev/min-scale", "modelFormat"} & metadata["annotations"].keys()


def test_an_administrator_can_hold_back_more_annotations() -> None:
    config = {**CONFIG, "data": {"inferenceService": '{"serviceAnnotationDisallowedList": ["secret"]}'}}
    service = recorded.annotated(recorded.inference_service(), secret="x", open="y")
    annotations = build(recorded.cluster(config), service).pod["metadata"]["annotations"]
    assert "open" in annotations
    assert "secret" not in annotations


def test_a_named_predictor_has_its_name_in_its_deployment() -> None:
    outcome = build(recorded.cluster(), recorded.inference_service(name="blue"))
    assert outcome.workloads[0]["metadata"]["name"] == "llama-blue-predictor"
    assert outcome.pod["metadata"]["labels"]["app"] == "isvc.llama-blue-predictor"


def test_a_custom_predictor_says_its_uri_in_a_variable() -> None:
    service = recorded.inference_service()
    variable = {"name": "STORAGE_URI", "value": "s3://models/llama"}
    service["spec"]["predictor"] = {"containers": [{"name": "", "image": "own:1", "env": [variable]}]}
    pod = build(recorded.cluster(), service, "wellhead").pod
    assert recorded.environment(recorded.server(pod))["STORAGE_URI"] == "/mnt/models"
    assert recorded.server(pod)["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}
    assert recorded.initializer(pod)["args"] == ["s3://models/llama", "/mnt/models"]


def custom(*containers: Manifest) -> Manifest:
    return {**recorded.inference_service(), "spec": {"predictor": {"containers": list(containers)}}}


def test_a_custom_predictor_that_is_alone_gets_kserves_name() -> None:
    pod = build(recorded.cluster(), custom({"name": "mine", "image": "own:1"})).pod
    assert [each["name"] for each in pod["spec"]["containers"]] == ["kserve-container"]


def test_a_custom_predictor_may_have_others_behind_it() -> None:
    variable = {"name": "STORAGE_URI", "value": "pvc://claim"}
    sidecar = {"name": "sidecar", "image": "s:1", "env": [{"name": "STORAGE_URI", "value": "pvc://other"}]}
    pod = build(recorded.cluster(), custom({**SERVER, "env": [variable]}, sidecar)).pod
    assert [each["name"] for each in pod["spec"]["containers"]] == ["kserve-container", "sidecar"]
    volume = recorded.named(pod["spec"]["volumes"], "kserve-pvc-source")
    assert volume["persistentVolumeClaim"] == {"claimName": "claim"}


def test_a_custom_predictor_behind_another_container_is_there_twice() -> None:
    with pytest.raises(Refused) as caught:
        build(recorded.cluster(), custom({"name": "sidecar", "image": "s:1"}, SERVER))
    assert caught.value.message.endswith('spec.template.spec.containers[1].name: Duplicate value: "kserve-container"')


def test_what_makes_kserve_crash_is_said() -> None:
    with pytest.raises(NotModelledError, match="crashes"):
        build(recorded.cluster(), custom({"name": "a", "image": "i:1"}, {"name": "b", "image": "i:1"}))


def test_the_services_name_is_written_over_a_value_but_not_over_a_source() -> None:
    source = {"fieldRef": {"fieldPath": "metadata.name"}}
    mine = {"name": "INFERENCE_SERVICE_NAME", "value": "mine"}
    pod = build(recorded.cluster(), recorded.inference_service({"env": [mine]})).pod
    assert recorded.environment(recorded.server(pod))["INFERENCE_SERVICE_NAME"] == "llama"
    with pytest.raises(Refused, match="may not be specified when `value` is not empty"):
        build(recorded.cluster(), recorded.inference_service({"env": [{"name": mine["name"], "valueFrom": source}]}))


def test_the_token_can_be_switched_off_for_everyone() -> None:
    config = {**CONFIG, "data": {"security": '{"autoMountServiceAccountToken": false}'}}
    pod = build(recorded.cluster(config), recorded.inference_service()).pod
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert all(volume["name"] != "kube-api-access-xxxxx" for volume in pod["spec"]["volumes"])


def test_scraping_points_at_a_port_of_knatives() -> None:
    service = recorded.inference_service()
    service["metadata"]["annotations"] = {"serving.kserve.io/enable-prometheus-scraping": "true"}
    annotations = build(recorded.cluster(), service).pod["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "9091"
