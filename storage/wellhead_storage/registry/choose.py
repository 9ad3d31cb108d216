"""Which artifact of a version is its weights. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wellhead_storage.credentials.storage_config import storage_config
from wellhead_storage.errors import InvalidConfiguration, ObjectNotFound
from wellhead_storage.registry.answers import Artifact

_KIND = "model-artifact"


def choose_artifact(artifacts: Iterable[Artifact], what: str) -> Artifact:
    """The newest that can be used.

    Args:
        artifacts: newest first; documents and deleted ones may be among them.
        what: model and version, for messages.

    Raises:
        ObjectNotFound: there is none, or none that says where its files are.
    """
    models = [artifact for artifact in artifacts if artifact.kind in {_KIND, ""}]
    live = [artifact for artifact in models if not artifact.deleted]
    located = [artifact for artifact in live if artifact.uri.strip() or artifact.storage_path.strip()]
    if located:
        return located[0]
    if live:
        raise ObjectNotFound(f"The model artifact of {what} has no URI.", "Set its uri in the registry.")
    if models:
        raise ObjectNotFound(f"All model artifacts of {what} are marked for deletion.", "Register it again.")
    raise ObjectNotFound(f"{what} has no model artifact.", "Add one with a uri in the registry.")


def location_of(artifact: Artifact, environment: Mapping[str, str]) -> str:
    """Where its files are; by the InferenceService's own `storage`, where it has no URI.

    The bucket is the one of the parameters, else of the storage-config secret, as in KServe (kserve.md 4.4).

    Raises:
        InvalidConfiguration: neither is here, or they are not of S3 or no JSON.
    """
    if uri := artifact.uri.strip():
        return uri
    config = storage_config(environment)
    bucket = config.get("bucket") if config.get("type", "s3") == "s3" else None
    if not bucket:
        key = f" {artifact.storage_key!r}" if artifact.storage_key else ""
        raise InvalidConfiguration(
            f"The artifact {artifact.name!r} has a storage path and no URI, and its storage key{key} is not here.",
            f"Add `storage: {{key: {artifact.storage_key or '…'}}}` to the InferenceService, or set the artifact's "
            "uri.",
        )
    return f"s3://{bucket}/{artifact.storage_path.strip().strip('/')}"
