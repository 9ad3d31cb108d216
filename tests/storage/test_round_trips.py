"""How long `wellhead init` waits for the store does not depend on the number of shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model
from tests.support.checkpoint import tiny_checkpoint
from tests.support.counting_proxy import counting_proxy, round_trips

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

# Long enough for 120 connections to be opened within it on a busy machine.
LATENCY = 0.4


@pytest.mark.parametrize("shards", [1, 12, 120])
def test_three_round_trips_whatever_the_number_of_shards(
    pod: Pod, store: SeaweedFS, tmp_path: Path, shards: int
) -> None:
    """The listing; metadata and the length of every header; the headers."""
    folder = tiny_checkpoint(tmp_path / "model", shards=shards, tensors_per_shard=2, tensor_bytes=128)
    model = Model(store, f"of-{shards}-shards", folder).upload()
    with counting_proxy(store.endpoint_url, latency=LATENCY) as proxy:
        outcome = pod.init(model.uri, **store.environment(proxy.endpoint_url))
        requests = proxy.requests
    assert outcome.exit_code == 0, outcome.stderr
    assert len(requests) == 1 + (len(model.files) - shards) + 2 * shards
    assert round_trips(requests) == 3
    assert len(pod.plan.weights.files) == shards
