"""No key of a bucket, whatever it is, makes a file outside the model's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model
from tests.storage.pod import Pod, assert_refused, contents
from tests.storage.stub_s3 import StubS3, stub_s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URI = "s3://models/llama"
CONFIG = ("llama/config.json", b"{}")

UNUSABLE = (
    "../../etc/x",
    ".",
    "a/../../b",
    "a//b",
    "/abs",
    "a\x00b",
    "a\x01b",
    "a\nb",
    "a\x7fb",
    "\x1b[2Ja",
)
LONGEST = "/".join(["k" * 202] * 4 + ["k" * 206])  # with its folder 1,024 bytes, the most that S3 allows
HARMLESS = (
    "..a",
    "a..",
    "...",
    "%2e%2e/x",
    "..%2Fx",
    "a\\..\\b",
    "~/x",
    "$HOME",
    "`id`",
    ";reboot",
    "-rf",
    " ",
    LONGEST,
)


@pytest.fixture
def stub() -> Iterator[StubS3]:
    with stub_s3() as running:
        running.objects = [CONFIG]
        yield running


def outside(pod: Pod) -> set[Path]:
    return {path for path in pod.folder.rglob("*") if pod.destination not in (path, *path.parents)}


@pytest.mark.parametrize("key", UNUSABLE)
def test_a_key_that_cannot_be_a_file_is_refused(pod: Pod, stub: StubS3, key: str) -> None:
    stub.objects.append((f"llama/{key}", b"x"))
    before = outside(pod)
    outcome = pod.init(URI, WELLHEAD_ENGINE=None, **stub.environment)
    why = f"holds the key {f'llama/{key}'!r}, which cannot be a file inside the model's folder"
    assert_refused(pod, outcome, 17, f"{URI} {why}. Rename or delete that object.")
    assert outside(pod) == before


@pytest.mark.parametrize("key", ["x" * 256, "é" * 128, f"folder/{'x' * 300}"])
def test_a_name_too_long_for_a_disk_is_refused(pod: Pod, stub: StubS3, key: str) -> None:
    stub.objects.append((f"llama/{key}", b"x"))
    outcome = pod.init(URI, WELLHEAD_ENGINE=None, **stub.environment)
    sentence = f"The object {key!r} cannot be a file inside the model's folder. Rename or delete that object."
    assert_refused(pod, outcome, 17, sentence)


def test_odd_but_harmless_keys_become_files_of_that_name(pod: Pod, stub: StubS3) -> None:
    assert len(f"llama/{LONGEST}".encode()) == 1024
    stub.objects += [(f"llama/{key}", key.encode()) for key in HARMLESS]
    before = outside(pod)
    outcome = pod.init(URI, WELLHEAD_ENGINE=None, **stub.environment)
    assert outcome.exit_code == 0, outcome.stderr
    assert contents(pod.destination) == {"config.json": b"{}", **{key: key.encode() for key in HARMLESS}}
    assert outside(pod) == before


def test_a_store_that_lists_other_folders_is_not_believed(pod: Pod, stub: StubS3) -> None:
    stub.objects += [("llama-2/config.json", b"x"), ("elsewhere", b"x"), ("llamaconfig.json", b"x")]
    assert pod.init(URI, WELLHEAD_ENGINE=None, **stub.environment).exit_code == 0
    assert pod.files == {"config.json": b"{}"}


@pytest.mark.parametrize("engine", [None, "vllm"])
def test_a_key_that_is_file_and_folder_is_refused(pod: Pod, model: Model, engine: str | None) -> None:
    model.put("assets", b"a file")
    model.put("assets/logo", b"in a folder of the same name")
    outcome = pod.init(model.uri, WELLHEAD_ENGINE=engine)
    sentence = (
        "The object 'assets' is also the folder of 'assets/logo', which no disk can hold. Rename or delete one of them."
    )
    assert_refused(pod, outcome, 17, sentence)


def test_a_file_beside_a_marker_of_the_same_name_is_the_file(pod: Pod, stub: StubS3) -> None:
    """Browsers of buckets leave empty `name/` objects, also beside an object `name`."""
    stub.objects += [("llama/notes", b"text"), ("llama/notes/", b""), ("llama/empty/", b""), ("llama/empty", b"")]
    outcome = pod.init(URI, WELLHEAD_ENGINE=None, **stub.environment)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"config.json": b"{}", "notes": b"text", "empty": b""}


def test_two_objects_for_one_file_are_refused(pod: Pod, stub: StubS3) -> None:
    stub.objects += [("llama/notes", b"text"), ("llama/notes/", b"other text")]
    outcome = pod.init(URI, WELLHEAD_ENGINE=None, **stub.environment)
    assert_refused(pod, outcome, 17, "Two objects would become the file 'notes'. Rename or delete one of them.")


@pytest.mark.parametrize("name", ["config.json", "assets/logo"])
def test_a_link_on_the_volume_is_replaced_and_never_followed(pod: Pod, model: Model, tmp_path: Path, name: str) -> None:
    """As an earlier container of the pod could have left it."""
    model.put("assets/logo", b"logo")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    link = pod.destination / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim)
    assert pod.init(model.uri, WELLHEAD_MODE="download").exit_code == 0
    assert victim.read_bytes() == b"precious"
    assert pod.files == {**model.files, "assets/logo": b"logo"}
