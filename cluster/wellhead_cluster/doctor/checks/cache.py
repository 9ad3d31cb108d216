"""A LocalModelCache in front of the store: it wins over streaming, in silence."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, ok, unknown, warning
from wellhead_cluster.doctor.manifests import MODE
from wellhead_cluster.doctor.situation import Situation

_OPT_OUT = 'metadata:\n  annotations:\n    serving.kserve.io/disable-localmodel: "true"'


def check_cache(situation: Situation) -> Iterator[Finding]:
    """Of an InferenceService; the match is that of KServe's defaulting webhook."""
    serving = situation.serving
    if serving is None or not serving.predictor.uri:
        return
    cache = serving.cache
    if cache is None:
        if (gap := situation.known.gap("LocalModelCache")) and not situation.known.rest:
            yield unknown("whether a LocalModelCache has the model is not known", f"{gap}.")
        return
    mode = serving.pod.annotations.get(MODE, "").strip().lower()
    if not cache.enabled:
        yield warning(
            f"LocalModelCache {cache.name} has this URI, and KServe's ConfigMap does not enable local models",
            "The cache has no effect: the model is streamed or downloaded at every start.",
            "Set localModel.enabled in the ConfigMap inferenceservice-config, or delete the cache.",
        )
    elif mode == "stream":
        yield warning(
            f"LocalModelCache {cache.name} has this URI, and {MODE} says stream",
            "KServe replaces the URI by a volume claim and adds no init container, so nothing is streamed.",
            "Opt out of the cache, or drop the mode.",
            _OPT_OUT,
        )
    else:
        yield ok(f"LocalModelCache {cache.name} has the model: it is read from the node's disk, nothing is streamed")
