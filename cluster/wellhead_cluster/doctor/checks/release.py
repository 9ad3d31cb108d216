"""KServe's version, and whether the storage container that is installed fits it."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, ok, unknown
from wellhead_cluster.doctor.manifests import entries, name_of, section
from wellhead_cluster.doctor.situation import Situation
from wellhead_cluster.doctor.storage_containers import KIND, wellheads


def check_release(situation: Situation) -> Iterator[Finding]:
    """0.20 for everything; older versions only take a storage container without `env`."""
    release = situation.release
    if release.version is None:
        yield unknown(
            "KServe's version is not known; it is taken for 0.20 or newer",
            f"{release.source}.",
            "State it with --kserve, for example --kserve 0.20.",
        )
        return
    if release.full:
        yield ok(f"KServe {release} ({release.source})")
        return
    if situation.llm:
        yield error(
            f"KServe {release} ({release.source})",
            "Wellhead's LLMInferenceServiceConfigs need KServe 0.20 or newer.",
            "Upgrade KServe, or use an InferenceService with the component isolated.",
        )
        return
    harmful = [
        name_of(each)
        for each in situation.known.all(KIND)
        if wellheads(each) and entries(section(each, "spec", "container"), "env")
    ]
    if harmful:
        yield error(
            f"KServe {release} ({release.source}) with {KIND} {', '.join(harmful)}, which has variables",
            "Up to 0.19 KServe merges `env` by position: pods that get credentials are refused, other people's too.",
            "Upgrade KServe to 0.20, or install Wellhead with the component isolated.",
        )
    else:
        yield ok(f"KServe {release} ({release.source}), and no storage container of Wellhead's with variables")
