"""Whatever `wellhead render` prints, KServe takes, and makes the pod of it that was meant."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.kserve import recorded
from tests.kserve.manifests import Manifest
from tests.unit.llm_services import SAMPLES, main, mode
from tests.unit.llm_services import rendered as llm_objects
from tests.unit.manifests import bundle
from tests.unit.rendering import manifest, pod, report, sized, unsized
from wellhead_cluster.render.run import Request, render
from wellhead_storage.errors import ArgumentConflict, InvalidConfiguration, InvalidUri

ARGS = ("--max-model-len=8192",)
# The samples with one URI, and the mode that they state.
MODES = {"s3": "auto", "gs": "", "az": "", "hf": "", "model-registry": "", "runai-streamer": ""}


@pytest.mark.parametrize("name", MODES)
def test_an_inference_service_is_the_sample_for_its_uri(name: str) -> None:
    sample = copy.deepcopy(bundle(f"samples/{name}")["InferenceService", "llama"])
    sample["metadata"].pop("labels", None)  # of the model registry, whose numbers nobody knows here
    predictor = sample["spec"]["predictor"]
    if labels := predictor.pop("labels", {}):  # which reach the pod from the object, too
        sample["metadata"]["labels"] = labels
    made = unsized(
        uri=predictor["model"]["storageUri"],
        service_account=predictor["serviceAccountName"],
        labels=[f"{key}={value}" for key, value in labels.items()],
        options=["--max-model-len=8192"],
        mode=MODES[name],
    )
    assert made == sample


@pytest.mark.parametrize(("name", "asked"), [("llm-s3", {"mode": "auto"}), ("llm-gcs", {})])
def test_an_llm_inference_service_is_the_sample_for_its_uri(name: str, asked: dict[str, Any]) -> None:
    (sample,) = [each for each in llm_objects(SAMPLES / name) if each["kind"] == "LLMInferenceService"]
    spec = sample["spec"]
    account = spec["template"]["serviceAccountName"]
    assert unsized(uri=spec["model"]["uri"], service_account=account, llm=True, **asked) == sample


# URI → the init container's argument; None where KServe mounts the model.
URIS = {
    "s3://models/llama": "s3://models/llama",
    "S3://models/llama": "s3://models/llama",
    "s3://models/llama?endpoint=http://minio:9000": "s3://models/llama?endpoint=http://minio:9000",
    "gs://models/llama": "gs://models/llama",
    "az://models@account/llama": "az://models@account/llama",
    "https://account.blob.core.windows.net/models/llama": "https://account.blob.core.windows.net/models/llama",
    "hf://owner/model@main": "hf://owner/model@main",
    "https://example.com/llama.tar.gz": "https://example.com/llama.tar.gz",
    "https://github.com/owner/model.git": "https://github.com/owner/model.git",
    "modelscope://owner/model": "modelscope://owner/model",
    "model-registry://llama/v1": "model-registry://llama/v1",
    "pvc://claim/llama": None,
    "oci+native://registry.example/llama:1": None,
}


@pytest.mark.parametrize("uri", [*URIS, "runai_streamer://gs://models/llama", "RUNAI_STREAMER://S3://models/llama"])
def test_the_pod_of_an_inference_service(uri: str) -> None:
    built = pod(unsized(uri=uri, namespace="team-a", gpus=2, options=["--max-model-len=8192"], mode="stream"))
    expected = URIS.get(uri, uri.lower())
    names = [each["args"] for each in built["spec"].get("initContainers", [])]
    assert names == ([[expected, "/mnt/models"]] if expected else [])
    assert built["metadata"]["namespace"] == "team-a"
    assert built["metadata"]["annotations"]["wellhead.dev/mode"] == "stream"
    assert built["metadata"]["annotations"]["wellhead.dev/engine"] == "vllm"
    server = recorded.server(built)
    assert server["image"].startswith("wellhead-runtime:")
    assert server["args"][-3:] == ["--model=/mnt/models", "--tensor-parallel-size=2", "--max-model-len=8192"]
    assert server["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert server["resources"]["requests"]["memory"] == "32Gi", "the runtime's own"


@pytest.mark.parametrize("uri", URIS)
def test_the_pod_of_an_llm_inference_service(uri: str) -> None:
    config = '--speculative-config={"a": "b c"}'
    built = pod(unsized(uri=uri, namespace="team-a", llm=True, mode="stream", options=(config,)))
    if expected := URIS[uri]:
        assert recorded.initializer(built)["args"] == [expected, "/mnt/models"]
        assert mode(built) == "stream"
    else:
        assert "initContainers" not in built["spec"]
    assert main(built)["image"].startswith("wellhead-runtime:")
    assert main(built)["args"] == [f"'{config}'"], "a shell reads it once more"
    assert main(built)["resources"]["limits"] == {"nvidia.com/gpu": "1"}


def test_credentials_come_from_the_named_account() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    objects = [recorded.account("readers", "keys"), recorded.secret("keys", keys)]
    service = unsized(namespace=recorded.NAMESPACE, service_account="readers")
    built = pod(service, *objects)
    assert built["spec"]["serviceAccountName"] == "readers"
    assert "AWS_ACCESS_KEY_ID" in recorded.environment(recorded.initializer(built))


@pytest.mark.parametrize("llm", [False, True])
def test_sizes_are_those_of_the_pods_server(llm: bool) -> None:
    made = manifest(sized(report(15, "download"), llm=llm))
    built = pod(made)
    server = main(built) if llm else recorded.server(built)
    model = made["spec"]["template"]["containers"][0] if llm else made["spec"]["predictor"]["model"]
    assert model["resources"]["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
    assert model["resources"]["limits"].keys() == {"memory", "nvidia.com/gpu"}
    requests = {**server["resources"]["requests"]}
    requests.pop("nvidia.com/gpu")
    assert requests == model["resources"]["requests"]
    assert server["resources"]["limits"] == model["resources"]["limits"]
    assert server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"] == 3600


@pytest.mark.parametrize("llm", [False, True])
def test_a_large_model_may_take_longer_to_start(llm: bool) -> None:
    built = pod(manifest(sized(report(756), llm=llm, gpus=8)))
    server = main(built) if llm else recorded.server(built)
    probe = server["startupProbe"]
    seconds = probe["periodSeconds"] * probe["failureThreshold"]
    assert seconds > 600 + 756 * 1024 / 100
    assert probe["httpGet"] == server["readinessProbe"]["httpGet"], "the runtime's own address"
    assert recorded.environment(server)["VLLM_ENGINE_READY_TIMEOUT_S"] == str(seconds)


def test_the_cpu_build_has_a_runtime_of_its_own() -> None:
    built = pod(manifest(sized(report(1), gpus=0)))
    server = recorded.server(built)
    assert server["image"].startswith("wellhead-runtime-cpu:")
    assert server["resources"]["limits"].keys() == {"memory"}


def test_another_runtime() -> None:
    assert unsized(runtime="wellhead-vllm-2")["spec"]["predictor"]["model"]["runtime"] == "wellhead-vllm-2"


@pytest.mark.parametrize("llm", [False, True])
def test_labels_are_those_of_the_object_and_of_its_pod(llm: bool) -> None:
    labels = {"azure.workload.identity/use": "true", "team": ""}
    made = unsized(llm=llm, labels=[f"{key}={value}" for key, value in labels.items()])
    assert made["metadata"]["labels"] == labels
    assert pod(made)["metadata"]["labels"].items() >= labels.items()


def test_the_file_says_where_each_number_comes_from() -> None:
    text = sized(report(15), gpu_gib=80.0).text
    comment = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    made = manifest(sized(report(15), gpu_gib=80.0))["spec"]["predictor"]["model"]["resources"]
    for kind, resources in made.items():
        for name, value in resources.items():
            shown = f"{name} {value}:" if name == "nvidia.com/gpu" else f"{kind}.{name} {value}:"
            assert shown in comment


# Refusals ---------------------------------------------------------------------------------------------------------

NAMES = ["Llama", "1llama", "llama-", "llama.2", "", "x" * 54]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_kserve_refuses(name: str) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot be the name of a service"):
        unsized(name=name)


def test_the_longest_names() -> None:
    assert pod(unsized(name="x" * 53))
    assert unsized(name="x" * 63, llm=True)
    with pytest.raises(InvalidConfiguration, match="at most 63"):
        unsized(name="x" * 64, llm=True)


WRONG: dict[str, dict[str, Any]] = {
    "cannot be a namespace": {"namespace": "Team"},
    "cannot be the name of a service account": {"service_account": "a_b"},
    "cannot be the name of a serving runtime": {"runtime": "a/b"},
    "'team' is no label": {"labels": ["team"]},
    "'a=b c' is no label": {"labels": ["a=b c"]},
    "'-/a=b' is no label": {"labels": ["-/a=b"]},
    "WELLHEAD_MODE='fly' is not valid": {"mode": "fly"},
    "our configs for it run on GPUs": {"llm": True, "gpus": 0},
    "has no serving runtime": {"llm": True, "runtime": "wellhead-vllm"},
}


@pytest.mark.parametrize("words", WRONG)
def test_what_kubernetes_or_wellhead_would_refuse(words: str) -> None:
    with pytest.raises(InvalidConfiguration, match=words):
        unsized(**WRONG[words])


URIS_REFUSED: dict[str, tuple[str, bool, str]] = {
    "the wrapper in an LLMInferenceService": ("runai_streamer://s3://models/m", True, "--mode stream"),
    "a placeholder in an LLMInferenceService": ("s3://models/{{ .Name }}", True, "placeholder"),
    "an image that is fetched, in an LLMInferenceService": ("oci+fetch://r/m", True, "oci\\+native://"),
    "HDFS": ("hdfs://namenode/m", False, "KServe's own storage container"),
    "a path of this machine": ("/srv/models/llama", False, "wellhead mirror"),
    "a signed address": ("https://example.com/m.tar?sig=s3cr3t", False, "may be a signature"),
    "a scheme that nobody serves": ("ftp://host/m", False, "unknown scheme"),
}


@pytest.mark.parametrize("case", URIS_REFUSED)
def test_a_uri_that_kserve_cannot_take_has_a_way_out(case: str) -> None:
    uri, llm, words = URIS_REFUSED[case]
    with pytest.raises(InvalidUri, match=words) as caught:
        unsized(uri=uri, llm=llm)
    assert caught.value.hint
    assert "s3cr3t" not in str(caught.value)


OPTIONS_REFUSED = {
    "another port": (["--port=9000"], "belongs to the serving runtime"),
    "another model": (["--model=/mnt/other"], "named twice"),
    "a model in the way of vllm serve": (["owner/model"], "is no option"),
    "a key": (["--api-key", "s3cr3t"], "VLLM_API_KEY"),
    "a token": (["--hf_token=s3cr3t"], "HF_TOKEN"),
    "a template": (["--chat-template={{ messages[0] }}"], "placeholder"),
    "an extra config that is none": (["--model-loader-extra-config=x"], "not a JSON object"),
}


@pytest.mark.parametrize("case", OPTIONS_REFUSED)
def test_an_option_that_cannot_stand_in_the_service(case: str) -> None:
    options, words = OPTIONS_REFUSED[case]
    with pytest.raises(ArgumentConflict, match=words) as caught:
        unsized(options=options)
    assert "s3cr3t" not in str(caught.value)


def test_without_a_look_it_says_that_it_has_no_sizes() -> None:
    made = render(Request("s3://models/llama", "llama", probe=False), {})
    assert made.notes == ("The model was not looked at. So the service states no sizes.",)
    mounted = render(Request("pvc://claim/llama", "llama"), {})
    assert mounted.notes[0].startswith("KServe mounts pvc://")


def test_a_model_that_has_to_be_fetched_to_be_seen_has_no_sizes() -> None:
    made = sized(report(None, disk_bytes=None))
    assert made.notes == ("How large the model is shows only once it is fetched. So the service states no sizes.",)
    assert resources(manifest(made)) == {"limits": {"nvidia.com/gpu": "1"}}


def test_what_is_taken_for_granted_is_said() -> None:
    made = sized(report(15, assumed=("the pod mounts its token",)))
    assert made.notes == ("It is taken for granted that the pod mounts its token.",)


def resources(service: Manifest) -> Manifest:
    return dict(service["spec"]["predictor"]["model"]["resources"])
