"""Which URIs the catalog server takes for an artifact, and what to do about the others. Pure.

One artifact with a URI that it does not take makes the server leave out the whole model (recorded:
tests/data/model-catalog/mistakes.json). It parses them with Go's net/url.
"""

from __future__ import annotations

import re

SCHEMES = ("oci", "http", "https", "s3", "gs", "az", "file")
"""As the server lists them in its own refusal (Kubeflow Hub of 2026-04-29)."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD_PORT = re.compile(r":(?!\d*$)")


def uri_fault(uri: str | None) -> str:
    """Why the server would drop a model with this artifact, a clause; empty where it would not."""
    if not uri:
        return "the artifact has no URI"
    if _CONTROL.search(uri):
        return f"the artifact URI {uri!r} holds control characters"
    match = _SCHEME.match(uri)
    if match is None:
        return f"the artifact URI {uri!r} has no scheme that a URL can have"
    if match[1].lower() not in SCHEMES:
        return f"the artifact URI {uri!r} has the scheme {match[1]}, and known are {', '.join(SCHEMES)}"
    rest, _, _ = uri[match.end() :].partition("?")
    host = rest.removeprefix("//").partition("/")[0].rpartition("@")[2] if rest.startswith("//") else ""
    if _BAD_ESCAPE.search(rest) or " " in host or _BAD_PORT.search(host):
        return f"the artifact URI {uri!r} is no URL for Go"
    return ""
