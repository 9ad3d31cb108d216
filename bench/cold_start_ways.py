"""The ways from a pod's first container to the first answer that are compared."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

STOCK = (sys.executable, "-m", "wellhead_runtime.engine", "serve")
"""vLLM as it is: the module does nothing but start it (the CPU build has no command that works)."""


@dataclass(frozen=True)
class Way:
    """How one pod starts.

    Attributes:
        first: what the init container does: KServe's library, `wellhead init` in a mode, or nothing, because the model
            lies on the disk already.
        label: for the table.
        settings: variables of the server.
        stock: vLLM itself, without the model server.
        fast: with a fast start, in our image, which has inspected model classes.
    """

    first: Literal["kserve", "stream", "download", "nothing"]
    label: str
    settings: Mapping[str, str] = field(default_factory=dict)
    stock: bool = False
    fast: bool = False


_STREAMER = {"WELLHEAD_LOADER": "runai_streamer"}
_OVERLAP = {"WELLHEAD_LOADER": "overlap"}
_OFF, _ON = {"WELLHEAD_FAST_START": "off"}, {"WELLHEAD_FAST_START": "on"}

WAYS: dict[str, Way] = {
    "kserve": Way("kserve", "KServe: download, then vLLM", stock=True),
    "download": Way("download", "Wellhead: download, then vLLM", _OFF),
    "streamer": Way("stream", "Run:ai streamer", _STREAMER | _OFF),
    "overlap": Way("stream", "overlap", _OVERLAP | _OFF),
    "overlap-fast": Way("stream", "overlap, fast start", _OVERLAP | _ON, fast=True),
    "local": Way("nothing", "local directory (the floor)", stock=True),
    "local-fast": Way("nothing", "local directory, fast start", _ON, fast=True),
}
