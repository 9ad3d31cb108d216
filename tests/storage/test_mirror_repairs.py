"""What a mirror does to a folder that holds something already: repairs it, adds to it, and leaves the rest alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.storage.mirroring import Mirror
from tests.storage.model import BUCKET, Model, edited
from tests.storage.pod import contents
from tests.support.counting_proxy import counting_proxy
from tests.support.fake_hub import Repository, fake_hub
from tests.support.seaweedfs import SeaweedFS
from wellhead_storage.errors import IntegrityError, InvalidUri
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.patterns import Patterns
from wellhead_storage.settings import Settings

SHARD = "model-00002-of-00003.safetensors"
GGUF = b"GGUF" + bytes(1000)
SHARDS_ONLY = Options(patterns=Patterns(allow=("*.safetensors",)))
TOKENIZER_ONLY = Options(patterns=Patterns(allow=("tokenizer*",)))


@pytest.fixture
def target(store: SeaweedFS) -> Mirror:
    return Mirror(store)


def test_an_object_changed_in_the_destination_is_copied_again(llama: Model, target: Mirror) -> None:
    target.of(llama.uri)
    target.put("tokenizer.json", b"tampered with")
    assert {item.name for item in target.of(llama.uri).copied} == {"tokenizer.json", "config.json"}
    assert target.files == llama.files


def test_a_repair_with_the_same_bytes_ends_with_a_manifest(checkpoint: Path, target: Mirror) -> None:
    """The copies get the ETags that they had, so the manifest is the one that the repair began by deleting."""
    with fake_hub() as hub:
        hub.repositories["org/model"] = Repository(contents(checkpoint))
        environment = {**target.store.environment(), **hub.environment}
        mirror("hf://org/model", target.uri, Options(), Settings(), environment)
        finished = target.everything
        target.put("tokenizer.json", b"tampered with")
        mirror("hf://org/model", target.uri, Options(), Settings(), environment)
    assert target.everything == finished
    assert MANIFEST_NAME in finished


def test_a_directory_outlasts_a_power_failure_before_it_counts_as_finished(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    synced: list[tuple[str, bool, bytes]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            finished = (copy / MANIFEST_NAME).exists()
            synced.append((path.relative_to(tmp_path).as_posix(), finished, (copy / SHARD).read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    mirror(str(checkpoint), str(copy), Options(), Settings(), {})
    assert {folder for folder, finished, _ in synced if not finished} == {".", "copy", "copy/.wellhead"}
    assert "copy/.wellhead" in {folder for folder, finished, _ in synced if finished}, "the manifest itself"
    synced.clear()
    (copy / SHARD).write_bytes(b"damaged")
    mirror(str(checkpoint), str(copy), Options(), Settings(), {})
    assert ("copy/.wellhead", False, b"damaged") in synced, "the old manifest is gone before anything is overwritten"


class TestConfigsThatAreNotPartOfTheRun:
    def test_a_copy_that_is_up_to_date_stays(self, model: Model, target: Mirror) -> None:
        target.of(model.uri)
        model.put(SHARD, edited(model.files[SHARD]))
        result = target.of(model.uri, SHARDS_ONLY)
        assert ([item.name for item in result.copied], result.deleted) == ([SHARD], ())
        assert target.files == {**model.files, SHARD: edited(model.files[SHARD])}
        assert target.manifest.whole

    def test_somebody_elses_stays(self, model: Model, target: Mirror) -> None:
        source = f"{model.uri}-gguf"
        target.store.put(BUCKET, f"{model.prefix}-gguf/q4.gguf", GGUF)
        target.put("config.json", b'{"by": "hand"}')
        target.put("q4.gguf", b"older")
        target.of(source)
        assert target.files == {"config.json": b'{"by": "hand"}', "q4.gguf": GGUF}
        target.store.put(BUCKET, f"{model.prefix}-gguf/q4.gguf", GGUF[::-1])
        target.of(source)
        assert target.files["config.json"] == b'{"by": "hand"}'

    def test_a_copy_that_is_out_of_date_goes(self, model: Model, target: Mirror) -> None:
        target.of(model.uri)
        model.change_config(rope_theta=1.0)
        assert target.of(model.uri, TOKENIZER_ONLY).deleted == ("config.json",)
        assert "config.json" not in target.files


class TestTheSourceIsNeverTouched:
    def test_one_object_is_not_mirrored_into_its_own_folder(self, model: Model) -> None:
        model.put("q4.gguf", GGUF)
        with pytest.raises(InvalidUri, match=f"The destination {model.uri} is the folder in which the source lies"):
            mirror(f"{model.uri}/q4.gguf", model.uri, Options(), Settings(), model.store.environment())
        assert set(model.store.keys(BUCKET, model.prefix)) == {
            f"{model.prefix}/{name}" for name in (*model.files, "q4.gguf")
        }

    def test_one_file_is_not_mirrored_into_its_own_directory(self, tmp_path: Path) -> None:
        files = {"config.json": b"{}", "q4.gguf": GGUF}
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidUri, match="is the folder in which the source lies"):
            mirror(str(tmp_path / "q4.gguf"), str(tmp_path), Options(), Settings(), {})
        assert contents(tmp_path) == files

    @pytest.mark.parametrize("below", ["", "/copies/here"])
    def test_a_store_with_two_names_is_recognised(self, below: str, model: Model, store: SeaweedFS) -> None:
        with counting_proxy(store.endpoint_url) as other, pytest.raises(InvalidUri, match="under another name"):
            mirror(
                f"{model.uri}?endpoint={other.endpoint_url}",
                f"{model.uri}{below}",
                Options(),
                Settings(),
                store.environment(),
            )
        assert set(store.keys(BUCKET, model.prefix)) == {f"{model.prefix}/{name}" for name in model.files}

    def test_a_directory_with_two_names_is_recognised(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a bind mount is, which cannot be told from its path."""
        (tmp_path / "mount").symlink_to(checkpoint)
        monkeypatch.setattr(Path, "resolve", lambda self: self)
        before = contents(checkpoint)
        with pytest.raises(InvalidUri, match="under another name"):
            mirror(str(checkpoint), str(tmp_path / "mount"), Options(), Settings(), {})
        assert contents(checkpoint) == before

    def test_the_record_of_another_mirror_in_the_source_is_no_sign(self, model: Model, target: Mirror) -> None:
        model.put(f"copies/{PROGRESS_NAME}", b"{}")
        target.of(model.uri)
        assert set(model.files) <= set(target.files)


