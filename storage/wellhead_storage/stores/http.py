"""One file of a web server.

A first request finds out name, size and edition, and whether the server sends ranges; one that has none is read from
the start to the end. Every answer is held against the edition that was looked at: without an ETag a server would go on
with another file of the same size.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from wellhead_storage.credentials.http import WebAccess, web_access
from wellhead_storage.errors import AccessDenied, IntegrityError, StoreUnavailable, WellheadError
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.http_answers import FIRST_BYTE, described, file_name, is_edition, is_page, size_beyond
from wellhead_storage.stores.http_failures import refused, replaced, unreachable
from wellhead_storage.stores.http_requests import WebRequests
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    import httpx2

_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416


class HttpFile:
    """The file of one URL, as `Store`.

    Args:
        uri: `http://` or `https://`.
        access: headers and certificates.
        settings: time-outs.
    """

    def __init__(self, uri: StorageUri, access: WebAccess, settings: Settings) -> None:
        self.uri = uri
        self._settings = settings
        self._has_headers = bool(access.headers)
        self._requests = WebRequests(uri, access, settings)

    def objects(self) -> list[StoredObject]:
        """See `Store.objects`: the one file."""
        return [persist(self._look, self._settings, first=True)]

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `Store.stream`."""
        if not item.ranged:
            answer, wanted = self._requests.again(), item.size if item.sized else None
        else:
            wanted = (item.size if length is None else start + length) - start
            if wanted <= 0:
                return
            answer = self._requests.again(range=f"bytes={start}-{start + wanted - 1}")
        try:
            self._check(answer, item, start, wanted)
            yield from self._body(answer, item, wanted)
        finally:
            answer.close()

    def read(self, item: StoredObject, start: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        return b"".join(self.stream(item, start, length))

    def checksum(self, item: StoredObject) -> Checksum | None:
        """See `Store.checksum`."""
        return item.checksum

    def checksum_is_of_content(self, item: StoredObject, checksum: Checksum) -> bool:
        """See `Store.checksum_is_of_content`."""
        return True

    def _look(self) -> StoredObject:
        answer = self._requests.first(range=FIRST_BYTE)
        answer.close()  # one byte, or the beginning of everything
        size = size_beyond(answer.status_code, answer.headers)
        if size is None and answer.status_code in {_PARTIAL, _NO_SUCH_RANGE}:
            answer = self._requests.first()
            answer.close()
        if size is None and answer.status_code != _OK:
            raise self._refused(answer)
        name = file_name(self.uri, answer.headers)
        if answer.status_code != _NO_SUCH_RANGE and is_page(answer.headers, name):
            raise AccessDenied(
                f"{self.uri.location} answers with a web page instead of a file.",
                "Check the URL; if the server asks for a login, give its headers in a secret with https-host.",
            )
        return described(name, size, answer.headers)

    def _check(self, answer: httpx2.Response, item: StoredObject, start: int, wanted: int | None) -> None:
        if answer.status_code == _NO_SUCH_RANGE and item.ranged:  # it is smaller now
            raise replaced(self.uri)
        if answer.status_code not in {_OK, _PARTIAL}:
            raise self._refused(answer)
        if not is_edition(item, answer.headers):
            raise replaced(self.uri)
        span = answer.headers.get("content-range")
        if span != (f"bytes {start}-{start + (wanted or 0) - 1}/{item.size}" if item.ranged else None):
            raise IntegrityError(
                f"{self.uri.location} came with other bytes than were asked for ({span or 'all of them'}).",
                "Check the proxy or cache in front of the server.",
            )

    def _body(self, answer: httpx2.Response, item: StoredObject, wanted: int | None) -> Iterator[bytes]:
        import httpx2

        deadline = time.monotonic() + self._settings.request_timeout
        got = 0
        try:
            for chunk in answer.iter_raw():
                got += len(chunk)
                if wanted is not None and got > wanted:
                    break
                yield chunk
                if time.monotonic() > deadline and wanted is not None and got < wanted:
                    cannot = "" if item.ranged else ", and its server cannot go on from where it was"
                    raise StoreUnavailable(
                        f"{self.uri.location} does not come within {self._settings.request_timeout:g} s{cannot}.",
                        "Raise WELLHEAD_REQUEST_TIMEOUT.",
                    )
        except httpx2.HTTPError as error:
            raise unreachable(error, self.uri) from None
        if wanted is not None and got != wanted:
            raise IntegrityError(
                f"{self.uri.location} gave {got:,} bytes where {wanted:,} were promised.",
                "Check the proxy in front of the server.",
            )

    def _refused(self, answer: httpx2.Response) -> WellheadError:
        return refused(answer.status_code, self.uri, has_headers=self._has_headers)


def open_http(uri: StorageUri, environment: Mapping[str, str], settings: Settings) -> HttpFile:
    """Open the file of an `http(s)://` URI. No request is made yet.

    Raises:
        InvalidConfiguration: unusable headers or CA bundle.
    """
    return HttpFile(uri, web_access(environment, uri.container), settings)
