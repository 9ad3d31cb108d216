"""`hf://`: what comes from the Hub, what it sees of us, and what its refusals and faults become."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.fake_hub import SIGNATURE, TOKEN, FakeHub, Refusal, Repository, fake_hub
from wellhead_storage.download.verify import start_digest
from wellhead_storage.errors import (
    AccessDenied,
    IntegrityError,
    ObjectNotFound,
    StoreUnavailable,
    WellheadError,
)
from wellhead_storage.settings import Settings
from wellhead_storage.stores.hugging_face import HuggingFaceFolder, open_hugging_face
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wellhead_storage.stores.interface import StoredObject

Open: TypeAlias = Callable[..., HuggingFaceFolder]

MIB = 1 << 20
SHARD = os.urandom(3 * MIB + 5)
IMPATIENT = Settings(stall_timeout=0.5, connect_timeout=1, retry_timeout=5)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A Hub with `org/model` on it."""
    with fake_hub() as hub:
        files = {
            "config.json": b'{"model_type": "llama"}',
            "model.safetensors": SHARD,
            "gguf/q4 é+%.gguf": b"GGUF" * 100,
            "gguf/readme.txt": b"",
        }
        hub.repositories["org/model"] = Repository(files, names=("main", "v1", "refs/pr/7"))
        yield hub


@pytest.fixture
def opened(hub: FakeHub) -> Open:
    def open_one(text: str = "hf://org/model", settings: Settings = IMPATIENT, **more: str) -> HuggingFaceFolder:
        return open_hugging_face(parse(text), {**hub.environment, **more}, settings)

    return open_one


def listed(folder: HuggingFaceFolder) -> dict[str, StoredObject]:
    return {item.name: item for item in folder.objects()}


def matches(item: StoredObject, content: bytes) -> bool:
    """As the download engine verifies."""
    assert item.checksum is not None
    digest = start_digest(item.checksum.algorithm, len(content))
    digest.update(content)
    return digest.hexdigest() == item.checksum.value


# What is there -----------------------------------------------------------------------------------------------------


def test_every_file_is_listed_with_size_and_checksum_and_comes_as_it_is(hub: FakeHub, opened: Open) -> None:
    folder, files = opened(), hub.repositories["org/model"].files
    items = listed(folder)
    assert {name: item.size for name, item in items.items()} == {name: len(data) for name, data in files.items()}
    for name, item in items.items():
        assert folder.read(item) == files[name]
        assert matches(item, files[name])
        assert item.etag == f'"{item.checksum.value}"' if item.checksum else False
    algorithms = {name: item.checksum.algorithm for name, item in items.items() if item.checksum}
    assert algorithms["model.safetensors"] == "sha256"
    assert algorithms["config.json"] == "git-sha1"


@pytest.mark.parametrize("mark", [":", "@"])
@pytest.mark.parametrize("revision", ["main", "v1", "refs/pr/7", "commit"])
def test_a_revision_becomes_a_commit(hub: FakeHub, opened: Open, mark: str, revision: str) -> None:
    commit = hub.repositories["org/model"].commit
    folder = opened(f"hf://org/model{mark}{commit if revision == 'commit' else revision}")
    assert "config.json" in listed(folder)
    assert folder.commit() == commit
    assert str(folder.uri) == f"hf://org/model@{commit}"
    assert len(hub.asked("api")) == (1 if revision == "commit" else 2), "a commit needs no question"


def test_what_comes_is_of_the_commit_even_if_the_branch_moves_on(hub: FakeHub, opened: Open) -> None:
    folder = opened()
    items = listed(folder)
    hub.repositories["org/model"].files["config.json"] = b"new"
    with pytest.raises(ObjectNotFound):  # the stand-in keeps one commit only
        folder.read(items["config.json"])
    assert "/resolve/main/" not in hub.requests[-1].path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("hf://org/model/gguf", {"q4 é+%.gguf", "readme.txt"}),
        ("hf://org/model/gguf:v1", {"q4 é+%.gguf", "readme.txt"}),
        ("hf://org/model/gguf/q4 é+%.gguf", {"q4 é+%.gguf"}),
        ("hf://org/model/config.json@v1", {"config.json"}),
        ("hf://org/model/gg", set()),
    ],
)
def test_a_folder_or_one_file_of_a_repository(hub: FakeHub, opened: Open, text: str, names: set[str]) -> None:
    folder, files = opened(text), hub.repositories["org/model"].files
    items = listed(folder)
    assert set(items) == names
    for name, item in items.items():
        assert folder.read(item) in {data for path, data in files.items() if path.endswith(name)}


