"""Which ClusterStorageContainer downloads a URI (kserve.md 5.2 and 5.3). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.manifests import Manifest, entries, is_ours, section

KIND = "ClusterStorageContainer"
PIN = "internal.serving.kserve.io/storage-container-name"
INIT_CONTAINER = "initContainer"
DOWNLOAD_JOB = "localModelDownloadJob"
PLACEHOLDER = "<scheme-placeholder>://"
_SCHEME = re.compile(r"\w+?://")
# KServe 0.20's own (kserve.md 5.5); anything else needs a storage container that lists it.
_KNOWN_TO_KSERVE = (
    *("gs://", "s3://", "pvc://", "file://", "https://", "http://", "hdfs://", "webhdfs://"),
    *("oci://", "oci+native://", "hf://"),
)


@dataclass(frozen=True, slots=True)
class ContainerChoice:
    """Who provides the model.

    Attributes:
        candidates: storage containers that KServe may take; it throws dice between several.
        name: the one that was asked for by name, else empty.
        problem: why KServe refuses the pod, in a sentence.
        unknown: why there may be other candidates, or why the named one is not known.
        needless: why none is needed, in a sentence; the pod then has no init container of KServe's.
    """

    candidates: tuple[Manifest, ...] = ()
    name: str = ""
    problem: str = ""
    unknown: str = ""
    needless: str = ""

    @property
    def container(self) -> Manifest | None:
        """The container of the only candidate."""
        return section(self.candidates[0], "spec", "container") if len(self.candidates) == 1 else None

    @property
    def ours(self) -> bool:
        """Whether every candidate is Wellhead's."""
        return bool(self.candidates) and all(wellheads(each) for each in self.candidates)


def wellheads(storage_container: Manifest) -> bool:
    """Whether a storage container is one of Wellhead's."""
    return is_ours(section(storage_container, "spec", "container"))


def choose_container(uri: str, name: str, known: Known) -> ContainerChoice:
    """The storage container for a URI, as KServe sees it.

    Args:
        uri: what the pod asks for, `<scheme-placeholder>://…` for `storage.path`.
        name: the one to take, empty for any that matches.
        known: the cluster.
    """
    return _by_name(name, uri, known) if name else _by_uri(uri, known)


def is_supported(uri: str, known: Known) -> bool | None:
    """Whether KServe's controller lets the URI pass (`ValidateStorageURI`); None where nobody can tell."""
    try:
        listed = matching(uri, known)
    except re.error:
        return False
    if listed or not _SCHEME.search(uri) or uri.startswith(_KNOWN_TO_KSERVE):
        return True
    return None if known.gap(KIND) else False


def supports(storage_container: Manifest, uri: str) -> bool:
    """It lists a prefix of the URI, or a regular expression found anywhere in it; a prefix counts where both are set.

    Raises:
        re.error: a regular expression that is none.
    """
    for known in entries(storage_container, "spec", "supportedUriFormats"):
        if known.get("prefix"):
            if uri.startswith(str(known["prefix"])):
                return True
        elif known.get("regex") and re.search(str(known["regex"]), uri):
            return True
    return False


def matching(uri: str, known: Known, workload: str = INIT_CONTAINER) -> list[Manifest]:
    """Every storage container for that purpose which lists the URI; raises like `supports`."""
    return [each for each in known.all(KIND) if _usable(each, workload) and supports(each, uri)]


def _by_uri(uri: str, known: Known) -> ContainerChoice:
    try:
        found = matching(uri, known)
    except re.error as error:
        return ContainerChoice(problem=f"a storage container has a regular expression that is none ({error})")
    return ContainerChoice(tuple(found), unknown=known.gap(KIND))


def _by_name(name: str, uri: str, known: Known) -> ContainerChoice:
    found = known.find(KIND, name)
    if not isinstance(found, dict):
        if found.certain:
            return ContainerChoice(name=name, problem=f"there is no {KIND} {name}")
        return ContainerChoice(name=name, unknown=found.reason)
    if found.get("disabled"):
        return ContainerChoice(name=name, problem=f"{KIND} {name} is disabled")
    if _workload(found) != INIT_CONTAINER:
        return ContainerChoice(name=name, problem=f"{KIND} {name} is for {_workload(found)}, not for init containers")
    try:
        listed = supports(found, uri)
    except re.error as error:
        return ContainerChoice(name=name, problem=f"{KIND} {name} has a regular expression that is none ({error})")
    if not listed:
        return ContainerChoice(name=name, problem=f"{KIND} {name} does not list {uri.partition('://')[0]}:// URIs")
    return ContainerChoice((found,), name)


def _usable(storage_container: Manifest, workload: str) -> bool:
    return not storage_container.get("disabled") and _workload(storage_container) == workload


def _workload(storage_container: Manifest) -> str:
    return str(section(storage_container, "spec").get("workloadType") or INIT_CONTAINER)
