"""Download mode: the volume becomes a whole, verified copy that any user of the pod can read."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET, INDEX, Model
from tests.support.counting_proxy import counting_proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS


def test_the_volume_is_a_copy_and_the_plan_says_why(pod: Pod, llama: Model) -> None:
    outcome = pod.init(llama.uri, WELLHEAD_MODE="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.message == ""
    assert pod.files == llama.files
    assert pod.own_files == ["manifest.json", "plan.json"]
    plan = pod.plan
    assert (plan.mode, plan.reasons) == ("download", ("mode download was asked for",))
    assert plan.weights.uri == str(pod.destination)
    assert {file.name for file in plan.weights.files} == llama.shards.keys()
    assert plan.connection is None
    assert plan.credentials.handoff == "none"
    assert plan.phases.keys() == {"list", "survey", "download", "publish"}


def test_every_byte_is_fetched_once_but_for_the_headers(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    with counting_proxy(store.endpoint_url) as proxy:
        outcome = pod.init(llama.uri, WELLHEAD_MODE="download", **store.environment(proxy.endpoint_url))
        reads = [request for request in proxy.requests if "list-type=2" not in request.target]
    assert outcome.exit_code == 0, outcome.stderr
    headers = pod.plan.fetched.bytes - sum(map(len, llama.files.values()))
    assert 0 < headers < 4096
    assert sum(request.body_bytes for request in reads) == pod.plan.fetched.bytes


@pytest.mark.parametrize(("mode", "umask"), [("download", 0o077), ("stream", 0o077), ("download", 0o000)])
def test_every_user_may_read_and_only_the_owner_may_write(pod: Pod, model: Model, mode: str, umask: int) -> None:
    model.put("1_Pooling/config.json", b"{}")
    pod.umask = umask
    outcome = pod.init(model.uri, WELLHEAD_MODE=mode)
    assert outcome.exit_code == 0, outcome.stderr
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (pod.destination, *pod.destination.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644}


def test_a_file_of_several_parts_arrives_whole(pod: Pod, model: Model, tmp_path: Path, store: SeaweedFS) -> None:
    """Parts are 64 MiB; this file has three, the last one of a single byte."""
    model.delete(INDEX, *model.shards)
    large = tmp_path / "pytorch_model.bin"
    with large.open("wb") as file:
        for part in range(3):
            file.seek(part * (64 << 20))
            file.write(bytes([65 + part]))
    store.put_folder(BUCKET, model.prefix, tmp_path)
    with counting_proxy(store.endpoint_url) as proxy:
        outcome = pod.init(model.uri, **store.environment(proxy.endpoint_url))
        gets = [request for request in proxy.requests if request.method == "GET"]
        ranges = [request.range for request in gets if request.path.endswith(large.name)]
    assert outcome.exit_code == 0, outcome.stderr
    part = 64 << 20
    assert sorted(map(str, ranges)) == [
        f"bytes=0-{part - 1}",
        f"bytes={2 * part}-{2 * part}",
        f"bytes={part}-{2 * part - 1}",
    ]
    with (pod.destination / large.name).open("rb") as copy, large.open("rb") as original:
        while block := original.read(1 << 20):
            assert copy.read(1 << 20) == block
        assert copy.read() == b""


def test_what_no_engine_reads_is_left_in_the_store(pod: Pod, model: Model) -> None:
    for name in ("README.md", "onnx/model.onnx", "model.gguf", ".cache/x", ".wellhead/plan.json"):
        model.put(name, b"surplus")
    assert pod.init(model.uri, WELLHEAD_MODE="download").exit_code == 0
    assert pod.files == model.files


def test_metadata_in_subfolders_comes_along(pod: Pod, model: Model) -> None:
    model.put("1_Pooling/config.json", b"{}")
    model.put("2_Dense/model.safetensors", b"weights of a module")
    model.put("assets/templates/chat.jinja", b"")
    assert pod.init(model.uri).exit_code == 0
    assert pod.plan.mode == "stream"
    found = pod.files
    assert found["1_Pooling/config.json"] == b"{}"
    assert found["2_Dense/model.safetensors"] == b"weights of a module"
    assert found["assets/templates/chat.jinja"] == b""