def test_listings_have_pages(hub: FakeHub, opened: Open) -> None:
    many = {f"part-{number}": b"x" for number in range(2_500)}
    hub.repositories["org/many"] = Repository(many)
    assert set(listed(opened("hf://org/many"))) == set(many)
    assert len(hub.asked("api")) == 1 + 3


@pytest.mark.parametrize(("start", "length"), [(0, 8), (8, 1000), (MIB, 2 * MIB), (len(SHARD) - 1, 1), (5, 0)])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_ranges(hub: FakeHub, opened: Open, name: str, start: int, length: int) -> None:
    content = hub.repositories["org/model"].files[name]
    start, length = min(start, len(content) - 1), min(length, len(content) - 1)
    length = min(length, len(content) - start)
    folder = opened()
    assert folder.read(listed(folder)[name], start, length) == content[start : start + length]


def test_a_proxy_that_sends_whole_files_only(hub: FakeHub, opened: Open) -> None:
    hub.ignores_ranges = True
    folder = opened()
    items = listed(folder)
    assert folder.read(items["config.json"], 1, 5) == b'"mode'
    hub.repositories["org/model"].kept = "nothing"
    hub.repositories["org/model"].files["model.safetensors"] = bytes(17 * MIB)
    big = opened()
    with pytest.raises(IntegrityError, match=r"model\.safetensors@\w+ came with other bytes than were asked for"):
        big.read(listed(big)["model.safetensors"], 16 * MIB, 10)


# Who sees the token ------------------------------------------------------------------------------------------------


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub: FakeHub, opened: Open) -> None:
    folder = opened()
    folder.read(listed(folder)["model.safetensors"])
    assert {request.token for request in hub.asked("api") + hub.asked("file")} == {TOKEN}
    assert {request.token for request in hub.asked("cdn")} == {""}


@pytest.mark.parametrize("more", [{"HF_TOKEN": ""}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}])
def test_a_public_model_needs_no_token(hub: FakeHub, opened: Open, more: dict[str, str]) -> None:
    folder = opened(**more)
    folder.read(listed(folder)["config.json"])
    assert {request.token for request in hub.requests} == {""}


def test_nothing_shows_the_token(opened: Open) -> None:
    folder = opened()
    listed(folder)
    shown = repr(folder) + repr(folder._hub) + repr(folder._hub.access) + str(folder._hub.access.model_dump())
    assert TOKEN not in shown


