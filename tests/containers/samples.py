"""The samples with S3 models, filled in as a user would: the store's address and keys, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.kserve import Cluster, Outcome, build
from tests.kserve.building import WORKLOAD_KINDS
from tests.unit.manifests import bundle

if TYPE_CHECKING:
    from tests.kserve.manifests import Manifest
    from tests.support.seaweedfs import SeaweedFS

SAMPLE_STORE = "minio.minio.svc:9000"
# KServe's controller makes one for every LLMInferenceService.
CERTIFICATES: Manifest = {
    "kind": "Secret",
    "metadata": {"name": "llama-kserve-self-signed-certs"},
    "stringData": {"tls.crt": "", "tls.key": ""},
}
# Off unless a platform team turns it on.
CACHING: Manifest = {
    "kind": "ConfigMap",
    "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
    "data": {"localModel": '{"enabled": true, "fsGroup": 1000}'},
}


def sample_cluster(name: str, store: SeaweedFS, *further: Manifest) -> tuple[Cluster, list[Manifest]]:
    """A cluster with Wellhead and a sample applied, and the sample's objects that make pods.

    Args:
        name: a folder under servingruntimes/samples.
        store: whose address and keys the user puts in.
        further: objects that the user applies as well; one of the same name replaces the sample's.
    """
    own = [filled_in(each, store) for each in bundle(f"samples/{name}").values()]
    ours = [*bundle("default").values(), *bundle("llm").values()]
    services = {(each["kind"], each["metadata"]["name"]): each for each in [*own, *further]}
    cluster = Cluster.with_stock([*ours, CACHING, CERTIFICATES, *own, *further])
    return cluster, [each for (kind, _), each in services.items() if kind in WORKLOAD_KINDS]


def filled_in(value: Any, store: SeaweedFS, name: str = "") -> Any:
    """The manifest with the store's address and keys in place of the sample's."""
    if isinstance(value, dict):
        return {key: filled_in(each, store, key) for key, each in value.items()}
    if isinstance(value, list):
        return [filled_in(each, store, name) for each in value]
    if not isinstance(value, str):
        return value
    value = value.replace(SAMPLE_STORE, store.endpoint_url.partition("://")[2])
    value = re.sub(r'("access_key_id": ")replace-me', rf"\g<1>{store.access_key_id}", value)
    value = re.sub(r'("secret_access_key": ")replace-me', rf"\g<1>{store.secret_access_key}", value)
    keys = {"AWS_ACCESS_KEY_ID": store.access_key_id, "AWS_SECRET_ACCESS_KEY": store.secret_access_key}
    return keys[name] if value == "replace-me" else value


def outcomes(name: str, store: SeaweedFS, *further: Manifest) -> tuple[Cluster, list[Outcome]]:
    """The cluster of `sample_cluster`, and what each object in it leads to."""
    cluster, services = sample_cluster(name, store, *further)
    return cluster, [build(cluster, each) for each in services]


def own_service(mode: str = "auto", **model: Any) -> Manifest:
    """A service in place of the sample `s3`'s: the same but for the mode and these fields of `spec.predictor.model`."""
    (service,) = (each for each in bundle("samples/s3").values() if each["kind"] == "InferenceService")
    predictor = service["spec"]["predictor"]
    metadata = {**service["metadata"], "annotations": {**service["metadata"]["annotations"], "wellhead.dev/mode": mode}}
    changed = {**predictor["model"], "resources": {}, "args": [], **model}
    return {**service, "metadata": metadata, "spec": {"predictor": {**predictor, "model": changed}}}