class TestWhole:
    def test_adding_nothing_to_a_whole_mirror_leaves_it_whole(self, llama: Model, target: Mirror) -> None:
        target.of(llama.uri)
        assert target.of(llama.uri, TOKENIZER_ONLY).copied == ()
        assert target.manifest.whole

    def test_parts_that_come_one_after_the_other_make_a_whole(self, llama: Model, target: Mirror) -> None:
        target.of(llama.uri, SHARDS_ONLY)
        assert not target.manifest.whole
        target.of(llama.uri, Options(patterns=Patterns(ignore=("*.safetensors",))))
        assert target.manifest.whole

    def test_what_is_lost_of_it_makes_it_a_part(self, model: Model, target: Mirror) -> None:
        target.of(model.uri)
        model.put(SHARD, edited(model.files[SHARD]))
        target.of(model.uri, TOKENIZER_ONLY)
        assert not target.manifest.whole


def test_a_source_that_changes_after_config_json_was_copied_is_noticed(
    model: Model, target: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wellhead_storage.mirror.copy import Copier

    copy = Copier.copy

    def then_change(self: Copier, item: object) -> object:
        copied = copy(self, item)  # type: ignore[arg-type]
        if copied.name == "config.json":
            model.put(SHARD, edited(model.files[SHARD]))
        return copied

    monkeypatch.setattr(Copier, "copy", then_change)
    with pytest.raises(IntegrityError, match=f"{SHARD} keeps changing"):
        target.of(model.uri)
    assert MANIFEST_NAME not in target.everything
    assert "config.json" not in target.files, "no engine takes it for a model"
    monkeypatch.undo()
    target.of(model.uri)
    assert target.files == {**model.files, SHARD: edited(model.files[SHARD])}
