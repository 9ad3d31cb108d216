"""Xet's own protocol through hf-xet: fewer bytes, since chunks are compressed, and no bridge in between.

What hf-xet 1.8 does not do by itself, and is done here: it keeps whole ranges in memory, so it is asked for small ones
(and not at all where memory is short); one stream cannot be given up, so the whole session is. Whatever goes wrong,
the reason is told once and everything comes over plain HTTP from there on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, ValidationError

from wellhead_storage.cgroups import memory_limit
from wellhead_storage.errors import WellheadError
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings
from wellhead_storage.stores.hub import Hub
from wellhead_storage.stores.signed_link import without_signatures

if TYPE_CHECKING:
    from hf_xet import XetDownloadStreamGroup, XetFileInfo, XetSession  # type: ignore[import-untyped]

_MIB = 1024 * 1024
_LARGEST, _SMALLEST = 16 * _MIB, 8 * _MIB
_EARLY = 60  # seconds before a token's end that a new one is asked for


class _Grant(BaseModel):
    """Leave to read a repository's content from Xet's storage, for some minutes."""

    url: str = Field(alias="casUrl", pattern=r"^https?://")
    token: SecretStr = Field(alias="accessToken")
    until: int = Field(alias="exp")


def piece_bytes(connections: int, limit: int | None) -> int:
    """How much to ask for at a time, or 0 where memory is too short.

    hf-xet holds about three times that for each transfer (measured), which may be 3/8 of the container's memory.
    """
    fitting = _LARGEST if limit is None else min(_LARGEST, limit // (8 * connections))
    return fitting if fitting >= _SMALLEST else 0


class Xet:
    """The content of one commit.

    Args:
        hub: grants leave to read.
        commit: the commit.
        settings: time-outs, and the number of transfers.
    """

    def __init__(self, hub: Hub, commit: str, settings: Settings) -> None:
        self._hub, self._settings = hub, settings
        self._grant_path = f"{quote(hub.uri.container)}/xet-read-token/{commit}"
        self._lock = threading.Lock()
        self._session: XetSession | None = None
        self._group: XetDownloadStreamGroup | None = None
        self._until = 0.0
        self._piece = piece_bytes(settings.connections, memory_limit())
        self._usable = bool(self._piece)
        if not self._usable:
            log.info("plain HTTP instead of Xet: the container has too little memory for %d", settings.connections)

    def stream(self, xet_hash: str, size: int, start: int, end: int) -> Iterator[bytes]:
        """The bytes [start, end) of a content, or only the first of them: the caller gets the rest another way."""
        if not self._usable or end - start < _MIB:  # a header takes fewer requests plainly
            return
        watch = threading.Timer(self._settings.request_timeout, self._give_up, ["a transfer took too long"])
        watch.daemon = True
        watch.start()
        try:
            group, content = self._connect(), _content(xet_hash, size)
            while start < end:
                wanted = min(start + self._piece, end)
                for chunk in group.download_stream(content, start, wanted):
                    start += len(chunk)
                    yield chunk
                if start != wanted:
                    self._give_up("it sent other bytes than were asked for")
                    return
        except (OSError, RuntimeError, ValueError) as error:  # all that hf-xet raises
            self._give_up(f"{type(error).__name__}: {without_signatures(str(error))}"[:300])
        except WellheadError as error:
            self._give_up(error.problem)
        finally:
            watch.cancel()

    def _connect(self) -> XetDownloadStreamGroup:
        with self._lock:
            if not self._usable:
                raise OSError("given up")
            if self._session is None:
                self._session = _session(self._settings)
            if self._group is None or time.time() > self._until - _EARLY:
                grant = self._grant()
                self._group = self._session.new_download_stream_group(
                    endpoint=grant.url,
                    token=grant.token.get_secret_value(),
                    token_expiry_unix_secs=grant.until,
                )
                self._until = grant.until
            return self._group

    def _grant(self) -> _Grant:
        [answer] = self._hub.pages(self._grant_path)
        try:
            return _Grant.model_validate(answer)
        except ValidationError:
            raise self._hub.senseless("it grants no access to Xet") from None

    def _give_up(self, reason: str) -> None:
        """Everything else that is under way ends within milliseconds, and goes on plainly too."""
        with self._lock:
            if not self._usable:
                return
            self._usable = False
            log.warning("plain HTTP instead of Xet from here on: %s", reason)
            if self._session is not None:
                self._session.sigint_abort()
            self._session = self._group = None


def _content(xet_hash: str, size: int) -> XetFileInfo:
    from hf_xet import XetFileInfo

    return XetFileInfo(xet_hash, size)


def _session(settings: Settings) -> XetSession:
    from hf_xet import XetConfig, XetSession

    own = {
        "client.connect_timeout": f"{settings.connect_timeout * 1000:.0f}ms",
        "client.read_timeout": f"{settings.stall_timeout * 1000:.0f}ms",
        "client.retry_max_attempts": 1,
        "client.retry_base_delay": "200ms",
        "telemetry.enabled": False,
    }
    return XetSession(XetConfig().with_config(own))
