"""The engine's own start, shortened: nothing but the time differs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.engine import SETTINGS, Engine, free_environment, running, wellhead
from tests.e2e.observed import gone
from wellhead_runtime.faststart.phases import PHASES

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

CLASS = "vllm.model_executor.models.llama.LlamaForCausalLM"


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """What an image has, made as the Dockerfile makes it."""
    folder = tmp_path / "modelinfos"
    command = [sys.executable, "-m", "wellhead_runtime.faststart.inspecting", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


@contextmanager
def started(folder: Path, checkpoint: Path, port: int, **settings: str) -> Iterator[tuple[Engine, float]]:
    """An engine that answers, and how many seconds that took."""
    command = wellhead("serve", f"--model={checkpoint}", "--served-model-name=smol", f"--port={port}", *SETTINGS)
    began = time.monotonic()
    with running(command, free_environment(folder, **settings), folder, port) as engine:
        engine.wait_until_ready()
        yield engine, time.monotonic() - began


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def test_nothing_but_the_time_differs(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoint: Path,
    port: int,
    shipped: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Short names: vLLM binds sockets below them.
    stock_folder, fast_folder = map(tmp_path_factory.mktemp, ("stock", "fast"))
    stock = {"WELLHEAD_FAST_START": "off", "WELLHEAD_MODEL_INFOS": "/none"}
    with started(stock_folder, checkpoint, port, **stock) as (engine, usual):
        expected = engine.log_probabilities("smol")
        answer = engine.chat("smol", "What is the capital of France?")
        assert not any("forkserver" in command_line(pid) for pid in engine.members())
        assert engine.stop() == 0

    fast = {"WELLHEAD_FAST_START": "on", "WELLHEAD_MODEL_INFOS": str(shipped), "VLLM_LOGGING_LEVEL": "DEBUG"}
    with started(fast_folder, checkpoint, port, **fast) as (engine, short):
        assert engine.log_probabilities("smol") == expected
        assert engine.chat("smol", "What is the capital of France?") == answer
        [server] = [pid for pid in engine.members() if "multiprocessing.forkserver" in command_line(pid)]
        children = [command_line(pid) for pid in engine.members() if parent_of(pid) == server]
        assert len(children) == 2, children
        members = engine.members()
        assert engine.stop() == 0
        output = engine.output
    assert gone(members)

    assert "fast start is off" not in output, "no fallback"
    table = output[output.index("the engine is ready after") :].splitlines()[1 : 1 + len(PHASES)]
    assert [row.split("  ")[1].strip() for row in table] == [phase.name for phase in PHASES]
    assert f"Loaded model info for class {CLASS} from cache" in output
    with capsys.disabled():
        sys.stdout.write(f"[/health after {usual:.1f} s as ever, {short:.1f} s fast] ")
