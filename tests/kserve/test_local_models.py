"""LocalModelCache: Jobs that fill a node's disk, and services that find their model there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import Refused, build, recorded
from tests.kserve.local_models import storage_key
from tests.kserve.manifests import Manifest

JOBS = "kserve-localmodel-jobs"
ENABLED = {
    "kind": "ConfigMap",
    "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
    "data": {"localModel": '{"enabled": true, "fsGroup": 1000}'},
}


def cache(uri: str = "s3://models/llama", name: str = "llama", **spec: Any) -> Manifest:
    return {
        "kind": "LocalModelCache",
        "metadata": {"name": name},
        "spec": {"sourceModelUri": uri, "nodeGroups": ["gpus"], **spec},
    }


def downloader(*formats: str) -> Manifest:
    container = {"name": "storage-initializer", "image": "own:1", "env": [{"name": "A", "value": "1"}]}
    known = [{"prefix": prefix} for prefix in formats]
    spec = {"container": container, "supportedUriFormats": known, "workloadType": "localModelDownloadJob"}
    return {"kind": "ClusterStorageContainer", "metadata": {"name": "downloader"}, "spec": spec}


def in_jobs(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": JOBS}}


def containers(owner: Manifest, *manifests: Manifest) -> list[Manifest]:
    jobs = build(recorded.cluster(*manifests), owner).workloads
    return [job["spec"]["template"]["spec"]["containers"][0] for job in jobs]


def test_a_storage_container_for_init_containers_is_not_used_for_jobs() -> None:
    (container,) = containers(cache())
    assert container["name"] == "kserve-localmodel-download"
    assert container["image"] == "kserve/storage-initializer:latest"
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert "env" not in container


def test_one_for_jobs_is_used_as_it_is() -> None:
    (container,) = containers(cache(), downloader("s3://"))
    assert container["image"] == "own:1"
    assert container["terminationMessagePolicy"] == "File"
    assert container["args"] == ["s3://models/llama", "/mnt/models"]
    assert container["volumeMounts"] == [
        {
            "name": "kserve-pvc-source",
            "mountPath": "/mnt/models",
            "subPath": f"models/{storage_key('s3://models/llama')}",
        }
    ]


def test_a_cache_has_a_job_for_each_of_its_node_groups() -> None:
    outcome = build(recorded.cluster(), cache(nodeGroups=["gpus", "cpus"]))
    claims = [
        job["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] for job in outcome.workloads
    ]
    assert claims == ["llama-gpus", "llama-cpus"]


def test_credentials_come_from_an_account_or_from_storage_config_of_the_jobs_namespace() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "k"}
    manifests = [in_jobs(recorded.secret("own", keys)), in_jobs(recorded.account("reader", "own")), downloader("s3://")]
    (container,) = containers(cache(serviceAccountName="reader"), *manifests)
    assert list(recorded.environment(container)) == ["A", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]

    config = in_jobs(recorded.secret("storage-config", {"minio": '{"type": "s3", "bucket": "b"}'}))
    (container,) = containers(cache(storage={"key": "minio"}), config, downloader("s3://"))
    assert list(recorded.environment(container)) == ["A", "STORAGE_CONFIG"]


def test_an_entry_that_is_missing_is_refused() -> None:
    with pytest.raises(Refused, match='secrets "storage-config" not found'):
        build(recorded.cluster(), cache(storage={"key": "minio"}))


class TestServices:
    def uri_of(self, uri: str, *caches: Manifest, **annotations: str) -> str:
        """Claim and folder that the server mounts, or the initializer's URI."""
        service = recorded.inference_service({"storageUri": uri})
        service["metadata"]["annotations"] = annotations
        pod = build(recorded.cluster(ENABLED, *(caches or [cache()])), service).pod
        if "initContainers" in pod["spec"]:
            return str(recorded.initializer(pod)["args"][0])
        mount = recorded.named(recorded.server(pod)["volumeMounts"], "kserve-pvc-source")
        claim = recorded.named(pod["spec"]["volumes"], "kserve-pvc-source")["persistentVolumeClaim"]["claimName"]
        return f"{claim}:{mount['subPath']}"

    def test_the_model_or_a_folder_in_it_is_found_on_disk(self) -> None:
        key = storage_key("s3://models/llama")
        assert self.uri_of("s3://models/llama") == f"llama-gpus:models/{key}/"
        assert self.uri_of("s3://models/llama/7b") == f"llama-gpus:models/{key}/7b"

    def test_a_name_that_only_starts_alike_is_not(self) -> None:
        assert self.uri_of("s3://models/llama-2") == "s3://models/llama-2"

    def test_a_service_can_say_no_or_ask_for_a_group(self) -> None:
        say_no = {"serving.kserve.io/disable-localmodel": "true"}
        assert self.uri_of("s3://models/llama", **say_no) == "s3://models/llama"
        groups = cache(nodeGroups=["gpus", "cpus"])
        assert self.uri_of("s3://models/llama", groups, **{"serving.kserve.io/nodegroup": "cpus"}).startswith(
            "llama-cpus:"
        )
        other = {"serving.kserve.io/nodegroup": "tpus"}
        assert self.uri_of("s3://models/llama", groups, **other) == "s3://models/llama"

    def test_a_pinned_storage_container_must_list_claims(self) -> None:
        service = recorded.inference_service(
            {"storageUri": "runai_streamer://s3://m"}, storageContainerName="wellhead-only-wrapper"
        )
        with pytest.raises(Refused, match='does not support storageUri "pvc://llama-gpus/models/'):
            build(recorded.cluster(ENABLED, cache("runai_streamer://s3://m")), service)

    def test_as_shipped_caches_are_not_looked_at(self) -> None:
        pod = build(recorded.cluster(cache()), recorded.inference_service()).pod
        assert recorded.initializer(pod)["args"][0] == "s3://models/llama"
