"""Killed before any one of its renames, the initializer leaves a volume that no engine takes for complete."""

from __future__ import annotations

import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET, INDEX, Model, one_tensor
from tests.support.checkpoint import tiny_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

DIES_BEFORE_A_RENAME = """
import os, pathlib, signal, sys

left, rename = int(sys.argv[1]), pathlib.Path.replace

def replace(path, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return rename(path, target)

pathlib.Path.replace = replace
sys.argv[1] = "init"
from wellhead_runtime.cli import main
main()
"""


SHARD = "model.safetensors"
CONFIG = "config.json"


@pytest.fixture(params=[{SHARD, CONFIG}, {SHARD}], ids=["shard and config", "shard"])
def single(request: pytest.FixtureRequest, store: SeaweedFS, tmp_path: Path) -> Model:
    """A model of one shard, of which an older edition is in the store; the rest of its files is as old in both."""
    folder = tiny_checkpoint(tmp_path / "model", shards=1)
    for name in ("generation_config.json", "tokenizer_config.json"):
        (folder / name).unlink()  # every file costs a run
    model = Model(store, f"single-{tmp_path.name}", folder)
    for name, content in model.files.items():
        store.put(BUCKET, f"{model.prefix}/{name}", older(content) if name in request.param else content)
    return model


def older(content: bytes) -> bytes:
    """Another file of the same form."""
    return content.replace(b"rms_norm_eps", b"rms_NORM_eps") if content.startswith(b"{") else content[:-1] + b"\0"


@pytest.mark.parametrize("mode", ["download", "stream"])
def test_config_and_plan_come_last_at_every_moment(single: Model, new_pod: Callable[[], Pod], mode: str) -> None:
    """The volume holds an older edition when the newer one is published over it."""
    pod = new_pod()
    pod.environment["WELLHEAD_MODE"] = mode
    assert pod.init(single.uri).exit_code == 0
    old, backup = pod.files, pod.folder / "backup"
    pod.destination.rename(backup)
    single.upload()
    assert pod.init(single.uri).exit_code == 0
    new, own = pod.files, pod.own_files
    assert old.keys() == new.keys()
    fetched = {name for name in new if mode == "stream" or new[name] != old[name]}
    renamed = [*fetched, *own, "earlier.json", "partial.jsonl"]
    if CONFIG not in fetched:
        renamed += [CONFIG, CONFIG]  # out of sight first, and back at the end

    for renames in range(100):
        shutil.rmtree(pod.destination)
        shutil.copytree(backup, pod.destination)
        pod.command = (sys.executable, "-c", DIES_BEFORE_A_RENAME, str(renames))
        outcome = pod.init(single.uri)
        found = pod.files
        if outcome.exit_code == 0:
            break
        assert outcome.exit_code == -signal.SIGKILL, outcome.stderr
        assert "plan.json" not in pod.own_files or found == old
        assert all(content in {old[name], new[name]} for name, content in found.items())
        assert found in (old, new) or CONFIG not in found
    assert renames == len(renamed), "it died before each of them"
    assert (pod.files, pod.own_files) == (new, own)


def test_weights_that_are_no_longer_part_of_the_model_go(pod: Pod, model: Model) -> None:
    """Beside the new ones they would be loaded with them."""
    assert pod.init(model.uri, WELLHEAD_MODE="stream").exit_code == 0
    shards = list(model.shards)
    model.delete(*shards, INDEX)
    model.put("model.safetensors", one_tensor("only"))
    (pod.destination / "my-notes.txt").write_text("not Wellhead's")
    outcome = pod.init(model.uri, WELLHEAD_MODE="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert not pod.files.keys() & {*shards, INDEX}
    assert {"model.safetensors", "config.json", "my-notes.txt"} <= pod.files.keys()
