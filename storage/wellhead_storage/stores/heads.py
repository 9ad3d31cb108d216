"""Single requests beside obstore's, for what it does not show: further headers, and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from wellhead_storage.logs import log

if TYPE_CHECKING:
    from ssl import SSLContext

_SECONDS = 30


class Answer(NamedTuple):
    """What came back.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        headers: names in lower case; empty unless the answer was good.
    """

    status: int
    headers: dict[str, str]


def head(
    url: str, *, ca_bundle: str | None = None, verify_tls: bool = True, headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers of an object, names in lower case; empty where there is no good answer. Arguments as for `ask`."""
    return ask("HEAD", url, ca_bundle=ca_bundle, verify_tls=verify_tls, headers=headers).headers


def ask(
    method: str,
    url: str,
    *,
    ca_bundle: str | None = None,
    verify_tls: bool = True,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Make one request, without a body in either direction.

    Args:
        method: GET or HEAD.
        url: signed, or of something that `headers` or anybody may read.
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
        context = _context(ca_bundle, verify_tls) if url.startswith("https:") else None
        with urlopen(request, timeout=_SECONDS, context=context) as answer:  # noqa: S310
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()})
    except HTTPError as error:
        error.close()
        log.debug("a %s was answered with %s", method, error.code)  # the URL may be signed, and is not shown
        return Answer(error.code, {})
    except (OSError, HTTPException) as error:
        log.debug("no answer to a %s: %s", method, type(error).__name__)
        return Answer(0, {})


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
