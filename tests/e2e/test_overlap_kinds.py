"""Whatever the checkpoint looks like, the engine computes the same from shared memory as from a local folder.

Of the kinds of compressed-tensors vLLM 0.32 takes on CPU W8A8 (CPUInt8ScaledMMLinearKernel) and W4A16
(CPUWNA16LinearKernel).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import random_models
from tests.e2e.conftest import BUCKET, prepare
from tests.e2e.engine import Engine, free_environment, running, wellhead
from tests.e2e.observed import gets
from tests.support.counting_proxy import CountingProxy, Request, counting_proxy
from tests.support.seaweedfs import SeaweedFS

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

Kind = Callable[[Path], Path]
KINDS: list[Kind] = [
    random_models.many_shards,
    random_models.mixture_of_experts,
    random_models.eight_bits,
    random_models.four_bits,
]
_PATIENCE = 200  # seconds; both ranks wait after about 25 on two idle cores
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Copies:
    """A model in a folder, and what `wellhead init` has made of the same in a bucket.

    Attributes:
        local: the folder.
        arriving: with headers in the shards' place.
    """

    local: Path
    arriving: Path

    @property
    def to_fetch(self) -> int:
        """Bytes of the weights that the initializer has left in the bucket."""
        return sum(path.stat().st_size - (self.arriving / path.name).stat().st_size for path in self.shards)

    @property
    def shards(self) -> list[Path]:
        return sorted(self.local.glob("*.safetensors"))


def put(kind: Kind, pod: Path, store: SeaweedFS, endpoint_url: str) -> Copies:
    """Make a model in a pod's folder, put it into the bucket, and prepare the pod for it."""
    (pod / "token").write_text("a-service-account-token")
    local = kind(pod / "local")
    store.put_folder(BUCKET, kind.__name__, local)
    prepared = prepare(pod, f"s3://{BUCKET}/{kind.__name__}", store.environment(endpoint_url), "stream", "overlap")
    assert prepared.code == 0, prepared.output
    return Copies(local, prepared.folder)


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """So that vLLM inspects each class of model once (`modelinfos`, some 10 s each)."""
    return {"VLLM_CACHE_ROOT": str(tmp_path_factory.mktemp("vllm"))}


# One process, so that importing vLLM costs its 10 s once and not eight times --------------------------------------


@dataclass(frozen=True)
class Computed:
    """Log-probabilities of each prompt, and what became of the bytes."""

    local: list[list[float]]
    arrived: list[list[float]]
    fetched: int
    to_fetch: int


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, store: SeaweedFS, caches: dict[str, str]) -> dict[str, Computed]:
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "token").write_text("a-service-account-token")
    pods = {kind: tmp_path_factory.mktemp(kind.__name__) for kind in KINDS}
    with counting_proxy(store.endpoint_url) as proxy:
        copies = {kind.__name__: put(kind, pod, store, proxy.endpoint_url) for kind, pod in pods.items()}
        proxy.clear()
        folders = [str(path) for copy in copies.values() for path in (copy.local, copy.arriving)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.e2e.offline", *folders],
            env=free_environment(folder, **caches),
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        answers = json.loads(done.stdout.splitlines()[-1])
        return {
            name: Computed(answers[2 * number], answers[2 * number + 1], fetched(proxy, name), copy.to_fetch)
            for number, (name, copy) in enumerate(copies.items())
        }


def fetched(proxy: CountingProxy, name: str) -> int:
    return sum(request.body_bytes for request in gets(proxy, ".safetensors") if f"/{name}/" in request.path)


@pytest.mark.parametrize("kind", [kind.__name__ for kind in KINDS])
def test_every_token_has_the_same_log_probability_as_from_a_local_folder(
    kind: str, computed: dict[str, Computed]
) -> None:
    found = computed[kind]
    assert found.arrived == found.local
    tokens = [token for prompt in found.local for token in prompt]
    assert len(set(tokens)) == len(tokens) > 32, "a model that depends on its weights"
    assert found.fetched == found.to_fetch, "every byte once"


# Two ranks --------------------------------------------------------------------------------------------------------

TWO_RANKS = {"VLLM_CPU_OMP_THREADS_BIND": "0|1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}


def test_two_ranks_share_one_copy_and_compute_the_same(
    pod: Path, port: int, store: SeaweedFS, caches: dict[str, str]
) -> None:
    """A mixture of experts in 120 shards, whose last one is kept back until both ranks wait for it."""
    both_wait = threading.Event()

    def keep_back(request: Request) -> None:
        if request.path.endswith(last):
            both_wait.wait(_PATIENCE)

    with counting_proxy(store.endpoint_url) as proxy, ExitStack() as at_the_end:
        at_the_end.callback(both_wait.set)
        model = put(random_models.mixture_of_experts, pod, store, proxy.endpoint_url)
        last = model.shards[-1].name
        proxy.clear()
        proxy.interfere = keep_back
        environment = free_environment(pod, **caches, **TWO_RANKS, WELLHEAD_STALL_TIMEOUT=str(_PATIENCE))
        with running(serve(model.arriving, port), environment, pod, port) as engine:
            memory = mapped_by_two(engine, f"memfd:wellhead-{len(model.shards) - 1} ")
            both_wait.set()
            engine.wait_until_ready()
            arrived = engine.log_probabilities("tiny")
        assert len(memory) == 1, "one copy for both"
        assert fetched(proxy, "mixture_of_experts") == model.to_fetch, "every byte once"

    with running(serve(model.local, port), environment, pod, port) as engine:
        engine.wait_until_ready()
        assert "weights: directory" in engine.output
        assert engine.log_probabilities("tiny") == arrived


def serve(folder: Path, port: int) -> list[str]:
    return wellhead(
        "serve", f"--model={folder}", "--served-model-name=tiny", f"--port={port}", "--host=127.0.0.1",
        "--max-model-len=256", "--enforce-eager", "--dtype=bfloat16", "--tensor-parallel-size=2",
    )  # fmt: skip


def mapped_by_two(engine: Engine, name: str) -> set[int]:
    """Wait until two processes of the engine have mapped a shard; the inodes that they see."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        assert engine.process.poll() is None, engine.output[-4000:]
        found = [inodes for pid in engine.members() if (inodes := inodes_of(pid, name))]
        if len(found) == 2:
            return set.union(*found)
        time.sleep(0.2)
    raise AssertionError(f"no two processes have mapped {name}:\n{engine.output[-4000:]}")


def inodes_of(pid: int, name: str) -> set[int]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {int(line.split()[4]) for line in lines if name in line}
