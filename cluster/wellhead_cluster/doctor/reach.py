"""What `wellhead_storage` itself makes of an init container's variables: the same functions as in the container."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wellhead_storage.credentials.azure import azure_credentials
from wellhead_storage.credentials.gcs import gcs_credentials
from wellhead_storage.credentials.http import web_access
from wellhead_storage.credentials.hugging_face import hugging_face_access
from wellhead_storage.credentials.kinds import Credentials
from wellhead_storage.credentials.s3 import s3_credentials
from wellhead_storage.errors import WellheadError
from wellhead_storage.uri import StorageUri

# Paths of the container's: here they are not.
BUNDLES = (
    *("AWS_CA_BUNDLE", "CA_BUNDLE_VOLUME_MOUNT_POINT", "CA_BUNDLE_CONFIGMAP_NAME", "AWS_CA_BUNDLE_CONFIGMAP"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
)
_CA_IN_ENTRY = ("STORAGE_CONFIG", "STORAGE_OVERRIDE_CONFIG")


@dataclass(frozen=True, slots=True)
class Reach:
    """How a store would be reached.

    Attributes:
        problem: why it cannot be, in a sentence without a secret.
        hint: what to do about that.
        static: there is a secret to sign with.
        anonymous: nothing needs to be signed.
        elsewhere: the endpoint is not the cloud's own.
        words: what kind of credentials they are.
    """

    problem: str = ""
    hint: str = ""
    static: bool = False
    anonymous: bool = False
    elsewhere: bool = False
    words: str = "none"


def reach_of(uri: StorageUri, environment: Mapping[str, str], files: Mapping[str, str]) -> Reach:
    """Collect credentials as the init container would.

    Args:
        uri: of the model.
        environment: of the init container.
        files: path in the container → content.
    """
    try:
        with brought(environment, files) as usable:
            return _reach(uri, usable)
    except WellheadError as error:
        return Reach(problem=error.problem, hint=error.hint)


@contextmanager
def brought(environment: Mapping[str, str], files: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment as it can be used on this machine: files in a private folder that is removed, no CA bundles."""
    with tempfile.TemporaryDirectory(prefix="wellhead-doctor-") as folder:
        usable = {name: value for name, value in environment.items() if name not in BUNDLES}
        for number, (path, content) in enumerate(files.items()):
            copy = Path(folder) / str(number)
            copy.touch(mode=0o600)
            copy.write_text(content)
            usable = {name: str(copy) if value == path else value for name, value in usable.items()}
        yield usable


def _reach(uri: StorageUri, environment: dict[str, str]) -> Reach:
    if uri.kind == "s3":
        return _of(s3_credentials(_without_bundle(environment), uri.parameters), "S3 keys")
    if uri.kind == "gs":
        return _of(gcs_credentials(environment), "a Google key")
    if uri.kind == "az":
        return _of(azure_credentials(environment, uri.account, uri.suffix), "Azure credentials")
    if uri.kind == "hf":
        access = hugging_face_access(environment)
        return Reach(static=access.token is not None, anonymous=access.anonymous, words="a Hugging Face token")
    headers = web_access(environment, uri.container).headers
    return Reach(static=bool(headers), words="headers")


def _of(credentials: Credentials, words: str) -> Reach:
    link = credentials.connection
    return Reach(
        static=credentials.secret is not None,
        anonymous=link.identity == "anonymous",
        elsewhere=bool(link.endpoint_url) and "amazonaws.com" not in (link.endpoint_url or ""),
        words=words,
    )


def _without_bundle(environment: dict[str, str]) -> dict[str, str]:
    """An entry of storage-config may name a CA bundle by its path in the container."""
    usable = dict(environment)
    for name in _CA_IN_ENTRY:
        try:
            entry = json.loads(usable.get(name) or "{}")
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.pop("ca_bundle", None):
            usable[name] = json.dumps(entry)
    return usable
