"""Where a mirror comes from: web servers, registries, single objects, archives, and models that are not whole."""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.mirroring import Mirror
from tests.storage.model import INDEX, Model, header_of
from tests.storage.pod import Pod
from tests.support.fake_registry import fake_registry
from tests.support.seaweedfs import SeaweedFS
from tests.support.web_server import WebServer, web_server
from wellhead_storage.errors import IncompleteCheckpoint
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.patterns import Patterns
from wellhead_storage.settings import Settings

GGUF = b"GGUF" + bytes(range(256)) * 9000
SHARD = "model-00002-of-00003.safetensors"
ALL = Options(everything=True)


@pytest.fixture
def target(store: SeaweedFS) -> Mirror:
    return Mirror(store)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as running:
        running.files["/models/q4.gguf"] = GGUF
        yield running


class TestWebServers:
    @pytest.mark.parametrize("ranges", [True, False])
    @pytest.mark.parametrize("lengths", [True, False])
    def test_a_file_arrives_whole_whatever_the_server_can(
        self, web: WebServer, target: Mirror, ranges: bool, lengths: bool
    ) -> None:
        web.ranges, web.lengths = ranges, lengths
        source = f"{web.url}/models/q4.gguf"
        result = target.of(source)
        assert target.files == {"q4.gguf": GGUF}
        assert (target.manifest.source, target.manifest.whole) == (source, True)
        assert [item.bytes for item in result.copied] == [len(GGUF)] == [result.bytes], "told in advance or not"
        assert target.of(source).copied == (), "its ETag is the same"

    def test_without_any_mark_it_is_copied_again(self, web: WebServer, target: Mirror) -> None:
        web.headers["/models/q4.gguf"] = {"etag": ""}
        for _ in range(2):
            assert [item.name for item in target.of(f"{web.url}/models/q4.gguf").copied] == ["q4.gguf"]
        assert target.files == {"q4.gguf": GGUF}


def test_a_name_in_a_registry_is_resolved(llama: Model, target: Mirror) -> None:
    with fake_registry() as registry:
        registry.add("llama", "v1", llama.uri)
        environment = {**target.store.environment(), "MODEL_REGISTRY_BASE_URL": registry.host}
        result = mirror("model-registry://llama/v1", target.uri, Options(), Settings(), environment)
    assert (result.asked, result.source) == ("model-registry://llama/v1", llama.uri)
    assert target.files == llama.files


@pytest.mark.parametrize("kind", ["bucket", "directory"])
def test_a_single_object_is_copied_under_its_name(kind: str, llama: Model, target: Mirror, checkpoint: Path) -> None:
    folder = llama.uri if kind == "bucket" else str(checkpoint)
    target.of(f"{folder}/tokenizer.json")
    assert target.files == {"tokenizer.json": llama.files["tokenizer.json"]}
    assert target.of(f"{folder}/tokenizer.json").copied == ()


def test_an_archive_is_mirrored_as_it_is_and_unpacked_from_the_mirror(
    web: WebServer, target: Mirror, llama: Model, pod: Pod, caplog: pytest.LogCaptureFixture
) -> None:
    web.files["/model.tar.gz"] = archive = tar_of(llama.files)
    with caplog.at_level(logging.WARNING, "wellhead"):
        target.of(f"{web.url}/model.tar.gz")
    assert "model.tar.gz is an archive: it is mirrored as it is, and cannot be streamed" in caplog.messages
    assert target.files == {"model.tar.gz": archive}
    outcome = pod.init(target.uri)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == llama.files
    assert pod.plan.mode == "download"


class TestBrokenCheckpoints:
    """What would fail in the engine is refused before a byte of it is copied, or does not count as a model."""

    @pytest.mark.parametrize(
        ("kept", "sentence"),
        [(len, "is truncated"), (lambda shard: len(header_of(shard)) + 1, "is truncated: .* its header needs")],
        ids=["one byte short", "header only"],
    )
    def test_a_truncated_shard(self, kept: object, sentence: str, model: Model, target: Mirror) -> None:
        shard = model.files[SHARD]
        model.put(SHARD, shard[: kept(shard) - 1])  # type: ignore[operator]
        for dry_run in (True, False):
            with pytest.raises(IncompleteCheckpoint, match=f"{SHARD} {sentence}"):
                target.of(model.uri, Options(dry_run=dry_run))
        assert target.everything == {}

    def test_the_folder_of_a_streamed_model(self, model: Model, target: Mirror, pod: Pod) -> None:
        assert pod.init(model.uri).exit_code == 0
        assert pod.plan.mode == "stream"
        with pytest.raises(IncompleteCheckpoint, match="is truncated"):
            target.of(str(pod.destination))
        assert target.everything == {}

    def test_shards_of_another_index(self, model: Model, target: Mirror) -> None:
        model.change_index(model__norm__weight=SHARD)
        with pytest.raises(IncompleteCheckpoint, match=r"lacks the tensor 'model\.norm\.weight'"):
            target.of(model.uri)

    @pytest.mark.parametrize("options", [ALL, Options(patterns=Patterns(allow=("*",)))], ids=["all", "include"])
    @pytest.mark.parametrize("fault", ["missing", "truncated"])
    def test_objects_may_be_copied_but_are_no_whole_model(
        self, options: Options, fault: str, model: Model, target: Mirror, caplog: pytest.LogCaptureFixture
    ) -> None:
        if fault == "missing":
            model.delete(SHARD)
        else:
            model.put(SHARD, model.files[SHARD][:-1])
        for _ in range(2):
            with caplog.at_level(logging.WARNING, "wellhead"):
                target.of(model.uri, options)
            assert f"{SHARD} is {fault}" in caplog.text
            assert not target.manifest.whole
        with pytest.raises(IncompleteCheckpoint, match=f"{SHARD} is {fault}"):
            target.of(model.uri)
        model.upload()
        target.of(model.uri, options)
        assert target.manifest.whole

    def test_a_whole_mirror_whose_source_lost_a_shard(self, model: Model, target: Mirror) -> None:
        target.of(model.uri, ALL)
        assert target.manifest.whole
        model.delete(SHARD)
        assert target.of(model.uri, ALL).deleted == (SHARD,)
        assert not target.manifest.whole
        assert INDEX in target.files


def tar_of(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return raw.getvalue()
