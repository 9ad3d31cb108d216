"""What the engine's container gets besides the plan: sealed credentials, and the store's CA bundle."""

from __future__ import annotations

from pathlib import Path

from wellhead_storage.credentials.certificates import with_public_authorities
from wellhead_storage.credentials.kinds import Connection, Credentials
from wellhead_storage.credentials.seal import SEALED_NAME, read_token, seal
from wellhead_storage.errors import HandoffFailed
from wellhead_storage.files import publish_bytes
from wellhead_storage.logs import log
from wellhead_storage.paths import FOLDER
from wellhead_storage.plan import CredentialsTravel
from wellhead_storage.settings import Settings

CA_NAME = "ca-bundle.pem"


def sealed_path(folder: Path) -> Path:
    """Where the sealed credentials of a model folder are."""
    return folder / FOLDER / SEALED_NAME


def seal_for_engine(credentials: Credentials, folder: Path, weights_uri: str, settings: Settings) -> CredentialsTravel:
    """Leave what the engine needs to sign its requests, and say how it travels.

    Raises:
        HandoffFailed: there is something to seal and no token to seal it with.
    """
    identity = credentials.connection.identity
    if credentials.secret is None:
        return CredentialsTravel(handoff="none", identity=identity)
    if settings.handoff != "sealed":
        if settings.handoff == "off":
            log.info("credentials are not handed over (WELLHEAD_HANDOFF=off): the engine's container brings its own")
        return CredentialsTravel(handoff="off", identity=identity)
    token = read_token(settings.service_account_token)
    if token is None:
        raise HandoffFailed(
            f"There is no service-account token at {settings.service_account_token} to seal credentials with.",
            "Let the pod mount its token (automountServiceAccountToken), or set wellhead.dev/mode: download.",
        )
    publish_bytes(sealed_path(folder), seal(credentials.secret, token, weights_uri))
    return CredentialsTravel(handoff="sealed", identity=identity)


def connection_for_engine(link: Connection, folder: Path) -> Connection:
    """The connection facts as the engine's container can use them.

    KServe mounts a CA bundle into the init container only; certificates are no secret, so the file goes along. For
    Google and Azure the engine's libraries trust that file alone, and need the public authorities in it: the bundle
    may be the cluster's, meant for other hosts, and tokens come from public ones. An S3 endpoint is one host.
    """
    if not link.ca_bundle:
        return link
    copy = folder / FOLDER / CA_NAME
    bundle = Path(link.ca_bundle)
    publish_bytes(copy, bundle.read_bytes() if link.kind == "s3" else with_public_authorities(bundle))
    return link.model_copy(update={"ca_bundle": str(copy)})


def remove_sealed(folder: Path) -> None:
    """Forget what an earlier run left for its engine."""
    sealed_path(folder).unlink(missing_ok=True)
    (folder / FOLDER / CA_NAME).unlink(missing_ok=True)
