"""What a start spent its time on, from vLLM's own lines."""

from __future__ import annotations

import json
import time

import pytest

from tests.unit.forked import run_forked
from wellhead_runtime.faststart import phases
from wellhead_runtime.faststart.report import StartReport
from wellhead_storage.logs import log

# As vLLM 0.32 writes them, shortened.
LINES = (
    "(APIServer pid=1) INFO 11-25 21:24:26 [api_utils.py:286] non-default args: {'host': '127.0.0.1'}",
    "(APIServer pid=1) INFO 11-25 21:24:26 [model.py:2152] Using max model len 1024",
    "(EngineCore pid=2) INFO 11-25 21:24:27 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: ''",
    "(Worker pid=3) INFO 11-25 21:24:27 [cpu_model_runner.py:68] Starting to load model /mnt/models...",
    "(Worker pid=3) INFO 11-25 21:24:27 [default_loader.py:501] Loading weights took 0.23 seconds",
    "(EngineCore pid=2) INFO 11-25 21:24:30 [core.py:402] init engine (profile, create kv cache, warmup) took 2.90 s",
    "(APIServer pid=1) INFO:     Application startup complete.",
)
NOISE = ("", "\x1b[31mcolours", "Loading safetensors checkpoint shards:  50% Completed | 2/4", "é" * 1000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, wellhead_log: pytest.LogCaptureFixture) -> list[float]:
    """The time, which a test sets; what is logged is captured once."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(log, "propagate", False)
    return now


def followed(
    clock: list[float], lines: tuple[str, ...], *, initializer: float = 0.0, arrival: tuple[float, float] = (0.0, 0.0)
) -> None:
    """A start whose lines come a second apart."""
    made = StartReport(initializer, lambda: arrival, as_json=False)
    made.begin()
    for line in lines:
        clock[0] += 1
        for text in (*NOISE, line):
            made.line(text)


def test_every_phase_has_its_row(clock: list[float], wellhead_log: pytest.LogCaptureFixture) -> None:
    followed(clock, LINES, initializer=2.25)
    [message] = wellhead_log.messages
    assert message.splitlines() == [
        "the engine is ready after 7.0 s",
        "  initializer                  2.2 s, before",
        "  front end: imports           1.0 s",
        "  front end: configuration     1.0 s",
        "  engine process: imports      1.0 s",
        "  worker process: imports      1.0 s",
        "  weights                      1.0 s",
        "  KV cache and warm-up         1.0 s",
        "  routes, first /health        1.0 s",
    ]


def test_a_line_that_does_not_come_leaves_out_its_row(
    clock: list[float], wellhead_log: pytest.LogCaptureFixture
) -> None:
    followed(clock, (*LINES[:2], "another version's line", *LINES[4:]))
    [message] = wellhead_log.messages
    assert "worker process" not in message
    assert "initializer" not in message
    assert "weights                      2.0 s" in message
    assert message.startswith("the engine is ready after 6.0 s")


def test_weights_that_arrive_meanwhile_have_their_moments(
    clock: list[float], wellhead_log: pytest.LogCaptureFixture
) -> None:
    followed(clock, LINES, arrival=(clock[0] - 0.1, clock[0] + 3.5))
    [message] = wellhead_log.messages
    assert message.splitlines()[-2:] == [
        "  first byte of the weights     0.0 s after its start",
        "  last byte of the weights      3.5 s after its start",
    ]


def test_the_streamers_summary_ends_the_weights_too(clock: list[float], wellhead_log: pytest.LogCaptureFixture) -> None:
    followed(
        clock, (*LINES[:4], "Loading safetensors using Runai Model Streamer: 100% Completed | 272/272", *LINES[5:])
    )
    assert "weights                      1.0 s" in wellhead_log.messages[0]


def test_it_is_said_once_and_only_when_the_engine_is_ready(
    clock: list[float], wellhead_log: pytest.LogCaptureFixture
) -> None:
    followed(clock, LINES[:-1])
    assert wellhead_log.messages == []
    followed(clock, (*LINES, *LINES))
    assert len(wellhead_log.messages) == 1


def test_as_json_it_is_one_record_with_numbers() -> None:
    program = (
        "from wellhead_runtime.faststart.report import StartReport; from wellhead_storage.logs import configure; "
        "from wellhead_storage.settings import Settings; configure(Settings(log_format='json')); "
        "made = StartReport(2.25, lambda: (1.0, 2.0), as_json=True); made.begin(); "
        f"[made.line(line) for line in {LINES!r}]"
    )
    _, _, err = run_forked(program)
    record = json.loads(err)
    assert record["message"] == "the engine is ready"
    assert record["start"].keys() == {"initializer", "engine", "first_byte", "last_byte", "phases"}
    assert record["start"]["initializer"] == 2.25
    assert record["start"]["phases"].keys() == {phase.name for phase in phases.PHASES}


def test_following_costs_nothing_that_anyone_notices() -> None:
    made = StartReport(0, as_json=False)
    made.begin()
    began = time.process_time()
    for _ in range(1000):
        made.line("(Worker pid=3) INFO 11-25 21:24:27 [some.py:1] " + "x" * 200)
    assert time.process_time() - began < 0.5, "a start has a few hundred lines"
