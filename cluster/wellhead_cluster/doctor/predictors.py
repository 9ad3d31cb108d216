"""An InferenceService's predictor: what KServe's webhook and controller make of it before there is a pod. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.kserve import Config
from wellhead_cluster.doctor.manifests import (
    MAIN,
    MODEL_PATH,
    Manifest,
    annotations_of,
    entries,
    name_of,
    named,
    section,
    strings,
)
from wellhead_cluster.doctor.storage_containers import PIN, PLACEHOLDER

_V2_FORMATS = ("triton", "vLLM")
# `predictor.sklearn` and the like, which KServe turns into `predictor.model`; some bring a protocol along.
FRAMEWORKS = {
    **dict.fromkeys(("sklearn", "xgboost", "tensorflow", "pytorch", "pmml", "lightgbm", "paddle"), ""),
    **dict.fromkeys(("triton", "onnx", "huggingface"), "v2"),
}
_DISABLE_CACHE, _NODE_GROUP = "serving.kserve.io/disable-localmodel", "serving.kserve.io/nodegroup"
# What `spec.predictor` has besides the fields of a pod, and `predictor.model` besides those of a container.
_NOT_OF_A_POD = frozenset({"model", "storageUris", "storageContainerName", "annotations", "labels", "name"})
_NOT_OF_A_CONTAINER = frozenset(
    {"modelFormat", "runtime", "runtimeVersion", "protocolVersion", "storageUri", "storage", "confidential"}
)


@dataclass(frozen=True, slots=True)
class Predictor:
    """A predictor, with KServe's defaults.

    Attributes:
        spec: `spec.predictor`.
        model: `spec.predictor.model`, also where a framework's name stands in its place; None for a custom predictor.
        field: how the service spells it: `model`, `sklearn`, ….
        annotations: of the service, as far as they reach pods.
    """

    spec: Manifest
    model: Manifest | None
    field: str
    annotations: dict[str, str]

    @property
    def uri(self) -> str:
        """`storageUri`; of a custom predictor it is a variable."""
        if self.model is not None:
            return str(self.model.get("storageUri") or "")
        server = named(entries(self.spec, "containers"), MAIN)
        return str(named(entries(server, "env"), "STORAGE_URI").get("value") or "")

    @property
    def storage(self) -> Manifest | None:
        """The `storage` block."""
        storage = (self.model or {}).get("storage")
        return storage if isinstance(storage, dict) else None

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """`storageUris`: (URI, folder)."""
        return tuple(
            (str(each.get("uri") or ""), str(each.get("mountPath") or MODEL_PATH))
            for each in entries(self.spec, "storageUris")
        )

    @property
    def asked(self) -> str:
        """The URI by which KServe looks for a storage container; empty without any."""
        if self.pairs:
            return self.pairs[0][0]
        path = (self.storage or {}).get("path")
        return f"{PLACEHOLDER}{str(path).removeprefix('/')}" if path is not None and not self.uri else self.uri

    @property
    def server(self) -> Manifest:
        """What the service says about its model server."""
        if self.model is None:
            return named(entries(self.spec, "containers"), MAIN)
        return {field: value for field, value in self.model.items() if field not in _NOT_OF_A_CONTAINER}

    @property
    def pod(self) -> Manifest:
        """What the service says about its pod."""
        return {field: value for field, value in self.spec.items() if field not in {*_NOT_OF_A_POD, self.field}}

    def pod_annotations(self, runtime: Manifest, config: Config) -> dict[str, str]:
        """Those of the pod: the predictor's win over the service's, those over the runtime's spec."""
        chosen = {PIN: str(self.spec["storageContainerName"])} if self._names_container else {}
        allowed = {
            **strings(runtime, "annotations"),
            **self.annotations,
            **chosen,
            **strings(self.spec, "annotations"),
        }
        return {key: value for key, value in allowed.items() if key not in config.disallowed}

    @property
    def _names_container(self) -> bool:
        return bool(self.uri and self.spec.get("storageContainerName"))


def predictor_of(service: Manifest) -> Predictor:
    """The predictor of an InferenceService."""
    spec = section(service, "spec", "predictor")
    field = next((each for each in ("model", *FRAMEWORKS) if isinstance(spec.get(each), dict)), "model")
    model: Manifest | None = section(spec, field) or None
    if model is not None and field != "model":
        protocol = {"protocolVersion": FRAMEWORKS[field]} if FRAMEWORKS[field] else {}
        model = {"modelFormat": {"name": field}, **protocol, **model}
    if model is not None and section(model, "modelFormat").get("name") in _V2_FORMATS:
        model = {"protocolVersion": "v2", **model}
    return Predictor(spec, model, field, annotations_of(service))


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A LocalModelCache that holds the model.

    Attributes:
        name: of the cache.
        size: `modelSize` as the cache states it, else empty.
        enabled: KServe's ConfigMap switches local models on.
        claim: the URI that KServe puts in the model's place.
    """

    name: str
    size: str
    enabled: bool
    claim: str


def cache_for(predictor: Predictor, known: Known, config: Config) -> CacheHit | None:
    """The cache that answers for the service's URI; None for none, or where the service opts out (kserve.md 11)."""
    uri = predictor.uri
    if not uri or predictor.model is None or _DISABLE_CACHE in predictor.annotations:
        return None
    caches = [*known.all("LocalModelNamespaceCache"), *known.all("LocalModelCache")]
    for cache in caches:
        spec = section(cache, "spec")
        source, groups = str(spec.get("sourceModelUri") or ""), spec.get("nodeGroups") or []
        group = predictor.annotations.get(_NODE_GROUP, str(groups[0]) if groups else "")
        if group in groups and source and _within(uri, source):
            key = hashlib.sha256(source.encode()).hexdigest()[:16]
            return CacheHit(
                name=name_of(cache),
                size=str(spec.get("modelSize") or ""),
                enabled=bool(config.of("localModel").get("enabled")),
                claim=f"pvc://{name_of(cache)}-{group}/models/{key}",
            )
    return None


def _within(uri: str, source: str) -> bool:
    uri, source = uri.removesuffix("/"), source.removesuffix("/")
    return uri == source or uri.startswith(f"{source}/")
