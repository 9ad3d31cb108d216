"""One HEAD, for headers that obstore does not show: checksums, and how an object is encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from wellhead_storage.logs import log

if TYPE_CHECKING:
    from ssl import SSLContext

_SECONDS = 30


def head(
    url: str, *, ca_bundle: str | None = None, verify_tls: bool = True, headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers of an object, names in lower case; empty where there is no good answer.

    Args:
        url: signed, or of something that anybody may read.
        ca_bundle: further authorities.
        verify_tls: whether to check the certificate.
        headers: to send.
    """
    from urllib.request import Request, urlopen

    request = Request(url, method="HEAD", headers=dict(headers or {}))  # noqa: S310 - made by our own clients
    try:
        with urlopen(request, timeout=_SECONDS, context=_context(ca_bundle, verify_tls)) as answer:  # noqa: S310
            return {name.lower(): value for name, value in answer.headers.items()}
    except OSError as error:  # urllib's errors are all of this kind
        log.debug("no answer to a HEAD: %s", type(error).__name__)  # the URL is signed, and not shown
        return {}


@lru_cache
def _context(ca_bundle: str | None, verify_tls: bool) -> SSLContext:
    """One for all objects: reading the authorities takes 20 ms."""
    import ssl

    context = ssl.create_default_context(cafile=ca_bundle)
    if not verify_tls:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
