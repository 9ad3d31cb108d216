"""Google Cloud Storage: a key file's content, the cloud's identity, or none → `GcsCredentials` → the streamer.

KServe mounts the key of its secret into the init container only, at the path in GOOGLE_APPLICATION_CREDENTIALS
(kserve.md 4.4), so it is the content that travels. Emulators are named by the Google clients' own
STORAGE_EMULATOR_HOST, and never by a URI: a token is good at any host, unlike S3's signatures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from wellhead_storage.credentials.certificates import web_ca_bundle
from wellhead_storage.credentials.s3 import Identity
from wellhead_storage.errors import InvalidConfiguration

_TRUE = {"1", "true", "yes", "on"}
_KEY_KIND = "service_account"  # a user's key (`authorized_user`) cannot sign, and a person is no identity for a pod


class GcsConnection(BaseModel):
    """The non-secret half. May be written to the plan.

    Attributes:
        endpoint_url: of an emulator, with scheme, without trailing slash; None means Google itself.
        project: project id, which Google's Python client wants for anonymous access.
        verify_tls: always, here.
        ca_bundle: path of a PEM file, or None.
        identity: where the authorization comes from.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["gs"] = "gs"
    endpoint_url: str | None = None
    project: str | None = None
    verify_tls: bool = True
    ca_bundle: str | None = None
    identity: Identity = "ambient"


class GcsSecret(BaseModel):
    """The secret half: the whole JSON of a key file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_file: SecretStr


class GcsCredentials(BaseModel):
    """Connection and, for `identity == "static"`, the secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: GcsConnection
    secret: GcsSecret | None = None

    @property
    def usable(self) -> bool:
        """Whether something here can authorize, or says that nothing needs to be."""
        return self.connection.identity != "ambient"

    @property
    def needs_file(self) -> bool:
        """The streamer reads keys from files only."""
        return self.secret is not None

    def secret_file(self) -> bytes:
        """What that file holds."""
        return self.secret.key_file.get_secret_value().encode() if self.secret else b""

    def streamer_environment(self, secret_file: Path | None = None) -> dict[str, str]:
        """Variables for the Run:ai streamer (vllm-and-streamer.md 6.5, 9.5).

        Its Python half lists with Google's client, its C++ half reads; emulators and anonymous access have a
        variable for each (seen to work together, docs/architecture.md).
        """
        link = self.connection
        env: dict[str, str] = {}
        if link.endpoint_url:
            env["STORAGE_EMULATOR_HOST"] = env["CLOUD_STORAGE_EMULATOR_ENDPOINT"] = link.endpoint_url
        if link.identity == "anonymous":
            env["RUNAI_STREAMER_GCS_USE_ANONYMOUS_CREDENTIALS"] = "true"
            env["GOOGLE_CLOUD_PROJECT"] = link.project or "anonymous"
        elif link.project:
            env["GOOGLE_CLOUD_PROJECT"] = link.project
        if secret_file:
            env["GOOGLE_APPLICATION_CREDENTIALS"] = str(secret_file)
        if link.ca_bundle:
            env["SSL_CERT_FILE"] = env["REQUESTS_CA_BUNDLE"] = link.ca_bundle
        return env


def gcs_credentials(environment: Mapping[str, str]) -> GcsCredentials:
    """Collect GCS credentials from a container's environment; empty values count as unset.

    Args:
        environment: variables as KServe or Google's tools set them.

    Raises:
        InvalidConfiguration: a key file that is missing or cannot be used, or an endpoint that is no URL.
    """
    given = {name: value.strip() for name, value in environment.items() if value and value.strip()}
    endpoint = given.get("STORAGE_EMULATOR_HOST")
    anonymous = given.get("RUNAI_STREAMER_GCS_USE_ANONYMOUS_CREDENTIALS", "").lower() in _TRUE
    secret = None if anonymous else _key_file(given)
    # No emulator asks for authorization.
    identity: Identity = "static" if secret else "anonymous" if anonymous or endpoint else "ambient"
    return GcsCredentials(
        connection=GcsConnection(
            endpoint_url=_endpoint(endpoint),
            project=given.get("GOOGLE_CLOUD_PROJECT"),
            ca_bundle=web_ca_bundle(environment),
            identity=identity,
        ),
        secret=secret,
    )


def _key_file(given: Mapping[str, str]) -> GcsSecret | None:
    path = given.get("RUNAI_STREAMER_GCS_CREDENTIAL_FILE") or given.get("GOOGLE_APPLICATION_CREDENTIALS")
    if not path:
        return None
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise InvalidConfiguration(
            f"The Google key file {path} cannot be read: {error.strerror}.",
            "Check the secret with gcloud-application-credentials.json on the service account.",
        ) from None
    except ValueError:
        text = ""
    try:
        kind = json.loads(text).get("type")
    except (ValueError, AttributeError, RecursionError):
        kind = None
    if kind != _KEY_KIND:
        # Its text is a secret: it is named, never shown.
        what = f"of type {kind!r}" if isinstance(kind, str) and kind.replace("_", "").isalnum() else "no key file"
        raise InvalidConfiguration(
            f"The Google key file {path} is {what}; a key of a service account is needed.",
            "Create a JSON key, or bind the pod's service account to a Google one (workload identity) without a file.",
        )
    return GcsSecret(key_file=SecretStr(text))


def _endpoint(text: str | None) -> str | None:
    if not text:
        return None
    url = text if "://" in text else f"http://{text}"
    if not url.startswith(("http://", "https://")) or "@" in url:
        raise InvalidConfiguration("The GCS endpoint is not an http or https URL.", "Write it as http://host:port.")
    return url.rstrip("/")
