"""Keeping secrets out of what the child says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from wellhead_storage.delegated.services import service
from wellhead_storage.uri import StorageUri

HDFS_SECRETS = "/var/secrets/kserve-hdfscreds"
"""Where KServe mounts the secret for HDFS (`_HDFS_SECRET_DIRECTORY` of kserve_storage)."""

_SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|SECRET|TOKEN|KEYTAB|CREDENTIALS?|SIGNATURE|HEADERS?|(_|^)(ACCESS|API|TLS|STORAGE).?KEY)$",
    re.IGNORECASE,
)
_CONTAINERS = ("STORAGE_CONFIG", "STORAGE_OVERRIDE_CONFIG")
_URL = re.compile(r"(?P<scheme>\bhttps?://)(?:[^/\s@'\"]*@)?(?P<place>[^\s?'\"<>]*)(?:\?[^\s'\"<>]*)?")
_SHORTEST = 4  # characters; anything shorter would black out ordinary words


def redactor(environment: Mapping[str, str], uri: StorageUri) -> Callable[[str], str]:
    """A function that removes from a text the secrets of the environment, and user and query of every URL."""
    values = {value for value in _secrets(environment, uri) if len(value) >= _SHORTEST}
    spellings = {spelling for value in values for spelling in (value, quote(value, safe=""), repr(value)[1:-1])}
    longest_first = sorted(spellings, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def redact(text: str) -> str:
        text = _URL.sub(r"\g<scheme>\g<place>", text)
        return known.sub("***", text) if known else text

    return redact


def _secrets(environment: Mapping[str, str], uri: StorageUri) -> Iterator[str]:
    for name, value in environment.items():
        if name in _CONTAINERS or _SECRET_NAME.search(name):
            yield from _leaves(name, value)
    yield from uri.parameters.values()
    if service(uri) == "hdfs":
        with suppress(OSError, UnicodeDecodeError):
            folder = Path(environment.get("HDFS_SECRET_DIR") or HDFS_SECRETS)
            yield from _leaves("HEADERS", (folder / "HEADERS").read_text())


def _leaves(name: str, value: object) -> Iterator[str]:
    """The secret strings in a value that may be JSON: a header's value among them, with and without `Bearer`."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            parsed = json.loads(value)
            if isinstance(parsed, dict):
                yield from _leaves(name, parsed)
                return
        if name not in _CONTAINERS:
            yield value.strip()
            yield from value.split()[-1:]
    elif isinstance(value, dict):
        for key, inner in value.items():
            # In a secret's JSON only some entries are secret; among headers every one may be.
            secret = name not in _CONTAINERS or _SECRET_NAME.search(key)
            yield from _leaves(key if name in _CONTAINERS else name, inner) if secret else ()
