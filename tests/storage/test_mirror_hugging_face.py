"""`hf://` models in a mirror: where they lie, and when `init` may use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import obstore
import pytest

from tests.storage.model import BUCKET
from tests.storage.pod import contents
from tests.support.fake_hub import TOKEN, FakeHub, Repository, fake_hub
from tests.support.seaweedfs import SeaweedFS
from wellhead_storage.errors import AccessDenied, InvalidConfiguration, StoreUnavailable
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME
from wellhead_storage.mirror.find import Found, find_mirror
from wellhead_storage.mirror.result import Result
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.patterns import Patterns
from wellhead_storage.settings import Settings
from wellhead_storage.uri import parse

URI = "hf://org/model"
_numbers = count(1)


class Case:
    """A Hub with `org/model` on it, and a mirror."""

    def __init__(self, hub: FakeHub, store: SeaweedFS, checkpoint: Path, root: str = "") -> None:
        self.hub, self.store = hub, store
        self.prefix = f"hub-{next(_numbers)}"
        self.settings = Settings(mirror=root or f"s3://{BUCKET}/{self.prefix}", retry_timeout=0.2)
        self.environment = {**store.environment(), **hub.environment}
        self.files = contents(checkpoint)
        hub.repositories["org/model"] = Repository(dict(self.files), names=("main", "v1"))

    @property
    def commit(self) -> str:
        return self.hub.repositories["org/model"].commit

    def mirror(self, uri: str = URI, destination: str | None = None, options: Options | None = None) -> Result:
        return mirror(uri, destination, options or Options(), self.settings, self.environment)

    def find(self, uri: str = URI, *, hub: bool = True) -> Found | str:
        def resolve_commit() -> str:
            if not hub:
                raise StoreUnavailable("The Hub cannot be reached.")
            return self.commit

        return find_mirror(parse(uri), self.settings, self.environment, resolve_commit)

    def found(self, uri: str = URI, *, hub: bool = True) -> Found:
        found = self.find(uri, hub=hub)
        assert isinstance(found, Found), found
        return found

    def new_commit(self) -> None:
        self.hub.repositories["org/model"].files["config.json"] = b'{"new": true}'

    def names(self) -> set[str]:
        return {key.removeprefix(f"{self.prefix}/") for key in self.store.keys(BUCKET, self.prefix)}

    def key(self, name: str) -> str:
        return f"{self.prefix}/org/model/{self.commit}/{name}"


@pytest.fixture
def case(store: SeaweedFS, checkpoint: Path) -> Iterator[Case]:
    with fake_hub() as hub:
        yield Case(hub, store, checkpoint)


def test_every_commit_gets_a_folder_of_its_own(case: Case) -> None:
    first = case.commit
    result = case.mirror()
    assert result.source == f"{URI}@{first}"
    assert result.destination == f"s3://{BUCKET}/{case.prefix}/org/model/{first}"
    case.new_commit()
    case.mirror()
    names = {*case.files, MANIFEST_NAME}
    assert case.names() == {
        "org/model/refs/main",
        *(f"org/model/{commit}/{name}" for commit in (first, case.commit) for name in names),
    }
    ref = obstore.get(case.store.store(BUCKET), f"{case.prefix}/org/model/refs/main").bytes().to_bytes()
    assert ref.decode() == case.commit


def test_a_second_run_copies_nothing(case: Case) -> None:
    case.mirror()
    before = len(case.hub.asked("file"))
    assert case.mirror().copied == ()
    assert len(case.hub.asked("file")) <= before + 1, "the index, to choose by"


def test_checksums_of_the_hub_are_verified_and_recorded(case: Case) -> None:
    case.mirror()
    sums = {file.name: file.checksum or "" for file in case.found().manifest.files}
    assert {name.rpartition(".")[2]: value.partition(":")[0] for name, value in sums.items()} == {
        "json": "git-sha1",
        "safetensors": "sha256",
    }


def test_no_token_is_written_anywhere(case: Case) -> None:
    case.environment["HF_TOKEN"] = TOKEN
    case.mirror()
    client = case.store.store(BUCKET)
    for key in case.store.keys(BUCKET, case.prefix):
        assert TOKEN.encode() not in obstore.get(client, key).bytes().to_bytes()


class TestFinding:
    def test_a_complete_mirror_of_the_commit(self, case: Case) -> None:
        case.mirror()
        for uri in (URI, f"{URI}:v1", f"{URI}:{case.commit}"):
            found = case.found(uri)
            assert found.uri.location == f"s3://{BUCKET}/{case.prefix}/org/model/{case.commit}"
            assert found.reason == f"mirrored at {found.uri.location}, commit {case.commit}"
            assert {file.name for file in found.manifest.files} == set(case.files)

    def test_a_commit_needs_no_hub(self, case: Case) -> None:
        case.mirror()
        assert case.found(f"{URI}:{case.commit}", hub=False)

    def test_nothing_there(self, case: Case) -> None:
        assert case.find() == f"{URI} is not mirrored at s3://{BUCKET}/{case.prefix}/org/model/{case.commit}"

    def test_a_folder_named_by_hand(self, case: Case) -> None:
        case.mirror(destination=f"s3://{BUCKET}/{case.prefix}/org/model")
        assert case.found().uri.location == f"s3://{BUCKET}/{case.prefix}/org/model"
        case.new_commit()
        reason = case.find()
        assert isinstance(reason, str)
        assert f"is not of commit {case.commit}" in reason.replace("and not", "is not")

    def test_an_older_commit_is_not_used(self, case: Case) -> None:
        case.mirror()
        case.new_commit()
        assert case.find() == f"{URI} is not mirrored at s3://{BUCKET}/{case.prefix}/org/model/{case.commit}"

    def test_one_that_is_not_finished(self, case: Case) -> None:
        case.mirror()
        case.store.delete(BUCKET, case.key(MANIFEST_NAME))
        case.store.put(BUCKET, case.key(PROGRESS_NAME), b"{}")
        assert str(case.find()).endswith(f"/org/model/{case.commit} is not finished")

    @pytest.mark.parametrize(
        ("content", "fault"),
        [(None, "is missing"), (b"shorter", "has changed"), (b"x" * 66_000, "has changed")],
    )
    def test_one_that_was_damaged(self, case: Case, content: bytes | None, fault: str) -> None:
        case.mirror()
        name = "model-00002-of-00003.safetensors"
        if content is None:
            case.store.delete(BUCKET, case.key(name))
        else:
            case.store.put(BUCKET, case.key(name), content)
        assert str(case.find()).endswith(f"is damaged: {name} {fault}")

    def test_one_of_equal_size_but_other_content(self, case: Case) -> None:
        case.mirror()
        name = "tokenizer.json"
        case.store.put(BUCKET, case.key(name), bytes(reversed(case.files[name])))
        assert str(case.find()).endswith(f"is damaged: {name} has changed")

    def test_a_part_of_a_model_only(self, case: Case) -> None:
        case.mirror(options=Options(patterns=Patterns(allow=("*.json",))))
        assert str(case.find()).endswith("holds a part of the model only")

    def test_a_manifest_that_is_none(self, case: Case) -> None:
        case.mirror()
        case.store.put(BUCKET, case.key(MANIFEST_NAME), b"{")
        assert str(case.find()).endswith("is not one of a Hugging Face mirror")

    def test_a_mirror_that_cannot_be_read(self, case: Case) -> None:
        case.mirror()
        case.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
        reason = case.find()
        assert isinstance(reason, str)
        assert "cannot be read: The store refuses access" in reason

    def test_a_bucket_that_is_not_there(self, case: Case) -> None:
        case.settings = Settings(mirror="s3://no-such-bucket/models")
        assert case.find() == f"{URI} is not mirrored at s3://no-such-bucket/models/org/model/{case.commit}"

    def test_a_setting_that_is_no_folder(self, case: Case) -> None:
        case.settings = Settings(mirror="hf://org/model")
        with pytest.raises(InvalidConfiguration, match="WELLHEAD_MIRROR"):
            case.find()

    def test_other_refusals_of_the_hub_are_not_overruled(self, case: Case) -> None:
        """Who may not read the model must not get it from the mirror by losing the token."""
        case.mirror()

        def refuse() -> str:
            raise AccessDenied("The Hub refuses.")

        with pytest.raises(AccessDenied):
            find_mirror(parse(URI), case.settings, case.environment, refuse)

    def test_a_directory_as_mirror(self, case: Case, tmp_path: Path) -> None:
        case.settings = Settings(mirror=str(tmp_path / "volume"))
        case.mirror()
        found = case.found()
        assert found.uri.key == str(tmp_path / "volume" / "org" / "model" / case.commit)
        assert case.find("hf://org/other:main") == (
            f"hf://org/other@main is not mirrored at file://{tmp_path}/volume/org/other/{case.commit}"
        )

    def test_a_folder_of_a_repository_is_a_model_of_its_own(self, case: Case) -> None:
        case.hub.repositories["org/model"].files["gguf/q4.gguf"] = b"GGUF"
        case.mirror(f"{URI}/gguf")
        assert f"org/model/gguf/{case.commit}/q4.gguf" in case.names()
        assert case.found(f"{URI}/gguf")
        assert isinstance(case.find(URI), str)


class TestWithoutTheHub:
    def test_the_commit_noted_for_the_branch(self, case: Case) -> None:
        case.mirror()
        found = case.found(hub=False)
        assert found.uri.location.endswith(f"/org/model/{case.commit}")
        assert found.reason == (
            f"mirrored at {found.uri.location}, commit {case.commit}, which was main when it was mirrored; "
            "the Hub cannot be asked for a newer one (The Hub cannot be reached)"
        )

    def test_another_branch_is_not_guessed(self, case: Case) -> None:
        case.mirror()
        assert case.find(f"{URI}:v1", hub=False) == (
            f"{URI}@v1 is not mirrored at s3://{BUCKET}/{case.prefix}/org/model, "
            "and the Hub cannot be asked for its commit"
        )
        case.mirror(f"{URI}:v1")
        assert case.found(f"{URI}:v1", hub=False)

    def test_a_folder_named_by_hand_remembers_what_was_asked(self, case: Case) -> None:
        case.mirror(f"{URI}:v1", f"s3://{BUCKET}/{case.prefix}/org/model")
        assert case.found(f"{URI}:v1", hub=False)
        assert isinstance(case.find(hub=False), str)

    def test_a_mirror_that_is_not_finished_stays_unused(self, case: Case) -> None:
        case.mirror()
        case.store.delete(BUCKET, case.key(MANIFEST_NAME))
        case.store.put(BUCKET, case.key(PROGRESS_NAME), json.dumps({}).encode())
        assert str(case.find(hub=False)).endswith("is not finished")
