"""The configs and samples for LLMInferenceServices, and the pods that KServe makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.kserve import recorded
from tests.kserve.cli import read_manifests
from tests.kserve.manifests import Manifest
from tests.unit.llm_services import (
    EVERY_POD,
    LLM,
    NAMES,
    OWN,
    PARALLEL,
    SAMPLES,
    SHAPES,
    loader,
    main,
    mode,
    pods_of,
    rendered,
    service,
)
from wellhead_storage.settings import read_settings


def configs() -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in rendered(LLM)}


# The configs ------------------------------------------------------------------------------------------------------


def test_one_config_for_each_kind_of_pod_and_way_to_the_model() -> None:
    assert sorted(configs()) == sorted([*NAMES, *(name + OWN for name in NAMES)])
    for config in configs().values():
        assert (config["apiVersion"], config["kind"]) == (
            "serving.kserve.io/v1alpha2",
            "LLMInferenceServiceConfig",
        )
        assert config["metadata"]["namespace"] == "kserve", "where every namespace finds them"
        assert config["metadata"]["labels"] == {"app.kubernetes.io/part-of": "wellhead"}


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_images_are_swapped_in_every_pod_and_kserves_call_stays(shape: str, suffix: str) -> None:
    names, own, headless = SHAPES[shape]
    stock = {**{part: {} for part in ("prefill", "worker") if any(part in name for name in names)}, **own}
    if "wellhead-prefill-worker" in names:
        stock["prefill"] = {"worker": {}, **PARALLEL}
    plain, ours = pods_of(recorded.llm_service(**stock)), pods_of(service(shape, suffix))
    assert len(ours) == len(plain) == len(headless)
    for pod, before, worker in zip(ours, plain, headless, strict=True):
        assert main(pod)["image"] == "wellhead-runtime:0.1.0"
        assert main(pod)["command"] == main(before)["command"]
        assert ("--headless" in main(pod)["command"][2]) == worker
        assert main(pod).get("args") == main(before).get("args")
        assert main(pod)["terminationMessagePolicy"] == "FallbackToLogsOnError"
        for field in ("ports", "securityContext", "lifecycle", "livenessProbe", "readinessProbe", "env"):
            assert main(pod).get(field) == main(before).get(field)


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_every_pod_has_the_same_init_container(shape: str, suffix: str) -> None:
    for pod in pods_of(service(shape, suffix)):
        container = recorded.initializer(pod)
        assert container["image"] == "wellhead-initializer:0.1.0"
        assert container["args"] == ["gs://models/llama" if suffix else "s3://models/llama", "/mnt/models"]
        assert "command" not in container
        assert recorded.environment(container)["WELLHEAD_ENGINE"] == "vllm"
        assert container["resources"] == {
            "requests": {"cpu": "500m", "memory": "256Mi"},
            "limits": {"cpu": "4", "memory": "1Gi"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        served = recorded.named(main(pod)["volumeMounts"], mounted["/mnt/models"])
        assert (served["mountPath"], served["readOnly"]) == ("/mnt/models", True)
        assert recorded.named(pod["spec"]["volumes"], mounted["/mnt/models"])["emptyDir"] == {}


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_startup_may_take_an_hour_where_there_is_a_server(shape: str, suffix: str) -> None:
    for pod, headless in zip(pods_of(service(shape, suffix)), SHAPES[shape][2], strict=True):
        if headless:
            assert not any(field.endswith("Probe") for field in main(pod))
            continue
        probe = main(pod)["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] == 3600
        assert probe["httpGet"] == main(pod)["readinessProbe"]["httpGet"], "KServe's own, decode's port included"


# Stated once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_one_annotation_states_the_mode_for_every_pod(shape: str, suffix: str) -> None:
    on_object = recorded.annotated(service(shape, suffix), **{"wellhead.dev__mode": "stream"})
    in_spec = service(shape, suffix, annotations={"wellhead.dev/mode": "download"})
    assert {mode(pod) for pod in pods_of(on_object)} == {"stream"}
    assert {mode(pod) for pod in pods_of(in_spec)} == {"download"}
    both = {**in_spec, "metadata": on_object["metadata"]}
    assert {mode(pod) for pod in pods_of(both)} == {"download"}, "the one nearer to the pods"


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_another_one_says_how_streamed_weights_arrive(shape: str, suffix: str) -> None:
    on_object = recorded.annotated(service(shape, suffix), **{"wellhead.dev__loader": "overlap"})
    in_spec = service(shape, suffix, annotations={"wellhead.dev/loader": "runai_streamer"})
    assert {loader(pod) for pod in pods_of(on_object)} == {"overlap"}
    assert {loader(pod) for pod in pods_of(in_spec)} == {"runai_streamer"}
    assert {loader(pod) for pod in pods_of(service(shape, suffix))} == {""}


def test_without_an_annotation_wellhead_decides() -> None:
    (pod,) = pods_of(service("single node"))
    assert mode(pod) == ""
    assert read_settings({"WELLHEAD_MODE": ""}).mode == "auto"


@pytest.mark.parametrize(("shape", "suffix"), EVERY_POD)
def test_one_configmap_holds_the_settings_of_every_container(shape: str, suffix: str) -> None:
    settings = {"configMapRef": {"name": "llama-wellhead", "optional": True}}
    for pod in pods_of(service(shape, suffix)):
        assert main(pod)["envFrom"] == [settings]
        assert settings in recorded.initializer(pod)["envFrom"]


# Credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("uri", ["s3://models/llama", "hf://org/model"])
def test_kserve_injects_credentials_into_every_init_container(shape: str, uri: str) -> None:
    keys = recorded.secret("keys", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "HF_TOKEN": "c"})
    for pod in pods_of(service(shape, uri=uri), recorded.account("default", "keys"), keys):
        container = recorded.initializer(pod)
        assert container["args"] == [uri, "/mnt/models"]
        assert {"AWS_ACCESS_KEY_ID", "WELLHEAD_ENGINE", "WELLHEAD_MODE"} <= recorded.environment(container).keys()


@pytest.mark.parametrize("shape", SHAPES)
def test_with_the_initializer_off_a_secret_of_the_services_name_reaches_init_containers_only(shape: str) -> None:
    secret = {"secretName": "llama-wellhead", "optional": True, "defaultMode": 420}
    for pod in pods_of(service(shape, OWN)):
        container = recorded.initializer(pod)
        assert {"secretRef": {"name": "llama-wellhead", "optional": True}} in container["envFrom"]
        mount = recorded.named(container["volumeMounts"], "wellhead-credentials")
        assert (mount["mountPath"], mount["readOnly"]) == ("/var/secrets/wellhead", True)
        volume = recorded.named(pod["spec"]["volumes"], "wellhead-credentials")["secret"]
        assert {**secret, **volume} == secret
        assert "wellhead-credentials" not in [mount["name"] for mount in main(pod)["volumeMounts"]]


@pytest.mark.parametrize("uri", ["gs://b/m", "az://c/m", "model-registry://llama", "s3://b/m?endpoint=http://s3:9000"])
def test_with_the_initializer_off_any_uri_reaches_wellhead(uri: str) -> None:
    (pod,) = pods_of(service("single node", OWN, uri))
    assert recorded.initializer(pod)["args"] == [uri, "/mnt/models"]


def test_the_wrapper_protocol_goes_around_the_model_uri() -> None:
    """KServe cannot read a URI with an underscore in its scheme."""
    wrapped = {"name": "storage-initializer", "args": ["runai_streamer://{{ .Spec.Model.URI }}", "/mnt/models"]}
    (pod,) = pods_of(service("single node", OWN, template={"initContainers": [wrapped]}))
    assert recorded.initializer(pod)["args"] == ["runai_streamer://gs://models/llama", "/mnt/models"]
    assert recorded.initializer(pod)["image"] == "wellhead-initializer:0.1.0"


# Images and samples -----------------------------------------------------------------------------------------------


def test_an_overlay_can_set_images_and_namespace(tmp_path: Path) -> None:
    up = "../" * (len(tmp_path.resolve().parts) - 1)
    overlay = {
        "namespace": "team-a",
        "resources": [up + LLM.relative_to("/").as_posix()],
        "images": [
            {"name": f"wellhead-{each}", "newName": f"r.example/{each}", "newTag": "9"}
            for each in ("initializer", "runtime")
        ],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    changed = read_manifests(str(tmp_path))
    assert {each["metadata"]["namespace"] for each in changed} == {"team-a"}
    text = yaml.safe_dump_all(changed)
    assert text.count("image: r.example/initializer:9") == text.count("image: r.example/runtime:9") == len(changed)


def sample(name: str) -> tuple[Manifest, tuple[Manifest, ...]]:
    """The service of a sample, and its pods."""
    manifests = rendered(SAMPLES / f"llm-{name}")
    (found,) = [each for each in manifests if each["kind"] == "LLMInferenceService"]
    return found, pods_of(found, *manifests)


@pytest.mark.parametrize(
    ("name", "uri", "modes", "pods"),
    [
        ("s3", "s3://models/llama", "auto", 1),
        ("prefill-decode", "s3://models/llama", "stream", 2),
        ("multi-node", "s3://models/llama", "stream", 2),
        ("gcs", "gs://models/llama", "", 1),
        ("azure", "az://models/llama", "stream", 2),
    ],
)
def test_the_samples(name: str, uri: str, modes: str, pods: int) -> None:
    made, built = sample(name)
    assert made["metadata"]["name"] == "llama"
    assert len(built) == pods
    for pod in built:
        assert recorded.initializer(pod)["args"] == [uri, "/mnt/models"]
        assert mode(pod) == modes
        assert int(main(pod)["resources"]["limits"]["nvidia.com/gpu"]) >= 1
        assert ("AWS_SECRET_ACCESS_KEY" in recorded.environment(recorded.initializer(pod))) == (uri[:2] == "s3")


@pytest.mark.parametrize(("name", "kind"), [("prefill-decode", "ConfigMap"), ("azure", "Secret")])
def test_a_sample_names_its_settings_as_the_configs_ask_for_them(name: str, kind: str) -> None:
    (held,) = [each for each in rendered(SAMPLES / f"llm-{name}") if each["metadata"]["name"] == "llama-wellhead"]
    assert held["kind"] == kind
    assert all(isinstance(value, str) for value in (held.get("data") or held["stringData"]).values())
