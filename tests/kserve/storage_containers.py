"""Which ClusterStorageContainer downloads a URI."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.kserve.cluster import Cluster
from tests.kserve.errors import KServeError
from tests.kserve.manifests import Manifest, name_of
from tests.kserve.zero_values import without_zero_values

INIT_CONTAINER = "initContainer"
DOWNLOAD_JOB = "localModelDownloadJob"


@dataclass
class Chooser:
    """Chooses storage containers, and remembers where KServe would have thrown dice.

    KServe takes the first match of a list that its cache gives in the order of a Go map, so any match may win, for
    every pod anew. Here the preferred one wins, else the first by name.

    Attributes:
        preferred: name of the storage container to take where several match.
        chosen: name of the one that was taken, None for none.
        candidates: everything that could have been taken in its place, itself included.
    """

    cluster: Cluster
    preferred: str | None = None
    chosen: str | None = None
    candidates: tuple[str, ...] = field(default=())

    def by_uri(self, uri: str, workload: str = INIT_CONTAINER) -> Manifest | None:
        """The spec of a storage container that lists the URI, or None.

        Raises:
            KServeError: a storage container has a regular expression that is none.
        """
        matching = {name_of(each): each for each in self.matching(uri, workload)}
        if not matching:
            return None
        self.candidates = tuple(matching)
        self.chosen = self.preferred if self.preferred in matching else self.candidates[0]
        return _spec(matching[self.chosen])

    def matching(self, uri: str, workload: str = INIT_CONTAINER) -> list[Manifest]:
        """Every storage container that lists the URI, by name; raises like `by_uri`."""
        known = sorted(self.cluster.of_kind("ClusterStorageContainer"), key=name_of)
        return [each for each in known if _usable(each, workload) and supports(each, uri)]

    def forget(self) -> None:
        """The one that was taken came to nothing: a claim, an image, or an initializer of the user's own."""
        self.chosen, self.candidates = None, ()

    def by_name(self, name: str, uri: str) -> Manifest:
        """The spec of the storage container of that name; nothing takes its place.

        The words for a missing one and for a URI it does not list were observed, the other two were not.

        Raises:
            KServeError: it does not exist, is disabled, serves another purpose, or does not list the URI.
        """
        found = self.cluster.find("ClusterStorageContainer", name)
        if found is None:
            raise KServeError(f'ClusterStorageContainer "{name}" not found')
        if found.get("disabled"):
            raise KServeError(f'ClusterStorageContainer "{name}" is disabled')
        if _workload(found) != INIT_CONTAINER:
            raise KServeError(f'ClusterStorageContainer "{name}" has workloadType "{_workload(found)}"')
        if not supports(found, uri):
            raise KServeError(f'ClusterStorageContainer "{name}" does not support storageUri "{uri}"')
        self.chosen, self.candidates = name, (name,)
        return _spec(found)


def supports(storage_container: Manifest, uri: str) -> bool:
    """It lists a prefix of the URI, or a regular expression found anywhere in it; a prefix counts where both are set.

    Raises:
        KServeError: a regular expression that is none.
    """
    for known in storage_container["spec"].get("supportedUriFormats") or []:
        if known.get("prefix"):
            if uri.startswith(known["prefix"]):
                return True
        elif known.get("regex"):
            try:
                if _found(known["regex"], uri):
                    return True
            except re.error as error:
                name = name_of(storage_container)
                raise KServeError(f"error checking storage container {name}: error parsing regexp: {error}") from None
    return False


def _found(regex: str, uri: str) -> bool:
    """Anywhere in the URI. Go's RE2 knows neither looking around nor references back."""
    foreign = re.search(r"\(\?<?[=!]|\\[1-9]", regex)
    if foreign is not None:
        raise re.error(f"invalid or unsupported Perl syntax: `{foreign[0]}`")
    return re.search(regex, uri) is not None


def _spec(storage_container: Manifest) -> Manifest:
    spec = without_zero_values(storage_container["spec"])
    assert isinstance(spec, dict)
    return spec


def _usable(storage_container: Manifest, workload: str) -> bool:
    return not storage_container.get("disabled") and _workload(storage_container) == workload


def _workload(storage_container: Manifest) -> str:
    return str(storage_container["spec"].get("workloadType") or INIT_CONTAINER)
