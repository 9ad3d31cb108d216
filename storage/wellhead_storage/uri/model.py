"""What a model URI is, once it is parsed: one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlencode

Kind = Literal["s3", "gs", "az", "hf", "http", "file", "mounted", "registry", "delegated"]

WRAPPER = "runai_streamer"
"""The wrapper protocol of llm-d's users: `runai_streamer://<any URI>` demands streaming."""

STREAMABLE: frozenset[Kind] = frozenset({"s3", "gs", "az"})
"""Kinds of store that the Run:ai streamer reads by itself."""

_SIGNED_QUERIES: frozenset[Kind] = frozenset({"http", "delegated"})  # a web address carries its signature there


@dataclass(frozen=True, slots=True)
class StorageUri:
    """Where a model lives.

    Attributes:
        kind: which store serves it.
        scheme: lower-case scheme as normalised (`s3`, `gs`, `az`, `hf`, `https`, `file`, …).
        container: bucket, container, host, or `owner/model` for Hugging Face; empty for `file`.
        key: the folder or object inside it, without leading or trailing slash (absolute path for `file`).
        account: Azure storage account, else empty.
        suffix: of its host, where that is not the public cloud's, else empty.
        revision: Hugging Face revision, else empty.
        query: decoded query parameters, in the order written.
        forced_stream: written as `runai_streamer://…`.
    """

    kind: Kind
    scheme: str
    container: str
    key: str
    account: str = ""
    suffix: str = ""
    revision: str = ""
    query: tuple[tuple[str, str], ...] = field(default=())
    forced_stream: bool = False

    def __str__(self) -> str:
        """The normal form; parsing it gives an equal object."""
        text = f"{self.scheme}://{self._authority()}{self._path()}"
        if self.query:
            text += "?" + urlencode(self.query)
        return f"{WRAPPER}://{text}" if self.forced_stream else text

    def _authority(self) -> str:
        if self.kind == "az" and self.account:
            return f"{self.container}@{self.account}" + (f".{self.suffix}" if self.suffix else "")
        return self.container

    def _path(self) -> str:
        if self.kind == "file":
            return self.key
        revision = f"@{self.revision}" if self.revision else ""
        return (f"/{self.key}" if self.key else "") + revision

    @property
    def parameters(self) -> dict[str, str]:
        """The query as a dict (the last of equal names wins)."""
        return dict(self.query)

    @property
    def location(self) -> str:
        """Scheme, container and key only: what the streamer and a reader of the log are shown."""
        return str(replace(self, query=(), forced_stream=False, account=""))

    @property
    def public(self) -> str:
        """The normal form without what may be secret: the query of a web address can be its signature."""
        return str(replace(self, query=())) if self.kind in _SIGNED_QUERIES else str(self)

    def as_asked(self, text: str) -> str:
        """The text this was parsed from, if that may be shown; else `public`."""
        return self.public if self.kind in _SIGNED_QUERIES else text

    def child(self, name: str) -> str:
        """The URI of an object below this folder, for messages."""
        if self.kind == "hf":  # a revision stands behind everything else
            return replace(self, key=f"{self.key}/{name}".lstrip("/")).location
        return f"{self.location.rstrip('/')}/{name}"
