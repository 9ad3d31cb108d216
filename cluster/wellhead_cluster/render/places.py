"""Where a model lies, as KServe takes it: what stands in the object, and what KServe cannot take. Pure.

InferenceService: any scheme that our ClusterStorageContainer lists. LLMInferenceService: KServe's own initializer knows
`pvc oci oci+native hf s3` only, and our configs `…-any-uri` go around it (servingruntimes/llm/README.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wellhead_storage.errors import InvalidUri
from wellhead_storage.uri import WRAPPER, StorageUri, parse

_STORAGE_CONTAINER = "wellhead"
_CONFIG, _ANY_URI = "wellhead", "wellhead-any-uri"
_KSERVES_OWN = {"pvc", "oci", "oci+native", "hf", "s3"}  # schemes of its LLMInferenceServices
_WITHOUT_PACKAGES = {"hdfs", "webhdfs"}
_LOWER_CASE = re.compile(rf"({WRAPPER}://)?[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Place:
    """A model's URI in an object of KServe's.

    Attributes:
        uri: parsed.
        text: as it stands in the object.
        storage_container: what an InferenceService names; None where there is nothing to choose.
        config: what an LLMInferenceService names in `baseRefs`.
    """

    uri: StorageUri
    text: str
    storage_container: str | None
    config: str

    @property
    def mounted(self) -> bool:
        """KServe mounts the model, and there is no init container."""
        return self.uri.kind == "mounted" and not self.uri.forced_stream


def place_of(text: str, *, llm: bool) -> Place:
    """Take a URI for an object.

    Raises:
        InvalidUri: it is none, KServe refuses it, or it carries a secret.
    """
    uri = parse(text)
    asked = text.strip()
    if uri.as_asked(asked) != asked and uri.query:
        raise InvalidUri(
            f"The query of {uri.public} may be a signature, and everybody who may read the service could see it.",
            "Put the model into a bucket, and credentials into a secret (docs/storage.md).",
        )
    if uri.scheme in _WITHOUT_PACKAGES:
        raise InvalidUri(
            f"Wellhead's storage container does not serve {uri.scheme}://, because its image lacks the packages.",
            "Copy the model into a bucket, or leave this service with KServe's own storage container.",
        )
    if uri.kind == "file":
        raise InvalidUri(
            f"{asked!r} is a path on this machine, and none in the pod.",
            "Copy the model into a bucket (`wellhead mirror`), or use a volume claim: pvc://claim/path.",
        )
    if llm:
        _refuse_for_llm(uri, asked)
    return Place(
        uri=uri,
        # KServe compares prefixes as they are written: in capitals it knows none.
        text=asked if _LOWER_CASE.match(asked) else str(uri),
        # Only ours claims the wrapper, and of a mounted model there is nothing to fetch.
        storage_container=None if uri.forced_stream or uri.kind == "mounted" else _STORAGE_CONTAINER,
        config=_CONFIG if uri.scheme in _KSERVES_OWN else _ANY_URI,
    )


def _refuse_for_llm(uri: StorageUri, asked: str) -> None:
    if uri.forced_stream:
        raise InvalidUri(
            f"KServe cannot read {asked!r} in an LLMInferenceService: to Go a scheme has no underscore.",
            f"Leave out {WRAPPER}:// and ask for the same with --mode stream.",
        )
    if uri.kind == "mounted" and uri.scheme not in _KSERVES_OWN:
        raise InvalidUri(
            f"KServe does not mount {uri.scheme}:// in an LLMInferenceService.", "Write oci:// or oci+native://."
        )
    if "{{" in asked:
        raise InvalidUri(
            f"KServe would take the {{{{ in {asked!r} for a placeholder of its own.", "Rename the model's folder."
        )
