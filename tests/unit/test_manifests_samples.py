"""The samples: each applies as it is, and leads to the pod that it promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.kserve import Cluster, Outcome, build, recorded
from tests.kserve.local_models import storage_key
from tests.kserve.manifests import Manifest
from tests.unit.manifests import MANIFESTS, RESTRICTED, RUNTIMES, Objects, bundle
from wellhead_storage.uri import parse

SERVICE = ("InferenceService", "llama")
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
HUB = {"HF_HUB_ENABLE_HF_TRANSFER", "HF_XET_HIGH_PERFORMANCE", "HF_XET_NUM_CONCURRENT_RANGE_GETS"}
OURS = {"WELLHEAD_MODE", "WELLHEAD_LOADER", "WELLHEAD_ENGINE", "WELLHEAD_LOG_FORMAT"}
KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
S3 = KEYS | {"S3_USE_HTTPS", "S3_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}


@dataclass(frozen=True)
class Expected:
    """What a sample's pod has.

    Attributes:
        args: of the init container.
        credentials: its variables besides those of every sample.
        account: the service account.
        folder: where the model volume is mounted, in both containers.
    """

    args: tuple[str, ...]
    credentials: set[str] = field(default_factory=set)
    account: str = "default"
    folder: str = "/mnt/models"


SAMPLES = {
    "s3": Expected(("s3://models/llama", "/mnt/models"), S3, "s3-models"),
    "gs": Expected(("gs://models/llama", "/mnt/models"), account="gcs-models"),
    "az": Expected(("abfss://models@account.dfs.core.windows.net/llama", "/mnt/models"), account="azure-models"),
    "hf": Expected(("hf://owner/model:main", "/mnt/models"), {"HF_TOKEN"}, "hf-models"),
    "model-registry": Expected(("model-registry://llama/v1?namespace=kubeflow", "/mnt/models"), S3, "s3-models"),
    "runai-streamer": Expected(("runai_streamer://s3://models/llama", "/mnt/models"), S3, "s3-models"),
    "storage-config": Expected(("s3://models/llama", "/mnt/models"), {"STORAGE_CONFIG"}),
    "storage-uris": Expected(
        ("s3://models/llama", "/mnt/models", "s3://adapters/sql", "/mnt/adapters/sql"), S3, "s3-models", folder="/mnt"
    ),
}
WITH_BUNDLE = [(name, of) for name in SAMPLES for of in ("base", "default")]
CACHING = {
    "kind": "ConfigMap",
    "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
    "data": {"localModel": '{"enabled": true, "fsGroup": 1000}'},
}


def outcome(sample: str, of: str, *manifests: Manifest) -> Outcome:
    objects = bundle(f"samples/{sample}")
    cluster = Cluster.with_stock([*bundle(of).values(), *objects.values(), *manifests])
    return build(cluster, objects[SERVICE])


def mounts(container: Manifest) -> dict[str, Any]:
    return {each["mountPath"]: each for each in container["volumeMounts"]}


def assert_serves(pod: Manifest) -> None:
    """The model server is ours, knows no secret, and is one that Knative would accept too."""
    server = recorded.server(pod)
    assert server["image"].startswith("wellhead-runtime:")
    assert server["args"][:3] == ["--port=8080", "--served-model-name=llama", "--model=/mnt/models"]
    assert "--max-model-len=8192" in server["args"]
    assert server["resources"]["limits"] == {"nvidia.com/gpu": "1"}, "nothing else is limited"
    assert server["securityContext"] == RESTRICTED
    assert set(recorded.environment(server)) == {"HOME", "WELLHEAD_CACHE_DIR", "INFERENCE_SERVICE_NAME"}
    assert all("valueFrom" not in each for each in server["env"])
    assert "envFrom" not in server
    assert pod["metadata"]["annotations"]["wellhead.dev/engine"] == "vllm"


# Those of LLMInferenceServices are in test_llm_manifests.py.
FOLDERS = sorted(path.name for path in (MANIFESTS / "samples").iterdir() if not path.name.startswith("llm-"))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_sample_applies_as_it_is(name: str) -> None:
    objects = bundle(f"samples/{name}")
    service = objects[SERVICE]
    predictor, model = service["spec"]["predictor"], service["spec"]["predictor"]["model"]
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert model["runtime"] in RUNTIMES
    assert model["modelFormat"] == {"name": "wellhead"}
    account = predictor.get("serviceAccountName")
    assert account is None or ("ServiceAccount", account) in objects
    for (kind, _), manifest in objects.items():
        if kind == "ServiceAccount":
            assert all(("Secret", each["name"]) in objects for each in manifest.get("secrets", []))
        if kind == "Secret":
            assert all("replace-me" in value for value in manifest["stringData"].values())


@pytest.mark.parametrize(("name", "of"), WITH_BUNDLE)
def test_the_init_container_is_ours_whatever_the_dice_say(name: str, of: str) -> None:
    made = outcome(name, of)
    assert (made.storage_container, made.candidates) == ("wellhead", ("wellhead",))
    (initializer,) = made.pod["spec"]["initContainers"]
    assert initializer["name"] == "storage-initializer"
    assert initializer["image"] == "wellhead-initializer:0.1.0"
    assert initializer["args"] == list(SAMPLES[name].args)
    assert initializer["resources"]["limits"] == {"cpu": "4", "memory": "1Gi"}
    assert initializer["securityContext"] == RESTRICTED
    assert initializer["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize(("name", "of"), WITH_BUNDLE)
def test_the_init_container_gets_its_credentials_and_nothing_else(name: str, of: str) -> None:
    pod = outcome(name, of).pod
    variables = recorded.environment(recorded.initializer(pod))
    assert variables.keys() == OURS | HUB | SAMPLES[name].credentials
    for key, annotation in {"WELLHEAD_MODE": "mode", "WELLHEAD_LOADER": "loader", "WELLHEAD_ENGINE": "engine"}.items():
        assert variables[key]["fieldRef"]["fieldPath"] == f"metadata.annotations['wellhead.dev/{annotation}']"
    assert pod["spec"]["serviceAccountName"] == SAMPLES[name].account


@pytest.mark.parametrize(("name", "of"), WITH_BUNDLE)
def test_both_containers_share_the_model_volume_and_the_token(name: str, of: str) -> None:
    pod, folder = outcome(name, of).pod, SAMPLES[name].folder
    initializer, server = mounts(recorded.initializer(pod)), mounts(recorded.server(pod))
    assert initializer.keys() == {folder, TOKEN}
    assert server.keys() == {folder, TOKEN, "/dev/shm", "/tmp", "/home/wellhead", "/var/cache/wellhead"}
    for path in (folder, TOKEN):
        assert initializer[path]["name"] == server[path]["name"]
        assert server[path]["readOnly"] is True
    assert "readOnly" not in initializer[folder]


@pytest.mark.parametrize(("name", "of"), WITH_BUNDLE)
def test_the_model_server_is_ours_and_knows_no_secret(name: str, of: str) -> None:
    assert_serves(outcome(name, of).pod)


@pytest.mark.parametrize("name", SAMPLES)
def test_wellhead_understands_the_uri(name: str) -> None:
    for uri in SAMPLES[name].args[::2]:
        assert parse(uri).location


def test_the_entry_of_storage_config_is_the_one_that_is_asked_for() -> None:
    variables = recorded.environment(recorded.initializer(outcome("storage-config", "default").pod))
    assert variables["STORAGE_CONFIG"] == {"secretKeyRef": {"name": "storage-config", "key": "minio"}}


def test_the_adapter_is_served_from_where_it_is_put() -> None:
    sources = outcome("storage-uris", "default").service["spec"]["predictor"]["storageUris"]
    arguments = recorded.server(outcome("storage-uris", "default").pod)["args"]
    assert "--enable-lora" in arguments
    assert f"--lora-modules=sql={sources[1]['mountPath']}" in arguments
    assert f"--model={sources[0]['mountPath']}" in arguments


class TestNamespaced:
    def test_no_object_is_the_clusters(self) -> None:
        kinds = {kind for kind, _ in bundle("samples/namespaced")}
        assert kinds == {"ServingRuntime", "InferenceService", "Secret", "ServiceAccount"}

    @pytest.fixture(params=["nothing", "default"])
    def pod(self, request: pytest.FixtureRequest) -> Manifest:
        """In a cluster without and with Wellhead's own objects."""
        objects: Objects = bundle("samples/namespaced")
        others = [] if request.param == "nothing" else list(bundle(request.param).values())
        return build(Cluster.with_stock([*others, *objects.values()]), objects[SERVICE]).pod

    def test_the_services_own_init_container_is_the_only_one(self, pod: Manifest) -> None:
        (initializer,) = pod["spec"]["initContainers"]
        assert initializer["name"] == "storage-initializer"
        assert initializer["args"] == ["s3://models/llama", "/mnt/models"]
        assert initializer["envFrom"] == [{"secretRef": {"name": "s3-models"}}], "KServe adds no credentials"
        variables = recorded.environment(initializer)
        assert variables.keys() == OURS | {"AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}
        assert variables["WELLHEAD_ENGINE"] == "vllm"

    def test_it_is_what_the_storage_container_would_have_been(self, pod: Manifest) -> None:
        container = bundle("base")["ClusterStorageContainer", "wellhead"]["spec"]["container"]
        for name in ("image", "imagePullPolicy", "resources", "securityContext", "terminationMessagePolicy"):
            assert pod["spec"]["initContainers"][0][name] == container[name], name

    def test_its_uri_is_the_services(self) -> None:
        predictor = bundle("samples/namespaced")[SERVICE]["spec"]["predictor"]
        assert predictor["initContainers"][0]["args"][0] == predictor["model"]["storageUri"]

    def test_the_model_server_reads_what_it_writes(self, pod: Manifest) -> None:
        initializer, server = mounts(recorded.initializer(pod)), mounts(recorded.server(pod))
        assert initializer.keys() == {"/mnt/models", TOKEN}
        assert server["/mnt/models"] == {**initializer["/mnt/models"], "readOnly": True}
        assert_serves(pod)


class TestLocalModelCache:
    def test_the_job_is_ours_with_the_credentials_of_its_namespace(self) -> None:
        objects = bundle("samples/local-model-cache")
        cluster = Cluster.with_stock([*bundle("default").values(), *objects.values()])
        made = build(cluster, objects["LocalModelCache", "llama"])
        (job,) = made.workloads
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert made.candidates == ("wellhead-local-cache",)
        assert job["metadata"]["namespace"] == objects["Secret", "s3-models"]["metadata"]["namespace"]
        assert container["image"] == "wellhead-initializer:0.1.0"
        assert container["args"] == ["s3://models/llama", "/mnt/models"]
        assert container["securityContext"] == RESTRICTED
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert container["resources"]["limits"] == {"cpu": "4", "memory": "1Gi"}
        variables = recorded.environment(container)
        assert variables.keys() == S3 | {"WELLHEAD_MANIFEST", "WELLHEAD_LOG_FORMAT"}
        assert variables["WELLHEAD_MANIFEST"] == "always"

    def test_the_cache_lies_on_a_group_of_nodes_that_is_there(self) -> None:
        objects = bundle("samples/local-model-cache")
        cache = objects["LocalModelCache", "llama"]["spec"]
        assert all(("LocalModelNodeGroup", group) in objects for group in cache["nodeGroups"])
        assert cache["sourceModelUri"] == objects[SERVICE]["spec"]["predictor"]["model"]["storageUri"]

    @pytest.mark.parametrize("of", ["base", "default"])
    def test_the_service_reads_the_disk_and_has_no_init_container(self, of: str) -> None:
        pod = outcome("local-model-cache", of, CACHING).pod
        assert "initContainers" not in pod["spec"]
        mount = mounts(recorded.server(pod))["/mnt/models"]
        assert mount["subPath"] == f"models/{storage_key('s3://models/llama')}/"
        volume = recorded.named(pod["spec"]["volumes"], mount["name"])
        assert volume["persistentVolumeClaim"] == {"claimName": "llama-gpus"}
        assert_serves(pod)
