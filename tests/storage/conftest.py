"""Fixtures: one real object store for the whole folder, models in it, and a pod per test."""

from __future__ import annotations

import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET, Model
from tests.storage.pod import Pod
from tests.support.checkpoint import tiny_checkpoint
from tests.support.seaweedfs import SeaweedFS, seaweedfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = count(1)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """An object store with the bucket `models`."""
    with seaweedfs(tmp_path_factory.mktemp("store")) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model of three shards, on disk."""
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"), shards=3, tensor_bytes=64 << 10)


@pytest.fixture(scope="session")
def llama(store: SeaweedFS, checkpoint: Path) -> Model:
    """That model as `s3://models/llama`, which no test may change."""
    return Model(store, "llama", checkpoint).upload()


@pytest.fixture(scope="session")
def new_model(store: SeaweedFS, checkpoint: Path) -> Callable[[], Model]:
    """Makes copies of that model, to be changed."""
    return lambda: Model(store, f"copy-{next(_numbers)}", checkpoint).upload()


@pytest.fixture
def model(new_model: Callable[[], Model]) -> Model:
    """A copy of that model, for this test to change."""
    return new_model()


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that other users reach, too (pytest's own are closed to them)."""
    folder = Path(tempfile.mkdtemp(prefix="wellhead-pods-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_pod(store: SeaweedFS, open_folder: Path) -> Callable[[], Pod]:
    """Makes pods that may read the store."""

    def make() -> Pod:
        folder = open_folder / f"pod-{next(_numbers)}"
        folder.mkdir()
        return Pod(folder, store.environment(reader=True))

    return make


@pytest.fixture
def pod(new_pod: Callable[[], Pod]) -> Iterator[Pod]:
    """A pod that may read the store."""
    pod = new_pod()
    yield pod
    shutil.rmtree(pod.folder)