def test_all_parts_of_a_file_share_one_link(hub: FakeHub, opened: Open) -> None:
    folder = opened()
    item = listed(folder)["model.safetensors"]
    got: dict[int, bytes] = {}

    def fetch(start: int) -> None:
        got[start] = folder.read(item, start, MIB)

    threads = [threading.Thread(target=fetch, args=(number * MIB,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"".join(got[start] for start in sorted(got)) == SHARD[: 3 * MIB]
    assert len(hub.asked("file")) == 1
    assert len(hub.asked("cdn")) == 3


def test_an_expired_link_is_replaced(hub: FakeHub, opened: Open) -> None:
    folder = opened()
    item = listed(folder)["model.safetensors"]
    assert folder.read(item, 0, 8) == SHARD[:8]
    hub.expired = hub.links
    assert folder.read(item, 8, 8) == SHARD[8:16]
    assert len(hub.asked("file")) == 2
    hub.refusals["cdn"] = [Refusal(410)]
    assert folder.read(item, 16, 8) == SHARD[16:24]
    hub.expired = hub.links + 100
    with pytest.raises(AccessDenied, match=r"refuses hf://org/model/model\.safetensors@\w+, with a fresh link too"):
        folder.read(item, 0, 8)


# Refusals ----------------------------------------------------------------------------------------------------------


def refusal(opened: Open, text: str, **more: str) -> WellheadError:
    """What reading the whole model ends with."""
    folder = opened(text, **more)
    with pytest.raises(WellheadError) as caught:
        assert [folder.read(item) for item in folder.objects()]
    assert TOKEN not in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_each_refusal_has_its_own_sentence(hub: FakeHub, opened: Open) -> None:
    hub.repositories["org/gated"] = Repository({"config.json": b"{}"}, gated=True)
    hub.repositories["org/private"] = Repository({"config.json": b"{}"}, private=True)
    at, anonymous = hub.endpoint, {"HF_TOKEN": ""}
    account = "the account of HF_TOKEN"
    licence = f"Accept the licence at {at}/org/gated, and give HF_TOKEN of that account."
    nobody = "to nobody without a token: it is private, or does not exist. Check owner and name, or give HF_TOKEN"
    cases: list[tuple[str, dict[str, str], type[WellheadError], str]] = [
        ("hf://org/no", {}, ObjectNotFound, f"{at} has no model org/no that the account of HF_TOKEN may see. Check"),
        ("hf://org/no", anonymous, AccessDenied, f"{at} shows org/no {nobody}"),
        ("hf://org/private", anonymous, AccessDenied, f"{at} shows org/private {nobody}"),
        ("hf://org/model", {"HF_TOKEN": "hf_old"}, AccessDenied, f"{at} does not accept the token for org/model: it"),
        ("hf://org/gated", anonymous, AccessDenied, f"org/gated is gated, and no token was given. {licence}"),
        ("hf://org/gated", {}, AccessDenied, f"org/gated is gated, and {account} has no access to it. {licence}"),
        ("hf://org/model:v9", {}, ObjectNotFound, "org/model has no revision 'v9'. Name a branch, tag or commit of"),
        ("hf://org/model/a/b", {}, ObjectNotFound, "hf://org/model/a/b does not exist. Look at"),
    ]  # fmt: skip
    for text, more, kind, sentence in cases:
        error = refusal(opened, text, **more)
        assert type(error) is kind, text
        assert str(error).startswith(sentence)
    assert not hub.asked("cdn")


def test_a_disabled_model_is_refused_in_the_hubs_own_words(hub: FakeHub, opened: Open) -> None:
    hub.refusals["api"] = [Refusal(403, {"X-Error-Message": "Access to this resource is disabled."})]
    error = refusal(opened, "hf://org/model")
    assert isinstance(error, AccessDenied)
    assert "refuses access to hf://org/model: Access to this resource is disabled." in str(error)


def test_a_hub_that_cannot_be_reached(opened: Open) -> None:
    folder = opened(settings=Settings(retry_timeout=0.3), HF_ENDPOINT="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match=r"does not come from http://127\.0\.0\.1:9: it cannot be reached"):
        folder.objects()


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[]", b'{"sha": "main"}', b'{"sha": null}'])
def test_something_else_than_a_hub(hub: FakeHub, opened: Open, body: bytes) -> None:
    hub.refusals["api"] = [Refusal(200, body=body)]
    error = refusal(opened, "hf://org/model")
    assert isinstance(error, StoreUnavailable)
    assert f"{hub.endpoint} does not answer for hf://org/model as a Hub does" in str(error)


@pytest.mark.parametrize("body", [b"{}", b'[{"type": "file", "path": "a"}]', b'[{"type": "file", "path": 1}]', b"[1]"])
def test_a_listing_that_is_none(hub: FakeHub, opened: Open, body: bytes) -> None:
    folder = opened()
    folder.commit()
    hub.refusals["api"] = [Refusal(200, body=body)]
    with pytest.raises(StoreUnavailable, match="its list of files is none"):
        folder.objects()


def test_redirects_without_end(hub: FakeHub, opened: Open) -> None:
    hub.refusals["api"] = [Refusal(307, {"Location": "/api/models/org/model?expand=sha"})] * 20
    error = refusal(
        opened,
        "hf://org/model",
    )
    assert isinstance(error, StoreUnavailable)
    assert "its redirects go round in circles" in str(error)


def test_a_renamed_model_is_followed_with_the_token(hub: FakeHub, opened: Open) -> None:
    hub.refusals["api"] = [Refusal(307, {"Location": "/api/models/org/model?expand=sha"})]
    assert "config.json" in listed(opened("hf://org/model"))
    assert {request.token for request in hub.asked("api")} == {TOKEN}


# Faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "status"), [("api", 429), ("file", 503), ("cdn", 429), ("cdn", 500)])
def test_a_burst_of_refusals_is_waited_out(hub: FakeHub, opened: Open, kind: str, status: int) -> None:
    hub.refusals[kind] = [Refusal(status)] * 2
    folder = opened()
    assert folder.read(listed(folder)["model.safetensors"]) == SHARD
    assert len(hub.asked(kind)) >= 3


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {"RateLimit": '"resolvers";r=0;t=1'}])
def test_the_hub_says_how_long_to_wait(
    hub: FakeHub, opened: Open, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    hub.refusals["file"] = [Refusal(429, headers)]
    folder = opened()
    with caplog.at_level("INFO", logger="wellhead"):
        assert folder.read(listed(folder)["config.json"]) == b'{"model_type": "llama"}'
    assert "trying again in 1.0 s" in caplog.text


def test_a_wait_that_is_too_long_is_an_error_at_once(hub: FakeHub, opened: Open) -> None:
    hub.refusals["file"] = [Refusal(429, {"Retry-After": "300"})]
    folder = opened()
    item = listed(folder)["config.json"]
    with pytest.raises(StoreUnavailable, match=r"answers 429 for hf://org/model/config.json@\w+\. Give HF_TOKEN"):
        folder.read(item)
    assert len(hub.asked("file")) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("fault", ["stalls", "cuts"])
def test_a_transfer_that_stalls_or_breaks_off_ends_and_can_be_repeated(
    hub: FakeHub, opened: Open, name: str, fault: str
) -> None:
    """obstore goes on by itself where the CDN's body stalls; the Hub's own small files are asked for again."""
    getattr(hub, fault)["file" if name == "config.json" else "cdn"] = 1
    folder = opened()
    item = listed(folder)[name]
    try:
        got = folder.read(item)
    except StoreUnavailable as error:
        assert f"hf://org/model/{name}@" in str(error)
        got = folder.read(item)
    assert got == hub.repositories["org/model"].files[name]


def test_a_stalled_listing_is_asked_for_again(hub: FakeHub, opened: Open) -> None:
    hub.stalls["api"] = 1
    assert "config.json" in listed(opened())


def test_other_bytes_than_listed_fail_their_checksum(hub: FakeHub, opened: Open) -> None:
    folder = opened()
    item = listed(folder)["model.safetensors"]
    hub.stored[hashlib.sha256(SHARD).hexdigest()] = bytes(len(SHARD))
    assert not matches(item, folder.read(item))


def test_another_size_than_listed_is_refused(hub: FakeHub, opened: Open) -> None:
    folder = opened()
    item = listed(folder)["model.safetensors"]
    hub.stored[hashlib.sha256(SHARD).hexdigest()] = SHARD[:-1]
    with pytest.raises(
        IntegrityError, match=r"model\.safetensors@\w+ has 3,145,732 bytes where 3,145,733 were promised"
    ):
        folder.read(item, 0, 10)


def test_a_link_is_never_shown(hub: FakeHub, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    folder = opened()
    item = listed(folder)["model.safetensors"]
    for faults in ([Refusal(404)], [Refusal(500)] * 50, [Refusal(418)]):
        hub.refusals["cdn"] = list(faults)
        with caplog.at_level("DEBUG", "wellhead"), pytest.raises(WellheadError) as caught:
            folder.read(item)
        chain = [caught.value, caught.value.__cause__]
        assert not any(SIGNATURE in str(error) for error in chain)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("wellhead")]
    assert not any(SIGNATURE in line or TOKEN in line for line in ours)
