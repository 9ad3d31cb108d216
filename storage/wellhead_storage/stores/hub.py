"""Requests to a Hugging Face Hub: time-outs, retries, redirects, and its refusals in sentences.

`huggingface_hub` gives the headers and its rate limits' notation. Its own listing calls are not used: they switch
httpx2's time-outs off and retry by themselves, for as long as the server asks (2.4.0, `utils/_pagination.py`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wellhead_storage.credentials.hugging_face import HUB, HuggingFaceAccess
from wellhead_storage.errors import StoreUnavailable
from wellhead_storage.retrying import attempts
from wellhead_storage.settings import Settings
from wellhead_storage.stores.client import web_client
from wellhead_storage.stores.hub_failures import is_distrust, refused, unreachable
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    import httpx2

_MOST_REDIRECTS = 10
_WAITED_FOR = {408, 429, 500, 502, 503, 504}


class Hub:
    """One repository of a Hub.

    Args:
        uri: the model, for messages.
        access: endpoint and token.
        settings: time-outs.
    """

    def __init__(self, uri: StorageUri, access: HuggingFaceAccess, settings: Settings) -> None:
        self.uri, self.access, self._settings = uri, access, settings

    @cached_property
    def client(self) -> httpx2.Client:
        """Opened at the first request, closed with this object."""
        client = web_client(self._settings, self.access.ca_bundle)
        weakref.finalize(self, client.close)
        return client

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {"accept-encoding": "identity", **self.access.headers()}

    def pages(self, path: str, **query: str) -> list[Any]:
        """The JSON of an API address, and of every next page that it names.

        Raises:
            ObjectNotFound, AccessDenied: the Hub's refusal.
            StoreUnavailable: not reached, or no sense in the answer.
        """
        import httpx2

        found, seen = [], set()
        address = str(httpx2.URL(f"{self.access.endpoint}/api/models/{path}", params=query))
        while address:
            if address in seen:
                raise self.senseless("its pages go round in circles")
            seen.add(address)
            answer = self._persist(partial(self._ask_whole, address))
            try:
                found.append(answer.json())
            except ValueError as error:
                raise self.senseless("its answer is no JSON") from error
            address = self._ours(answer.links.get("next", {}).get("url", ""))
        return found

    def get(self, address: str, where: str, **headers: str) -> httpx2.Response:
        """Ask the Hub for a file; the answer's body is not read yet, and the caller closes it.

        Args:
            address: URL.
            where: what it is, for messages.
            headers: further ones.

        Returns:
            The answer; a redirect to another host, which may not see the token, is not followed.

        Raises:
            ObjectNotFound, AccessDenied, StoreUnavailable: after retries, where those may help.
        """
        return self._persist(partial(self._ask, address, where, away=False, headers=headers))

    def _persist(self, ask: Callable[[], httpx2.Response]) -> httpx2.Response:
        for attempt in attempts(self._settings, self._wait):
            with attempt:
                return ask()
        raise AssertionError("stamina either returns or raises")

    def is_hub(self, address: str) -> bool:
        """Whether a URL is of the host that may see the token."""
        ours, asked = urlsplit(self.access.endpoint), urlsplit(address)
        return (ours.scheme, ours.netloc.lower()) == (asked.scheme, asked.netloc.lower())

    def _ask_whole(self, address: str) -> httpx2.Response:
        import httpx2

        answer = self._ask(address, self.uri.location, away=True, headers={})
        try:
            answer.read()
        except httpx2.HTTPError as error:
            raise unreachable(error, self.uri.location, self.access.endpoint) from error
        finally:
            answer.close()
        return answer

    def _ask(self, address: str, where: str, *, away: bool, headers: dict[str, str]) -> httpx2.Response:
        import httpx2

        try:
            own = self._headers if self.is_hub(address) else {"accept-encoding": "identity"}
            request = self.client.build_request("GET", address, headers={**own, **headers})
            for _ in range(_MOST_REDIRECTS):
                answer = self.client.send(request, stream=True)
                if answer.next_request is None:
                    break
                if not away and not self.is_hub(str(answer.next_request.url)):
                    answer.close()
                    return answer
                answer.close()
                request = answer.next_request  # httpx2 drops the authorization where the origin changes
            else:
                raise self.senseless("its redirects go round in circles")
            if answer.status_code >= 400:
                answer.close()
                refusal = httpx2.HTTPStatusError(f"status {answer.status_code}", request=request, response=answer)
                signed = "authorization" in own
                raise refused(
                    answer.status_code, answer.headers, where, self.uri, self.access.endpoint, signed
                ) from refusal
        except httpx2.HTTPError as error:
            raise unreachable(error, where, self.access.endpoint) from error
        return answer

    def _wait(self, error: Exception) -> bool | float:
        """Whether trying again may help; the seconds, where the Hub says how many."""
        import httpx2
        from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

        cause = error.__cause__
        if not isinstance(cause, httpx2.HTTPStatusError):
            return isinstance(cause, httpx2.TransportError) and not is_distrust(cause)
        if cause.response.status_code not in _WAITED_FOR:
            return False
        headers = cause.response.headers
        limit = parse_ratelimit_headers(headers)
        asked = headers.get("retry-after", "")
        seconds = float(asked) if asked.isdecimal() else float(limit.reset_in_seconds) if limit else 0.0
        return seconds <= self._settings.retry_timeout and (seconds or True)

    def senseless(self, why: str) -> StoreUnavailable:
        """For answers that no Hub gives."""
        return StoreUnavailable(
            f"{self.access.endpoint} does not answer for {self.uri.location} as a Hub does: {why}.",
            "Check HF_ENDPOINT and the proxy in front of it.",
        )

    def _ours(self, address: str) -> str:
        # A proxy of the Hub may hand on the Hub's own addresses.
        if address.startswith(f"{HUB}/"):
            return self.access.endpoint + address.removeprefix(HUB)
        return address
