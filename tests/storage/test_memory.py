"""A download needs little memory, however large the model, and none of the page cache that its container lacks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET
from tests.support.checkpoint import tiny_checkpoint
from tests.support.memory_cgroup import may_make_cgroups, memory_cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

MIB = 1 << 20
SIZE = 1024 * MIB

# Runs a command and writes down the most memory that it was resident with, in bytes.
MEASURED = """
import os, sys
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture(scope="module")
def large(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A model of 1 GiB, four times the memory of its container: its URI and its original."""
    folder = tiny_checkpoint(
        tmp_path_factory.mktemp("model"), shards=4, tensors_per_shard=4, tensor_bytes=SIZE // 16 - 4096
    )
    store.put_folder(BUCKET, "large-memory", folder)
    yield f"s3://{BUCKET}/large-memory", folder
    for path in folder.iterdir():
        store.delete(BUCKET, f"large-memory/{path.name}")
        path.unlink()


@pytest.mark.skipif(not may_make_cgroups(), reason="only root can make cgroups, and where the host lets it")
def test_a_gibibyte_in_a_container_of_256_mib(pod: Pod, large: tuple[str, Path]) -> None:
    uri, original = large
    resident = pod.folder / "resident"
    with memory_cgroup(256 * MIB) as cgroup:
        pod.command = (*cgroup.entering, sys.executable, "-c", MEASURED, str(resident), *pod.command)
        outcome = pod.init(uri, WELLHEAD_MODE="download")
        assert outcome.exit_code == 0, outcome.stderr
        assert cgroup.kills == 0
        assert cgroup.peak <= 256 * MIB
    for path in original.iterdir():
        assert (pod.destination / path.name).stat().st_size == path.stat().st_size
        assert same(pod.destination / path.name, path)
    assert int(resident.read_text()) < 100 * MIB


def same(one: Path, other: Path) -> bool:
    """Whether two files are equal, without holding either."""
    with one.open("rb") as here, other.open("rb") as there:
        while block := here.read(MIB):
            if block != there.read(MIB):
                return False
        return not there.read(1)
