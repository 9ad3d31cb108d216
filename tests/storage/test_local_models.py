"""Models that are already in the container, and several models in one call."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.model import Model
from tests.storage.pod import Pod, assert_refused, contents


@pytest.fixture
def mounted(checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint as another volume of the pod shows it."""
    folder = tmp_path / "volume" / "llama"
    folder.parent.mkdir()
    folder.symlink_to(checkpoint, target_is_directory=True)
    return folder


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_weights_are_linked_and_metadata_is_copied(pod: Pod, mounted: Path, checkpoint: Path, scheme: str) -> None:
    outcome = pod.init(f"{scheme}{mounted}")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    for path in pod.destination.glob("*"):
        assert path.is_symlink() == (path.suffix == ".safetensors")
    assert (pod.plan.mode, pod.plan.loader) == ("local", "auto")
    assert pod.plan.reasons == ("the weights are already in this container",)


def test_download_copies(pod: Pod, mounted: Path, checkpoint: Path) -> None:
    assert pod.init(str(mounted), WELLHEAD_MODE="download").exit_code == 0
    assert pod.files == contents(checkpoint)
    assert not any(path.is_symlink() for path in pod.destination.rglob("*"))


def test_the_wrapper_asks_for_the_streamer(pod: Pod, mounted: Path) -> None:
    assert pod.init(f"runai_streamer://{mounted}").exit_code == 0
    assert (pod.plan.mode, pod.plan.loader) == ("local", "runai_streamer")


@pytest.fixture(params=["gztar", "zip"])
def archive(request: pytest.FixtureRequest, checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint, packed, on another volume of the pod."""
    return Path(shutil.make_archive(str(tmp_path / "llama"), request.param, checkpoint))


def test_an_archive_is_unpacked(pod: Pod, archive: Path, checkpoint: Path) -> None:
    outcome = pod.init(str(archive))
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert not any(path.is_symlink() for path in pod.destination.rglob("*"))
    assert (pod.plan.mode, pod.plan.weights.uri) == ("download", str(pod.destination))
    reasons = (f"{archive.name} is an archive, which is unpacked", "an archive cannot be streamed")
    assert pod.plan.reasons == reasons
    assert f"{archive.name} is unpacked in {pod.destination} already" in pod.init(str(archive)).stderr
    assert pod.files == contents(checkpoint)


def test_an_archive_cannot_be_demanded_to_stream(pod: Pod, archive: Path) -> None:
    sentence = (
        f"file://{archive} cannot be streamed: an archive cannot be streamed. "
        "Use mode auto or download and drop runai_streamer://."
    )
    assert_refused(pod, pod.init(f"runai_streamer://{archive}"), 14, sentence)


def test_mode_stream_is_told_that_the_weights_are_read_in_place(pod: Pod, mounted: Path) -> None:
    assert pod.init(str(mounted), WELLHEAD_MODE="stream").exit_code == 0
    assert pod.plan.mode == "local"
    assert pod.plan.reasons[1:] == ("mode stream was asked for, which they need not: they are read in place",)


def test_what_an_earlier_initializer_left_there_is_no_part_of_the_model(
    pod: Pod, mounted: Path, new_pod: Callable[[], Pod]
) -> None:
    volume = new_pod()
    assert volume.init(str(mounted), WELLHEAD_MODE="download").exit_code == 0
    outcome = pod.init(str(volume.destination))
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.plan.left, "housekeeping" in outcome.stderr) == ((), False)


def test_a_path_that_is_not_there(pod: Pod) -> None:
    outcome = pod.init("/mnt/nothing/here")
    assert outcome.exit_code == 11
    assert outcome.sentence.startswith("/mnt/nothing/here does not exist in this container.")


def test_a_broken_checkpoint_is_noticed_here_too(pod: Pod, mounted: Path, checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in checkpoint.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[: 100 if path.suffix == ".safetensors" else None])
    outcome = pod.init(str(broken))
    assert outcome.exit_code == 13
    assert "is damaged: it is truncated" in outcome.sentence
    assert pod.is_untouched


def test_several_pairs_in_one_call(llama: Model, mounted: Path, new_pod: Callable[[], Pod]) -> None:
    pod = new_pod()
    first, second = pod.folder / "models" / "one", pod.folder / "models" / "two"
    outcome = pod.init(llama.uri, first, str(mounted), second)
    assert outcome.exit_code == 0, outcome.stderr
    assert (first / ".wellhead" / "plan.json").exists()
    assert (second / ".wellhead" / "plan.json").exists()


def test_a_failing_pair_is_named(llama: Model, new_pod: Callable[[], Pod]) -> None:
    pod = new_pod()
    outcome = pod.init(llama.uri, pod.folder / "models" / "one", "s3://models/none", pod.folder / "models" / "two")
    assert outcome.exit_code == 11
    assert outcome.sentence.startswith(f"For {pod.folder / 'models' / 'two'}: s3://models/none holds no objects.")
