"""`wellhead mirror` between real stores: whole, verified, and nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest

from tests.storage.mirroring import Mirror
from tests.storage.model import BUCKET, INDEX, Model, edited, one_tensor
from tests.storage.pod import contents
from tests.support.counting_proxy import counting_proxy
from tests.support.seaweedfs import SeaweedFS
from wellhead_storage.errors import (
    AccessDenied,
    IncompleteCheckpoint,
    IntegrityError,
    InvalidUri,
    ObjectNotFound,
)
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.patterns import Patterns
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Checksum

MIB = 1 << 20


@pytest.fixture
def target(store: SeaweedFS) -> Mirror:
    return Mirror(store)


def test_a_bucket_is_copied_whole_with_a_manifest(llama: Model, target: Mirror) -> None:
    result = target.of(llama.uri)
    assert target.files == llama.files
    assert {item.name for item in result.copied} == set(llama.files)
    assert result.bytes == sum(map(len, llama.files.values()))
    manifest = target.manifest
    assert (manifest.kind, manifest.source, manifest.whole) == ("mirror", llama.uri, True)
    assert {file.name: (file.size, file.checksum) for file in manifest.files} == {
        name: (len(data), "md5:" + hashlib.md5(data).hexdigest()) for name, data in llama.files.items()
    }
    assert PROGRESS_NAME not in target.everything


def test_a_second_run_costs_two_listings_and_writes_nothing(llama: Model, target: Mirror, store: SeaweedFS) -> None:
    target.of(llama.uri)
    with counting_proxy(store.endpoint_url) as proxy:
        result = target.of(llama.uri, endpoint=proxy.endpoint_url)
        asked = [(request.method, request.path.removeprefix(f"/{BUCKET}/")) for request in proxy.requests]
    listing = ("GET", f"/{BUCKET}")
    assert asked == [listing, ("GET", f"llama/{INDEX}"), listing, ("GET", f"{target.prefix}/{MANIFEST_NAME}")]
    assert result.copied == ()
    assert set(result.kept) == set(llama.files)


def test_a_directory_is_copied_into_a_bucket(checkpoint: Path, target: Mirror) -> None:
    target.of(str(checkpoint))
    assert target.files == contents(checkpoint)
    assert target.of(f"file://{checkpoint}").copied == ()
    sums = {file.name: file.checksum for file in target.manifest.files}
    assert sums["config.json"] == "sha256:" + hashlib.sha256((checkpoint / "config.json").read_bytes()).hexdigest()


def test_a_bucket_is_copied_into_a_directory(llama: Model, store: SeaweedFS, tmp_path: Path) -> None:
    folder = tmp_path / "volume" / "llama"
    mirror(llama.uri, str(folder), Options(), Settings(), store.environment())
    assert {name: data for name, data in contents(folder).items() if name != MANIFEST_NAME} == llama.files
    assert {path.name for path in (folder / ".wellhead").iterdir()} == {"manifest.json"}
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o644
    assert mirror(llama.uri, str(folder), Options(), Settings(), store.environment()).copied == ()


def test_one_file_of_many_parts_arrives_whole(tmp_path: Path, target: Mirror, store: SeaweedFS) -> None:
    """Read in ranges side by side and written in parts side by side: 12 MiB are three parts."""
    data = one_tensor("layer", 12 * MIB + 17)
    (tmp_path / "model.safetensors").write_bytes(data)
    with counting_proxy(store.endpoint_url, latency=0.5) as proxy:
        target.of(str(tmp_path), endpoint=proxy.endpoint_url)
        parts = [request for request in proxy.requests if request.method == "PUT" and "partNumber" in request.target]
    assert target.files == {"model.safetensors": data}
    assert len(parts) == 3
    assert max(part.started for part in parts) < min(part.finished for part in parts), "side by side"
    assert all("x-amz-checksum-sha256" in part.headers for part in parts)
    assert target.of(str(tmp_path)).copied == ()


@pytest.mark.parametrize(
    "name", ["a b.json", "100%.json", "plus+.json", "tilde~.json", "hash#.json", "star*.json", "ü€.json", "sub/a.json"]
)
def test_names_stay_as_they_are(name: str, tmp_path: Path, target: Mirror) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"{}")
    target.of(str(tmp_path))
    assert name in target.files
    back = tmp_path / "back"
    mirror(target.uri, str(back), Options(), Settings(), target.store.environment())
    assert (back / name).read_bytes() == b"{}"


def test_an_empty_object_is_copied(tmp_path: Path, target: Mirror) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "empty.txt").touch()
    target.of(str(tmp_path))
    assert target.files == {"config.json": b"{}", "empty.txt": b""}


def test_only_what_an_engine_needs_is_copied_unless_all_is_asked_for(model: Model, target: Mirror) -> None:
    model.put("consolidated.safetensors", one_tensor("a"))
    model.put("README.md", b"# Llama")
    result = target.of(model.uri)
    assert target.files == model.files
    assert {item.name: item.reason for item in result.left} == {
        "README.md": "documentation",
        "consolidated.safetensors": "Mistral's own layout, next to the Hugging Face shards",
    }
    again = target.of(model.uri, Options(everything=True))
    assert {item.name for item in again.copied} == {"README.md", "consolidated.safetensors"}
    assert target.of(model.uri).deleted == (), "what the source still has is not taken away again"


def test_patterns_choose(model: Model, target: Mirror) -> None:
    model.put("onnx/model.onnx", b"onnx")
    target.of(model.uri, Options(patterns=Patterns(allow=("*.json", "onnx/"))))
    assert set(target.files) == {name for name in model.files if name.endswith(".json")} | {"onnx/model.onnx"}
    assert target.manifest.whole is False
    target.of(model.uri, Options(patterns=Patterns(ignore=("tokenizer*",))))
    assert set(model.files) | {"onnx/model.onnx"} == set(target.files), "nothing is deleted for not being chosen"
    with pytest.raises(ObjectNotFound, match=r"Nothing of .* is wanted\. Check --include and --exclude\."):
        target.of(model.uri, Options(patterns=Patterns(allow=("*.gguf",))))


def test_a_dry_run_tells_and_writes_nothing(llama: Model, target: Mirror) -> None:
    target.put("model.safetensors", b"older")
    result = target.of(llama.uri, Options(dry_run=True))
    assert target.everything == {"model.safetensors": b"older"}
    lines = list(result.lines())
    assert sum(line.startswith("copy    ") for line in lines) == len(llama.files) == len(result.copied)
    assert lines[-1].startswith(f"Would copy {len(llama.files)} objects (")


def test_a_dry_run_creates_no_directory(llama: Model, store: SeaweedFS, tmp_path: Path) -> None:
    mirror(llama.uri, str(tmp_path / "new"), Options(dry_run=True), Settings(), store.environment())
    assert not (tmp_path / "new").exists()


def test_a_new_edition_copies_what_changed_and_deletes_what_is_gone(model: Model, target: Mirror) -> None:
    model.put("merges.txt", b"a b")
    target.put("somebody-elses.txt", b"stays")
    target.of(model.uri)
    model.delete("merges.txt")
    model.change_config(rope_theta=1.0)
    result = target.of(model.uri)
    assert ([item.name for item in result.copied], result.deleted) == (["config.json"], ("merges.txt",))
    assert target.files == {
        **model.files,
        "config.json": obstore.get(model.store.store(BUCKET), f"{model.prefix}/config.json").bytes().to_bytes(),
        "somebody-elses.txt": b"stays",
    }
    assert {file.name for file in target.manifest.files} == set(model.files)


def test_readers_never_see_a_manifest_or_config_beside_half_a_model(
    model: Model, target: Mirror, store: SeaweedFS
) -> None:
    target.of(model.uri)
    shard = "model-00002-of-00003.safetensors"
    model.put(shard, edited(model.files[shard]))
    with counting_proxy(store.endpoint_url) as proxy:
        target.of(model.uri, endpoint=proxy.endpoint_url)
        prefix = f"/{BUCKET}/{target.prefix}/"
        written = [
            request.path.removeprefix(prefix) if request.method == "PUT" else "deletion"
            for request in sorted(proxy.requests, key=lambda request: request.started)
            if request.method != "GET"
        ]
    progress, config = PROGRESS_NAME, "config.json"
    assert [name for number, name in enumerate(written) if name != progress or number == 0] == [
        progress,
        "deletion",  # of the manifest
        "deletion",  # of config.json
        shard,
        config,
        MANIFEST_NAME,
        "deletion",  # of the progress record
    ]


def test_a_mirror_of_another_source_does_not_trust_its_etags(new_model: Callable[[], Model], target: Mirror) -> None:
    one, other = new_model(), new_model()
    target.of(one.uri)
    assert len(target.of(other.uri).copied) == len(other.files)
    assert target.manifest.source == other.uri


def test_a_source_that_lies_about_its_checksum_is_refused(
    llama: Model, target: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wellhead_storage.stores.s3 import S3Folder

    shard = "model-00003-of-00003.safetensors"
    honest = S3Folder.checksum

    def checksum(self: S3Folder, item: object) -> Checksum | None:
        found = honest(self, item)  # type: ignore[arg-type]
        return found and found._replace(value="0" * 32) if item.name == shard else found  # type: ignore[attr-defined]

    monkeypatch.setattr(S3Folder, "checksum", checksum)
    with pytest.raises(IntegrityError, match=f"{shard} came with another checksum than the store's"):
        target.of(llama.uri)
    assert shard not in target.files
    assert "config.json" not in target.files
    assert MANIFEST_NAME not in target.everything
    target.of(llama.uri, settings=Settings(verify="size"))
    assert target.files == llama.files


def test_sources_that_are_no_whole_model_are_refused(model: Model, target: Mirror) -> None:
    model.delete("model-00003-of-00003.safetensors")
    with pytest.raises(IncompleteCheckpoint, match="model-00003-of-00003"):
        target.of(model.uri)
    model.upload().put(PROGRESS_NAME, b"{}")
    with pytest.raises(IncompleteCheckpoint, match="is a mirror that is not finished"):
        target.of(model.uri)
    assert target.everything == {}


def test_a_mirror_can_be_mirrored(llama: Model, target: Mirror, store: SeaweedFS) -> None:
    target.of(llama.uri)
    second = Mirror(store)
    second.of(target.uri)
    assert second.files == llama.files
    assert second.manifest.source == target.uri


class TestRefusals:
    def test_no_right_to_write(self, llama: Model, target: Mirror, store: SeaweedFS) -> None:
        environment = {**store.environment(), **destination(store.environment(reader=True))}
        with pytest.raises(AccessDenied) as caught:
            mirror(llama.uri, target.uri, Options(), Settings(), environment)
        assert str(caught.value).startswith(f"The store refuses to write {target.uri}/{PROGRESS_NAME}: ")
        assert "s3:PutObject" in caught.value.hint
        assert "WELLHEAD_DST_" in caught.value.hint
        assert target.everything == {}

    def test_no_bucket(self, llama: Model, store: SeaweedFS) -> None:
        with pytest.raises(ObjectNotFound, match=r"^The bucket of s3://no-such-bucket/x does not exist\."):
            mirror(llama.uri, "s3://no-such-bucket/x", Options(), Settings(), store.environment())

    @pytest.mark.parametrize(
        ("below", "sentence"), [("", "Source and destination are both"), ("/copy", "lies inside the source")]
    )
    def test_into_itself(self, below: str, sentence: str, llama: Model, store: SeaweedFS) -> None:
        with pytest.raises(InvalidUri, match=sentence):
            mirror(llama.uri, llama.uri + below, Options(), Settings(), store.environment())

    def test_a_directory_into_itself_through_a_link(self, checkpoint: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(checkpoint)
        with pytest.raises(InvalidUri, match="lies inside the source"):
            mirror(str(checkpoint), str(tmp_path / "link" / "sub"), Options(), Settings(), {})

    @pytest.mark.parametrize("uri", ["https://example.com/models", "hf://o/m"])
    def test_where_nothing_can_be_written(self, uri: str, llama: Model, store: SeaweedFS) -> None:
        with pytest.raises(InvalidUri, match="A mirror cannot be written to"):
            mirror(llama.uri, uri, Options(), Settings(), store.environment())

    def test_no_destination(self, llama: Model, store: SeaweedFS) -> None:
        with pytest.raises(InvalidUri, match="No destination is given"):
            mirror(llama.uri, None, Options(), Settings(mirror="s3://models/mirror"), store.environment())


def test_source_and_destination_may_need_different_credentials(llama: Model, target: Mirror, store: SeaweedFS) -> None:
    environment = {**store.environment(reader=True), **destination(store.environment())}
    mirror(llama.uri, target.uri, Options(), Settings(), environment)
    assert target.files == llama.files
    raw = b"".join(data for name, data in target.everything.items() if name.startswith(".wellhead/"))
    assert store.secret_access_key.encode() not in raw
    assert json.loads(raw)["source"] == llama.uri


def test_an_endpoint_in_a_uri_serves_that_side_only(llama: Model, store: SeaweedFS, tmp_path: Path) -> None:
    environment = {**store.environment(), "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "S3_ENDPOINT": "127.0.0.1:9"}
    source = f"{llama.uri}?endpoint={store.endpoint_url}&region={store.region}"
    mirror(source, str(tmp_path / "copy"), Options(), Settings(), environment)
    assert set(contents(tmp_path / "copy")) == {*llama.files, MANIFEST_NAME}


def destination(environment: dict[str, str]) -> dict[str, str]:
    return {f"WELLHEAD_DST_{name}": value for name, value in environment.items()}
