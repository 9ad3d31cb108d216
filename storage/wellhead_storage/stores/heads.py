"""Single requests beside obstore's, for what it does not show: further headers, and what is allowed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from wellhead_storage.errors import StoreUnavailable
from wellhead_storage.logs import log
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from ssl import SSLContext

_TRIES = 4
_PASSING = {0, 408, 425, 429}  # and everything from 500 on
_ABOUT_THE_OBJECT = {404, 410, 412}


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        headers: names in lower case; empty unless the answer was good.
    """

    status: int
    headers: dict[str, str]


class Heads:
    """The headers of one store's objects, asked for with a HEAD each.

    They only add to what is known of an object. So a store that gives none ends nothing, but is never passed over in
    silence: it is said once, and not asked again.

    Args:
        location: what to call the store.
        settings: for the time-outs.
    """

    def __init__(self, location: str, settings: Settings) -> None:
        self._location, self._settings = location, settings
        self._silenced = threading.Event()

    def of(self, request: Callable[[], Answer]) -> dict[str, str]:
        """Headers, names in lower case; empty where the store gives none."""
        if self._silenced.is_set():
            return {}
        try:
            answer = self.insist(request)
        except StoreUnavailable:
            self.give_up("it does not answer")
            return {}
        if answer.status >= 300 and answer.status not in _ABOUT_THE_OBJECT:
            self.give_up(f"it answers {answer.status}")
        return answer.headers

    def insist(self, request: Callable[[], Answer]) -> Answer:
        """An answer, whatever it says, after a few tries.

        Raises:
            StoreUnavailable: there is none.
        """
        return persist(partial(self._once, request), self._settings, tries=_TRIES)

    def give_up(self, why: str) -> None:
        """Ask no more."""
        if not self._silenced.is_set():
            self._silenced.set()
            log.warning("no checksums from %s: %s; only what the listing says is checked", self._location, why)

    def _once(self, request: Callable[[], Answer]) -> Answer:
        answer = request()
        if answer.status in _PASSING or answer.status >= 500:
            raise StoreUnavailable(
                f"{self._location} gives no headers of its objects (status {answer.status or 'none'}).",
                "Try again later, or set WELLHEAD_VERIFY=size.",
            )
        return answer


def ask(
    method: str,
    url: str,
    *,
    timeout: float,
    ca_bundle: str | None = None,
    verify_tls: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make one request, without a body in either direction.

    Args:
        method: GET or HEAD.
        url: signed, or of something that `headers` or anybody may read.
        timeout: seconds without a byte.
        ca_bundle: further authorities, besides the usual ones.
        verify_tls: whether to check the certificate.
        headers: to send; not to where a redirect leads, since they may authorize.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    request = Request(url, method=method)  # noqa: S310 - made by our own clients
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)
    try:
        with _making_one:
            context = _context(ca_bundle, verify_tls) if url.startswith("https:") else None
        with urlopen(request, timeout=timeout, context=context) as answer:  # noqa: S310
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()})
    except HTTPError as error:
        error.close()
        log.debug("a %s was answered with %s", method, error.code)  # the URL may be signed, and is not shown
        return Answer(error.code, {})
    except (OSError, HTTPException, ValueError) as error:
        log.debug("no answer to a %s: %s", method, type(error).__name__)
        return Answer(0, {})


_making_one = threading.Lock()


@lru_cache
def _context(ca_bundle: str | None, verify_tls: bool) -> SSLContext:
    """One for all objects: reading the authorities takes 20 ms."""
    import ssl

    context = ssl.create_default_context()  # given a bundle, it would trust nothing else
    if ca_bundle:
        context.load_verify_locations(ca_bundle)
    if not verify_tls:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
