"""vLLM's compile cache on a shared volume: whole entries only, and nothing there is ever changed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from wellhead_runtime.faststart.compile_cache import CompileCache

ENTRY = "torch_compile_cache/3f2a/rank_0_0/backbone/vllm_compile_cache.py"
AOT = "torch_compile_cache/torch_aot_compile/77aa/rank_0_0/model"
INFO = "modelinfos/vllm-model_executor-models-llama-LlamaForCausalLM.json"


def written(root: Path, **content: str) -> Path:
    for name, text in content.items():
        path = root / {"entry": ENTRY, "aot": AOT, "info": INFO}.get(name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def files(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "volume"


def test_what_one_replica_made_the_next_one_has(volume: Path, tmp_path: Path) -> None:
    made = {"entry": "{1: 2}", "aot": "graph", "info": "{}", "startup_plan/1.json": "plan", "other.json": "[]"}
    first = written(tmp_path / "first", **made)
    CompileCache(volume, first, "s3://models/llama").publish()
    second = tmp_path / "second"
    CompileCache(volume, second, "s3://models/llama").fetch()
    assert files(second) == files(first)


def test_another_models_entries_are_left_alone(volume: Path, tmp_path: Path) -> None:
    CompileCache(volume, written(tmp_path / "first", entry="x"), "s3://models/llama").publish()
    CompileCache(volume, tmp_path / "second", "s3://models/qwen").fetch()
    assert not (tmp_path / "second").exists()


def test_an_entry_that_is_there_is_never_changed(volume: Path, tmp_path: Path) -> None:
    CompileCache(volume, written(tmp_path / "first", entry="first"), "m").publish()
    CompileCache(volume, written(tmp_path / "second", entry="second", aot="new"), "m").publish()
    third = tmp_path / "third"
    CompileCache(volume, third, "m").fetch()
    assert files(third) == {ENTRY: "first", AOT: "new"}


def test_what_a_container_has_already_stays_its_own(volume: Path, tmp_path: Path) -> None:
    CompileCache(volume, written(tmp_path / "first", entry="theirs"), "m").publish()
    own = written(tmp_path / "own", entry="mine")
    CompileCache(volume, own, "m").fetch()
    assert files(own) == {ENTRY: "mine"}


def test_nobody_ever_sees_half_of_an_entry(volume: Path, tmp_path: Path) -> None:
    """Eight replicas publish the same entries at the same time, while others read."""
    text = "x" * 100_000
    caches = [
        CompileCache(volume, written(tmp_path / f"replica{number}", entry=text, aot=text), "m") for number in range(8)
    ]
    threads = [threading.Thread(target=cache.publish) for cache in caches]
    for thread in threads:
        thread.start()
    for number in range(50):
        reader = tmp_path / f"reader{number}"
        CompileCache(volume, reader, "m").fetch()
        assert set(files(reader).values()) <= {text}
    for thread in threads:
        thread.join()
    last = tmp_path / "last"
    CompileCache(volume, last, "m").fetch()
    assert files(last) == {ENTRY: text, AOT: text}
    assert not list(volume.rglob(".publishing-*"))


def test_what_a_stopped_replica_left_is_no_entry_and_goes_after_a_while(volume: Path, tmp_path: Path) -> None:
    cache = CompileCache(volume, written(tmp_path / "own", entry="x"), "m")
    cache.publish()
    [shelf] = volume.rglob("torch_compile_cache")
    fresh, old = shelf / ".publishing-1", shelf / ".publishing-2"
    written(fresh, file="half")
    written(old, file="half")
    os.utime(old, (0, 0))
    other = tmp_path / "other"
    CompileCache(volume, other, "m").fetch()
    assert files(other) == {ENTRY: "x"}
    cache.publish()
    assert fresh.exists(), "another replica may be at it"
    assert not old.exists()


@pytest.mark.parametrize("what", ["fetch", "publish"])
def test_a_volume_that_fails_stops_nothing(tmp_path: Path, what: str, wellhead_log: pytest.LogCaptureFixture) -> None:
    (tmp_path / "volume").write_text("a file")
    cache = CompileCache(tmp_path / "volume" / "vllm", written(tmp_path / "own", entry="x"), "m")
    getattr(cache, what)()
    assert wellhead_log.text == "" if what == "fetch" else "the compile cache is not written" in wellhead_log.text
