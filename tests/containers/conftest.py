"""Fixtures: images, made once and kept outside the repository, and what a pod's containers meet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.containers.base_image import BaseImage, base_image
from tests.containers.images import Image, build, wheelhouse
from tests.containers.init_container import InitContainer
from tests.containers.vllm_image import WHEELS, vllm_image
from tests.containers.workshop import Workshop, open_workshop, why_impossible
from tests.support.checkpoint import tiny_checkpoint
from tests.support.seaweedfs import SeaweedFS, seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
BUCKET = "models"
LARGE = 200 << 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder; the first test that needs an image also waits for its making."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def workshop() -> Iterator[Workshop]:
    """The private image store; in CI a machine without the tools fails the tests instead of skipping them."""
    if reason := why_impossible():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with open_workshop() as opened:
        yield opened


@pytest.fixture(scope="session")
def base(workshop: Workshop) -> BaseImage:
    """The stand-in for the official Python image."""
    return base_image(workshop)


@pytest.fixture(scope="session")
def initializer(workshop: Workshop, base: BaseImage) -> Image:
    """Our initializer image, built from this checkout."""
    return build(workshop, base, "initializer", wheelhouse(workshop, base.python))


@pytest.fixture(scope="session")
def runtime(workshop: Workshop, base: BaseImage) -> Image:
    """Our runtime image on the stand-in for vLLM's image, which has no plugins for Google's and Azure's storage."""
    wheels = wheelhouse(workshop, base.python, WHEELS)
    arguments = {"VLLM_IMAGE": vllm_image(workshop, base, wheels), "STREAMER_STORES": "s3"}
    return build(workshop, base, "runtime", wheels, arguments)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """An object store with an empty bucket `models`."""
    with seaweedfs(tmp_path_factory.mktemp("store")) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="session")
def checkpoint(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model in `s3://models/llama`; the folder has the original."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"), shards=3, tensor_bytes=64 << 10)
    store.put_folder(BUCKET, "llama", folder)
    return folder


@pytest.fixture(scope="session")
def large(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 200 MiB in `s3://models/large`."""
    folder = tmp_path_factory.mktemp("large")
    tiny_checkpoint(folder, shards=2, tensors_per_shard=4, tensor_bytes=LARGE // 8)
    store.put_folder(BUCKET, "large", folder)
    return folder


@pytest.fixture
def init(initializer: Image, store: SeaweedFS, tmp_path: Path) -> InitContainer:
    """Our init container in a pod that may read the store."""
    return InitContainer(initializer, tmp_path, store.environment())
