"""One store with one real model for all tests that start the real engine."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.engine import free_environment, smollm, wellhead
from tests.support.seaweedfs import SeaweedFS, seaweedfs

BUCKET, PREFIX = "models", "smollm2"
URI = f"s3://{BUCKET}/{PREFIX}"


@dataclass(frozen=True)
class Prepared:
    """What `wellhead init` left, and what it said."""

    folder: Path
    code: int
    output: str

    @property
    def sentence(self) -> str:
        return self.output.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return smollm()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        server.create_bucket(BUCKET)
        server.put_folder(BUCKET, PREFIX, checkpoint)
        yield server


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    """A pod's folder, with the token that both containers mount."""
    (tmp_path / "token").write_text("a-service-account-token")
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(pod: Path, uri: str, secret: dict[str, str], mode: str, loader: str = "") -> Prepared:
    """Run the init container: KServe's variables and nothing else."""
    environment = free_environment(pod, WELLHEAD_ENGINE="vllm", WELLHEAD_MODE=mode, WELLHEAD_LOADER=loader) | secret
    done = subprocess.run(
        wellhead("init", uri, str(pod / "models")),
        env=environment,
        cwd=pod,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Prepared(pod / "models", done.returncode, done.stderr)
