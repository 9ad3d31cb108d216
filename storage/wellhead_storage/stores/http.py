"""One file of a web server.

A first request follows redirects by hand, so that the secret's headers go to the host they are for and to nobody
else, and finds out name, size and ETag, and whether the server sends ranges. Ranges then come through obstore
(`signed_link.py`); a server that has none is read from the start to the end.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from wellhead_storage.credentials.http import WebAccess, web_access
from wellhead_storage.errors import AccessDenied, IntegrityError, InvalidConfiguration, InvalidUri, StoreUnavailable
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.client import web_client
from wellhead_storage.stores.http_failures import is_page, refused, unreachable
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.stores.signed_link import LinkExpired, SignedLink
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    import httpx2
    from typing_extensions import Buffer

_MOST_REDIRECTS = 10
_SPAN = re.compile(r"bytes (\d+)-\d+/(\d+)")
_FILE_NAME = re.compile(r"filename\*?=(?:UTF-8'')?\"?([^\";]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the first request found out."""

    item: StoredObject
    url: str
    strong_etag: str | None


class HttpFile:
    """The file of one URL, as `Store`.

    Args:
        uri: `http://` or `https://`.
        access: headers and certificates.
        settings: time-outs.
    """

    def __init__(self, uri: StorageUri, access: WebAccess, settings: Settings) -> None:
        self.uri = uri
        self._access, self._settings = access, settings
        query = f"?{urlencode(uri.query, quote_via=quote)}" if uri.query else ""
        self._url = f"{uri.scheme}://{uri.container}/{uri.key}{query}"
        self._client = web_client(settings, access.ca_bundle)
        self._lock = threading.Lock()
        self._found: _Found | None = None
        self._link: SignedLink | None = None

    def objects(self) -> list[StoredObject]:
        """See `Store.objects`: the one file."""
        found = self._found = persist(self._look, self._settings, first=True)
        return [found.item]

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """See `Store.stream`."""
        if not item.ranged:
            yield from self._whole(item)
            return
        end = item.size if length is None else start + length
        if start >= end:
            return
        for _ in range(2):
            link = self._linked(item)
            try:
                yield from link.stream(item, self.uri.location, start, end)
                return
            except LinkExpired:  # where the URL leads to a signed one, as releases of forges do
                self._forget(link)
        raise AccessDenied(
            f"{self.uri.location} is refused after a new redirect, too.", "Check the headers in the secret."
        )

    def read(self, item: StoredObject, start: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        return b"".join(self.stream(item, start, length))

    def checksum(self, item: StoredObject) -> Checksum | None:
        """See `Store.checksum`."""
        return item.checksum

    def checksum_is_of_content(self, item: StoredObject, checksum: Checksum) -> bool:
        """See `Store.checksum_is_of_content`."""
        return True

    def _linked(self, item: StoredObject) -> SignedLink:
        with self._lock:
            if self._link is None:
                found = self._found or persist(self._look, self._settings)
                if found.item != item:
                    raise self._replaced()
                headers = self._headers_for(found.url)
                self._link = SignedLink(found.url, self._settings, self._access.ca_bundle, headers, found.strong_etag)
            return self._link

    def _forget(self, link: SignedLink) -> None:
        with self._lock:
            if self._link is link:
                self._link = self._found = None

    def _replaced(self) -> IntegrityError:
        return IntegrityError(
            f"{self.uri.location} was replaced while it was being read.", "Start again once the upload is finished."
        )

    def _headers_for(self, url: str) -> dict[str, str]:
        """The secret's headers, for the host they are for; never from https down to http."""
        ours, asked = urlsplit(self._url), urlsplit(url)
        same = (ours.scheme, ours.netloc.lower()) == (asked.scheme, asked.netloc.lower())
        return self._access.clear() if same else {}

    def _ask(self, method: str, **headers: str) -> tuple[httpx2.Response, str]:
        """An answer whose body is not read yet, and the URL it came from."""
        import httpx2

        url = self._url
        try:
            for _ in range(_MOST_REDIRECTS):
                own = {"accept-encoding": "identity", "user-agent": "wellhead", **self._headers_for(url), **headers}
                answer = self._client.send(self._client.build_request(method, url, headers=own), stream=True)
                if not answer.has_redirect_location:
                    return answer, url
                answer.close()
                url = urljoin(url, answer.headers["location"])
        except httpx2.HTTPError as error:
            raise unreachable(error, self.uri) from None  # its text may hold a signed URL
        except httpx2.InvalidURL:
            raise InvalidUri(f"{self.uri.location} leads to an address that is none.", "Check the URL.") from None
        raise InvalidConfiguration(
            f"{self.uri.location} redirects in a circle.", "Check the URL, and the proxy in front of the server."
        )

    def _look(self) -> _Found:
        # Not HEAD, which many servers and every signed GET refuse.
        answer, url = self._ask("GET", range="bytes=0-0")
        answer.close()  # one byte, or the beginning of everything
        if answer.status_code == 416:  # nothing at all in there
            return _Found(StoredObject(self._name(answer), 0, answer.headers.get("etag")), url, None)
        if answer.status_code >= 400:
            raise refused(answer.status_code, self.uri, has_headers=bool(self._access.headers))
        name = self._name(answer)
        if is_page(answer.headers.get("content-type", ""), name):
            raise AccessDenied(
                f"{self.uri.location} answers with a web page instead of a file.",
                "Check the URL; if the server asks for a login, give its headers in a secret with https-host.",
            )
        etag, changed = answer.headers.get("etag"), answer.headers.get("last-modified")
        strong = etag if etag and not etag.startswith("W/") else None
        span = _SPAN.fullmatch(answer.headers.get("content-range", ""))
        if answer.status_code == 206 and span:
            return _Found(StoredObject(name, int(span[2]), etag, changed), url, strong)
        size = answer.headers.get("content-length", "")
        sized = size.isdecimal() and "content-encoding" not in answer.headers
        item = StoredObject(name, int(size) if sized else 0, etag, changed, ranged=False, sized=sized)
        return _Found(item, url, strong)

    def _name(self, answer: httpx2.Response) -> str:
        name = unquote(PurePosixPath(self.uri.key).name)
        given = _FILE_NAME.search(answer.headers.get("content-disposition", ""))
        if given and not PurePosixPath(name).suffix:
            name = unquote(given[1]).rpartition("/")[2].strip()
        if not name:
            raise InvalidUri(f"{self.uri.location} names no file.", "Name the file itself.")
        return name

    def _whole(self, item: StoredObject) -> Iterator[bytes]:
        import httpx2

        answer, _ = self._ask("GET")
        deadline = time.monotonic() + self._settings.request_timeout
        try:
            if answer.status_code >= 400:
                raise refused(answer.status_code, self.uri, has_headers=bool(self._access.headers))
            if (answer.headers.get("etag"), answer.headers.get("last-modified")) != (item.etag, item.version):
                raise self._replaced()
            got = 0
            for chunk in answer.iter_raw(1024 * 1024):
                got += len(chunk)
                yield chunk
                if time.monotonic() > deadline and item.sized and got < item.size:
                    raise StoreUnavailable(
                        f"{self.uri.location} does not come within {self._settings.request_timeout:g} s, and its "
                        "server cannot go on from where it was.",
                        "Raise WELLHEAD_REQUEST_TIMEOUT.",
                    )
            if item.sized and got != item.size:
                raise IntegrityError(
                    f"{self.uri.location} gave {got:,} bytes where {item.size:,} were promised.",
                    "Check the proxy in front of the server.",
                )
        except httpx2.HTTPError as error:
            raise unreachable(error, self.uri) from None
        finally:
            answer.close()


def open_http(uri: StorageUri, environment: Mapping[str, str], settings: Settings) -> HttpFile:
    """Open the file of an `http(s)://` URI. No request is made yet.

    Raises:
        InvalidConfiguration: unusable headers or CA bundle.
    """
    return HttpFile(uri, web_access(environment, uri.container), settings)
