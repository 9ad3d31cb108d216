"""What the tests of every way of loading look at."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.counting_proxy import CountingProxy, Request

# The first way of loading that runs becomes the reference for all others, so that tests may run in any order.
_REFERENCE: list[list[list[float]]] = []


def same_as_every_other_way(probabilities: list[list[float]]) -> bool:
    assert all(len(tokens) == 8 for tokens in probabilities)
    _REFERENCE.append(probabilities)
    return probabilities == _REFERENCE[0]


def gone(members: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in members):
            return True
        time.sleep(0.1)
    return False


def gets(proxy: CountingProxy, suffix: str) -> list[Request]:
    return [request for request in proxy.requests if request.method == "GET" and request.path.endswith(suffix)]
