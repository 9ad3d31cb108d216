"""Where the engine gets its storage credentials: its own, else those the initializer sealed.

The first opening is kept on the container's tmpfs (mode 0600), so that a restarted container finds it after the
service-account token has rotated; `/dev/shm` is a pod volume in our runtimes and survives the restart.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from wellhead_storage.credentials.azure import AzureConnection, azure_credentials
from wellhead_storage.credentials.gcs import GcsConnection, gcs_credentials
from wellhead_storage.credentials.kinds import SECRET_KINDS, Connection, Credentials, Secret, in_the_clear, join
from wellhead_storage.credentials.s3 import S3Connection, s3_credentials
from wellhead_storage.credentials.seal import read_token, unseal
from wellhead_storage.errors import HandoffFailed
from wellhead_storage.handoff import CA_NAME, sealed_path
from wellhead_storage.logs import log
from wellhead_storage.paths import FOLDER
from wellhead_storage.plan import Plan
from wellhead_storage.settings import Settings

# What the engine's container may say differently even where the credentials were handed over.
_OVERRIDES = {
    "s3": ("endpoint_url", "region", "virtual_hosted", "ca_bundle"),
    "gs": ("endpoint_url", "project", "ca_bundle"),
    "az": ("ca_bundle",),
}


def engine_credentials(plan: Plan, folder: Path, settings: Settings, environment: Mapping[str, str]) -> Credentials:
    """Credentials for the engine of a streamed plan.

    Args:
        plan: with `mode == "stream"`.
        folder: the model folder that holds it.
        settings: Wellhead's own; `memory_dir` must be a tmpfs, since secrets must not reach a disk.
        environment: of this container; credentials found here win over the sealed ones.

    Raises:
        HandoffFailed: they were sealed and cannot be opened.
        InvalidConfiguration: the container's own are malformed.
    """
    planned = _here(plan.connection or S3Connection(), folder)
    own = _own(planned, environment)
    differing = {
        name: value for name in _OVERRIDES[planned.kind] if (value := getattr(own.connection, name)) is not None
    }
    # A cloud identity is injected into every container, the initializer's included, and there the key won.
    deliberate = own.connection.identity in {"static", "anonymous"}
    if deliberate or (own.usable and plan.credentials.handoff != "sealed"):
        log.info("storage credentials: the engine's container has its own (%s)", own.connection.identity)
        of_identity = {"identity", "client_id", "tenant_id", "authority_host"} & set(type(own.connection).model_fields)
        taken = {name: getattr(own.connection, name) for name in of_identity}
        return join(planned.model_copy(update=differing | taken), own.secret)
    secret = _opened(plan, folder, settings) if plan.credentials.handoff == "sealed" else None
    return join(planned.model_copy(update=differing), secret)


def keep_secret_file(credentials: Credentials, settings: Settings) -> Path | None:
    """Where the streamer finds what it reads from a file only; on the tmpfs, and for this user alone.

    Raises:
        HandoffFailed: it cannot be written there.
    """
    if not credentials.needs_file:
        return None
    content = credentials.secret_file()
    path = _private_folder(settings) / f"{hashlib.sha256(content).hexdigest()[:32]}.json"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise HandoffFailed(
            f"The credentials cannot be put into {path.parent}: {error.strerror}.",
            "Mount a tmpfs (emptyDir, medium: Memory) there, or name one with WELLHEAD_MEMORY_DIR.",
        ) from error
    return path


def _own(planned: Connection, environment: Mapping[str, str]) -> Credentials:
    if isinstance(planned, GcsConnection):
        return gcs_credentials(environment)
    if isinstance(planned, AzureConnection):
        return azure_credentials(environment, planned.account, planned.suffix)
    return s3_credentials(environment)


def _private_folder(settings: Settings) -> Path:
    return settings.memory_dir / f"wellhead-{os.getuid()}"


def _opened(plan: Plan, folder: Path, settings: Settings) -> Secret:
    path = sealed_path(folder)
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise HandoffFailed(
            f"The sealed credentials {path} cannot be read: {error.strerror}.",
            "Delete the pod to prepare it anew.",
        ) from error
    kept = _private_folder(settings) / hashlib.sha256(sealed).hexdigest()[:32]
    if (secret := _recall(kept, plan.weights.uri)) is not None:
        log.info("storage credentials: kept from this pod's first start")
        return secret
    token = read_token(settings.service_account_token)
    if token is None:
        raise HandoffFailed(
            f"There is no service-account token at {settings.service_account_token} to open the credentials with.",
            "Let the pod mount its token (automountServiceAccountToken).",
        )
    secret = unseal(sealed, token, plan.weights.uri)
    log.info("storage credentials: opened what the initializer sealed")
    _keep(kept, secret)
    return secret


def _keep(path: Path, secret: Secret) -> None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(in_the_clear(secret), file)
    except OSError as error:
        log.warning("credentials cannot be kept in %s (%s): a restart needs the same token", path.parent, error)


def _recall(path: Path, weights_uri: str) -> Secret | None:
    """What `_keep` wrote, if it is really ours: a regular file of this user that nobody else may read."""
    with suppress(OSError, ValidationError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe must not hang the start
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid()
            if ours and not status.st_mode & 0o077:
                return SECRET_KINDS[weights_uri.partition("://")[0]].model_validate_json(file.read())
    return None


def _here(link: Connection, folder: Path) -> Connection:
    """The CA bundle lies in the model folder, which this container may have mounted elsewhere."""
    copied = folder / FOLDER / CA_NAME
    if link.ca_bundle and Path(link.ca_bundle).name == CA_NAME and copied.is_file():
        return link.model_copy(update={"ca_bundle": str(copied)})
    return link
