"""What the real KServe made of our manifests (tests/data/kserve), and builders for manifests like them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.kserve.cluster import Cluster, Release, parse
from tests.kserve.manifests import Manifest

DATA = Path(__file__).resolve().parents[1] / "data" / "kserve"
V0_20 = DATA / "kserve-v0.20.0"
V0_18 = DATA / "kserve-v0.18.1"
NAMESPACE = "team-a"


def case(name: str) -> list[Manifest]:
    """The objects of a case; the last one makes the pods."""
    return parse((DATA / "cases" / f"{name}.yaml").read_text())


def cases(kind: str) -> list[str]:
    """The names of all cases with an object of that kind."""
    names = sorted(path.stem for path in (DATA / "cases").glob("*.yaml"))
    return [name for name in names if case(name)[-1]["kind"] == kind]


def result(name: str, file: str, release: Path = V0_20) -> Manifest | None:
    """A recorded object, or None where KServe made none."""
    path = release / name / f"{file}.yaml"
    return yaml.safe_load(path.read_text()) if path.exists() else None


@cache
def _shared() -> tuple[Manifest, ...]:
    return tuple(parse((DATA / "cluster.yaml").read_text()) + parse((DATA / "llm-cluster.yaml").read_text()))


def cluster(*manifests: Manifest, without: tuple[str, ...] = (), release: Release = Release.V0_20) -> Cluster:
    """The cluster of the recordings with further manifests; `without` names storage containers to leave out."""
    kept = [
        each
        for each in _shared()
        if each["kind"] != "ClusterStorageContainer" or each["metadata"]["name"] not in without
    ]
    return Cluster.with_stock([*kept, *manifests], release)


def inference_service(model: dict[str, Any] | None = None, **predictor: Any) -> Manifest:
    """One with format `wellhead` and a URI, unless told otherwise; a field that is None is left out."""
    fields = {"modelFormat": {"name": "wellhead"}, "storageUri": "s3://models/llama", **(model or {})}
    fields = {key: value for key, value in fields.items() if value is not None}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "llama", "namespace": NAMESPACE},
        "spec": {"predictor": {"model": fields, **predictor}},
    }


def annotated(service: Manifest, **annotations: str) -> Manifest:
    """With these annotations; a double underscore stands for what Python's names cannot have: `a__b` is `a/b`."""
    metadata = {**service["metadata"], "annotations": {key.replace("__", "/"): v for key, v in annotations.items()}}
    return {**service, "metadata": metadata}


def llm_service(uri: str = "s3://models/llama", *configs: str, **spec: Any) -> Manifest:
    """An LLMInferenceService that uses these configs."""
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": "llama", "namespace": NAMESPACE},
        "spec": {"model": {"uri": uri}, "baseRefs": [{"name": name} for name in configs], **spec},
    }


def secret(name: str, data: dict[str, str], **annotations: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "stringData": data,
    }


def account(name: str, *secrets: str, **annotations: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "secrets": [{"name": each} for each in secrets],
    }


def named(items: list[Manifest], name: str) -> Manifest:
    """The container, volume or variable of that name; it must be there."""
    (found,) = [item for item in items if item["name"] == name]
    return found


def initializer(pod: Manifest) -> Manifest:
    return named(pod["spec"]["initContainers"], "storage-initializer")


def server(pod: Manifest) -> Manifest:
    return named(pod["spec"]["containers"], "kserve-container")


def environment(container: Manifest) -> dict[str, Any]:
    """Name → value, or where it comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom", "")) for entry in container.get("env", [])}
