"""One file behind a signed link of the Hub: bytes of it, until the link expires.

The link is a secret, and so is never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from wellhead_storage.errors import IntegrityError, ObjectNotFound, StoreUnavailable
from wellhead_storage.settings import Settings
from wellhead_storage.stores.client import client_options, retry_config
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain
from wellhead_storage.stores.interface import StoredObject

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CHUNK = 1024 * 1024
_REFUSED = (PermissionDeniedError, UnauthenticatedError)
_GONE = re.compile(r"status code: 410")
_BEHIND_HOST = re.compile(r"(https?://[^/\s?]+)[^\s,)]*")


class LinkExpired(Exception):
    """The host behind the link does not accept it (any more)."""


class SignedLink:
    """A link to one file.

    Args:
        url: with its signature.
        settings: time-outs.
        ca_bundle: further authorities, or None.
    """

    def __init__(self, url: str, settings: Settings, ca_bundle: str | None) -> None:
        from obstore.store import HTTPStore

        options = client_options(settings, allow_http=url.startswith("http://"), ca_bundle=ca_bundle)
        # The whole link is the store's root, and the file its empty key: nothing of the signature is written anew.
        self._store = HTTPStore(url, client_options=options, retry_config=retry_config(settings))

    def stream(self, item: StoredObject, where: str, start: int, end: int) -> Iterator[Buffer]:
        """The bytes [start, end).

        Raises:
            LinkExpired: before the first byte.
            IntegrityError: other bytes than were asked for, or a file of another size.
            StoreUnavailable, ObjectNotFound: nothing, or not all, came.
        """
        try:
            answer = obstore.get(self._store, "", options={"range": (start, end)})
        except CLIENT_ERRORS as error:
            if isinstance(error, _REFUSED) or _GONE.search(str(error)):
                raise LinkExpired from None
            raise _explained(error, where) from None
        if answer.meta["size"] != item.size or answer.range != (start, end):
            raise IntegrityError(
                f"{where} has {answer.meta['size']:,} bytes where {item.size:,} were promised, or other bytes came "
                "than were asked for.",
                "Check the proxy in front of the server.",
            )
        got = 0
        try:
            for chunk in answer.stream(min_chunk_size=_CHUNK):
                got += len(chunk)
                yield chunk
        except CLIENT_ERRORS as error:
            if isinstance(error, _REFUSED):
                raise StoreUnavailable(f"The link to {where} expired on the way.", "Try again.") from None
            raise _explained(error, where) from None
        if got != end - start:
            raise IntegrityError(
                f"{where} gave {got:,} bytes where {end - start:,} were asked for.",
                "Check the proxy in front of the server.",
            )


def without_signatures(text: str) -> str:
    """A client's message with hosts only, where it has whole addresses."""
    return _BEHIND_HOST.sub(r"\1", text)


def _explained(error: Exception, where: str) -> Exception:
    if isinstance(error, FileNotFoundError):
        return ObjectNotFound(f"The Hub lists {where}, but its storage does not have it.", "Upload the file again.")
    return explain(type(error)(without_signatures(str(error).partition("\n\nDebug source")[0])), where)
