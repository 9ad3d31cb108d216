"""`wellhead mirror` as a command: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.storage.mirroring import Mirror
from tests.storage.model import BUCKET, Model
from tests.storage.pod import WELLHEAD, Pod
from tests.support.fake_hub import Repository, fake_hub
from tests.support.seaweedfs import SeaweedFS


@pytest.fixture
def target(store: SeaweedFS) -> Mirror:
    return Mirror(store)


def run(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WELLHEAD, "mirror", *map(str, arguments)],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        timeout=60,
    )


def test_the_result_as_json_and_the_log_elsewhere(llama: Model, target: Mirror, store: SeaweedFS) -> None:
    ended = run(store.environment(), llama.uri, target.uri, "--json")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["source"], result["destination"], result["dry_run"]) == (llama.uri, target.uri, False)
    assert {item["name"]: item["bytes"] for item in result["copied"]} == {
        name: len(data) for name, data in llama.files.items()
    }
    assert "INFO mirrored" in ended.stderr
    again = run(store.environment(), llama.uri, target.uri, "--exclude", "tokenizer*")
    assert again.stdout.startswith(f"Copied 0 objects (0.0 KiB) from {llama.uri} to {target.uri}; ")
    assert again.stdout.endswith(f"{len(llama.files)} were there already, deleted 0; 2 are left out.\n")


def test_a_dry_run_lists_every_object(llama: Model, target: Mirror, store: SeaweedFS) -> None:
    ended = run(store.environment(), llama.uri, target.uri, "--dry-run", "--exclude", "tokenizer*")
    assert ended.returncode == 0, ended.stderr
    assert f"copy    config.json  {len(llama.files['config.json']) / 1024:.1f} KiB\n" in ended.stdout
    assert "leave   tokenizer.json  (matches 'tokenizer*' of --exclude)\n" in ended.stdout
    assert target.everything == {}


def test_the_help_says_what_a_pattern_is(store: SeaweedFS) -> None:
    shown = " ".join(run({"COLUMNS": "200"}, "--help").stdout.replace("│", " ").split())
    for option in ("--include PATTERN", "--exclude PATTERN"):
        assert option in shown
    assert shown.count("fnmatch on the name") == 2


def test_variables_of_the_destination_are_settings(llama: Model, target: Mirror, store: SeaweedFS) -> None:
    own = {f"WELLHEAD_DST_{name}": value for name, value in store.environment().items()}
    ended = run({**store.environment(reader=True), **own}, llama.uri, target.uri)
    assert ended.returncode == 0, ended.stderr
    assert "no setting of Wellhead" not in ended.stderr


@pytest.mark.parametrize(
    ("source", "destination", "code", "sentence"),
    [
        ("ftp://host/model", "s3://models/x", 10, "has the unknown scheme ftp://."),
        ("s3://models/llama", "s3://models/llama/inside", 10, "lies inside the source s3://models/llama."),
        ("hdfs://host/model", "s3://models/x", 10, "hdfs:// cannot be mirrored directly"),
        ("s3://models/nothing-here", "s3://models/x", 11, "s3://models/nothing-here holds no objects."),
        ("s3://models/llama", "s3://no-such-bucket/x", 11, "The bucket of s3://no-such-bucket/x does not exist."),
    ],
)
def test_refusals_have_the_codes_of_every_command(
    llama: Model, store: SeaweedFS, source: str, destination: str, code: int, sentence: str
) -> None:
    ended = run(store.environment(), source, destination)
    assert ended.returncode == code, ended.stderr
    assert sentence in ended.stderr.splitlines()[-1]
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr


def test_a_directory_that_cannot_be_written(llama: Model, store: SeaweedFS, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run(store.environment(), llama.uri, tmp_path / "file" / "model")
    assert ended.returncode == 19, ended.stderr
    assert "cannot be written as user" in ended.stderr.splitlines()[-1]


def test_init_streams_a_hugging_face_model_from_its_mirror(
    store: SeaweedFS, checkpoint: Path, target: Mirror, pod: Pod
) -> None:
    files = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    with fake_hub() as hub:
        hub.repositories["org/model"] = Repository(files)
        variables = {**hub.environment, "WELLHEAD_MIRROR": target.uri}
        ended = run({**store.environment(), **variables}, "hf://org/model")
        assert ended.returncode == 0, ended.stderr
        asked = len(hub.asked("file")) + len(hub.asked("cdn"))
        outcome = pod.init("hf://org/model", **variables)
        assert outcome.exit_code == 0, outcome.stderr
        assert len(hub.asked("file")) + len(hub.asked("cdn")) == asked, "nothing came from the Hub"
    commit = hub.repositories["org/model"].commit
    assert pod.plan.mode == "stream"
    assert pod.plan.weights.uri == f"s3://{BUCKET}/{target.prefix}/org/model/{commit}"
    assert any("mirrored at" in reason for reason in pod.plan.reasons)
