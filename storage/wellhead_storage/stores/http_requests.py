"""GET requests to a web server, whose redirects are followed by hand.

So it is provable, and in one place, that a secret's headers go to the host they are for and to nobody else: a client
that follows redirects by itself takes off `Authorization` on the way to another host, but no header with another name
(seen with reqwest, which is in obstore 0.12.1: `X-Api-Key` arrived there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urljoin, urlsplit

from wellhead_storage.credentials.http import WebAccess
from wellhead_storage.errors import InvalidConfiguration, InvalidUri
from wellhead_storage.settings import Settings
from wellhead_storage.stores.client import web_client
from wellhead_storage.stores.http_failures import unreachable
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    import httpx2

_MOST_REDIRECTS = 10
_SCHEMES = {"http", "https"}


class WebRequests:
    """Asks for the file of one URL.

    Args:
        uri: `http://` or `https://`.
        access: headers and certificates.
        settings: time-outs.
    """

    def __init__(self, uri: StorageUri, access: WebAccess, settings: Settings) -> None:
        self._uri, self._access = uri, access
        query = f"?{urlencode(uri.query, quote_via=quote)}" if uri.query else ""
        self._url = f"{uri.scheme}://{uri.container}/{uri.key}{query}"
        self._client = web_client(settings, access.ca_bundle)
        self._place = self._url

    def first(self, **headers: str) -> httpx2.Response:
        """The answer to the URL itself. Its body is not read yet, and closing it is the caller's affair.

        Raises:
            StoreUnavailable: no answer.
            InvalidConfiguration: redirects in a circle.
            InvalidUri: a redirect that is not followed.
        """
        import httpx2

        url = self._url
        try:
            for _ in range(_MOST_REDIRECTS):
                answer = self._send(url, headers)
                if not answer.has_redirect_location:
                    self._place = url
                    return answer
                answer.close()
                url = self._onward(url, answer.headers["location"])
        except httpx2.HTTPError as error:
            raise unreachable(error, self._uri) from None  # its text may hold a signed URL
        except (httpx2.InvalidURL, ValueError):
            raise InvalidUri(f"{self._uri.location} leads to an address that is none.", "Check the URL.") from None
        raise InvalidConfiguration(
            f"{self._uri.location} redirects in a circle.", "Check the URL, and the proxy in front of the server."
        )

    def again(self, **headers: str) -> httpx2.Response:
        """The same, straight from where the last answer came from, for as long as it is there.

        Signed URLs, to which the forges' own lead, expire; then the way starts over.
        """
        import httpx2

        place = self._place
        if place != self._url:
            try:
                answer = self._send(place, headers)
            except httpx2.HTTPError as error:
                raise unreachable(error, self._uri) from None
            if answer.is_success:
                return answer
            answer.close()
        return self.first(**headers)

    def _send(self, url: str, headers: dict[str, str]) -> httpx2.Response:
        import httpx2

        own = httpx2.Headers({"user-agent": "wellhead"})
        own.update(self._headers_for(url))
        own.update({"accept-encoding": "identity", **headers})
        return self._client.send(self._client.build_request("GET", url, headers=own), stream=True)

    def _headers_for(self, url: str) -> dict[str, str]:
        """The secret's headers, for the host they are for."""
        ours, asked = urlsplit(self._url), urlsplit(url)
        same = (ours.scheme, ours.netloc.lower()) == (asked.scheme, asked.netloc.lower())
        return self._access.clear() if same else {}

    def _onward(self, url: str, location: str) -> str:
        onward = urljoin(url, location)
        before, after = urlsplit(url).scheme, urlsplit(onward).scheme
        if after not in _SCHEMES:
            raise InvalidUri(
                f"{self._uri.location} redirects to {after[:20]}://, which is not followed.", "Check the URL."
            )
        if self._access.headers and (before, after) == ("https", "http"):
            raise InvalidUri(
                f"{self._uri.location} redirects from https:// to http://, which is not followed where a secret has "
                "headers for the server.",
                "Correct the server's redirect, or name the address that it leads to.",
            )
        return onward
