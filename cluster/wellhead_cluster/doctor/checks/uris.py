"""URIs: that Wellhead can read them, and that KServe lets them pass."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, ok, unknown, warning
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation
from wellhead_cluster.doctor.storage_containers import is_supported
from wellhead_storage.errors import InvalidUri
from wellhead_storage.stores.opening import refuse_endpoint
from wellhead_storage.uri import parse


def check_uris(situation: Situation) -> Iterator[Finding]:
    """Of every model and adapter."""
    for pod in situation.pods:
        for text, _ in pod.sources:
            yield _parsed(text)
            if finding := _image(situation, text):
                yield finding
    serving = situation.serving
    if serving and serving.predictor.uri and (finding := _supported(situation, serving.pod)):
        yield finding


def _parsed(text: str) -> Finding:
    try:
        uri = parse(text)
        refuse_endpoint(uri)
    except InvalidUri as failure:
        return error(failure.problem, "The init container ends with this sentence.", failure.hint)
    return ok(uri.as_asked(text))


def _image(situation: Situation, text: str) -> Finding | None:
    """As shipped, KServe 0.20 lets oci+native:// and its like pass and mounts nothing."""
    values = situation.config.of("storageInitializer")
    if situation.llm or not text.startswith("oci+") or values.get("enableOciModelSupport"):
        return None
    say = warning if situation.config.assumed else error
    return say(
        f"{text.partition('://')[0]}:// is switched off in KServe's ConfigMap (enableOciModelSupport)",
        "The pod starts without a model.",
        "Switch it on, or write oci://.",
    )


def _supported(situation: Situation, pod: Pod) -> Finding | None:
    """KServe's controller lets pass what a storage container lists, and the schemes that it knows itself."""
    serving = situation.serving
    text = serving.predictor.uri if serving else ""
    scheme = text.partition("://")[0]
    passes = is_supported(text, situation.known)
    if passes is None:
        return unknown(
            f"whether KServe lets {scheme}:// pass is not known",
            f"It does where a storage container lists it; {situation.known.gap('ClusterStorageContainer')}.",
        )
    if passes:
        return None
    return error(
        f"no storage container lists {scheme}://, and KServe does not know it by itself",
        "KServe makes no Deployment (StorageURI not supported).",
        "Install Wellhead's storage container, or correct the scheme.",
    )
