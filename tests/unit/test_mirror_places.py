"""Addresses in a mirror, and what a destination may not be."""

from __future__ import annotations

import pytest

from wellhead_storage.errors import InvalidConfiguration, InvalidUri
from wellhead_storage.mirror.places import (
    below,
    commit_of,
    destination_environment,
    mirror_root,
    model_folder,
    ref_name,
    refuse_overlap,
)
from wellhead_storage.settings import Settings
from wellhead_storage.uri import parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refused(source: str, destination: str, *, single: bool = False) -> bool:
    try:
        refuse_overlap(parse(source), parse(destination), {}, {}, single=single)
    except InvalidUri:
        return True
    return False


@pytest.mark.parametrize(
    ("root", "folder"),
    [
        ("s3://bucket", "s3://bucket/meta/llama"),
        ("s3://bucket/models/", "s3://bucket/models/meta/llama"),
        ("gs://bucket/models", "gs://bucket/models/meta/llama"),
        ("az://models@account/hub", "az://models@account/hub/meta/llama"),
        ("/mnt/mirror", "file:///mnt/mirror/meta/llama"),
        ("s3://bucket/m?endpoint=http://minio:9000", "s3://bucket/m/meta/llama?endpoint=http%3A%2F%2Fminio%3A9000"),
    ],
)
def test_every_commit_has_a_folder(root: str, folder: str) -> None:
    found = model_folder(mirror_root(Settings(mirror=root)), parse("hf://meta/llama"))
    assert str(found) == folder
    assert below(found, COMMIT).location.endswith(f"/meta/llama/{COMMIT}")


@pytest.mark.parametrize("root", ["hf://o/m", "https://example.com/x", "pvc://claim/x", "bucket/models"])
def test_a_mirror_that_is_no_folder_is_refused(root: str) -> None:
    with pytest.raises(InvalidConfiguration, match="WELLHEAD_MIRROR"):
        mirror_root(Settings(mirror=root))


def test_only_a_whole_commit_is_one() -> None:
    assert commit_of(parse(f"hf://o/m:{COMMIT}")) == COMMIT
    assert [commit_of(parse(uri)) for uri in ("hf://o/m", "hf://o/m:main", f"hf://o/m:{COMMIT[:12]}")] == [""] * 3
    assert ref_name(parse("hf://o/m")) == "refs/main"
    assert ref_name(parse("hf://o/m:refs/pr/7")) == "refs/refs/pr/7"


def test_variables_of_the_destination_stand_alone() -> None:
    source = {"AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "t"}
    assert destination_environment(source) is source
    own = {"WELLHEAD_DST_AWS_ACCESS_KEY_ID": "b"}
    assert destination_environment({**source, **own}) == {"AWS_ACCESS_KEY_ID": "b"}


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("s3://bkt/llama", "s3://bkt/llama-2"),
        ("s3://bkt/llama/7b", "s3://bkt/llama"),
        ("s3://bkt/llama", "s3://other/llama"),
        ("s3://bkt/llama", "gs://bkt/llama"),
        ("s3://bkt/llama", "s3://bkt/llama?endpoint=http://elsewhere:9000"),
        ("az://c@one/m", "az://c@two/m"),
        ("az://c@one/m", "https://one.blob.core.chinacloudapi.cn/c/m"),
        ("/a/b", "/a/bc"),
    ],
)
def test_elsewhere_is_fine(source: str, destination: str) -> None:
    assert not refused(source, destination)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("s3://bkt/llama", "s3://bkt/llama/"),
        ("s3://bkt", "s3://bkt/copy"),
        ("s3://bkt/llama", "s3://bkt/llama/sub/copy"),
        ("az://c@one/m", "abfss://c@one.dfs.core.windows.net/m"),
        ("/a/b", "/a/b/c"),
        ("/a/b", "file:///a//b/"),
        ("/", "/a"),
    ],
)
def test_a_copy_into_itself_is_refused(source: str, destination: str) -> None:
    with pytest.raises(InvalidUri, match="source"):
        refuse_overlap(parse(source), parse(destination), {}, {})


@pytest.mark.parametrize(
    ("source", "destination"),
    [("s3://bkt/gg/q4.gguf", "s3://bkt/gg"), ("s3://bkt/q4.gguf", "s3://bkt"), ("/a/q4.gguf", "/a"), ("/q4", "/")],
)
def test_one_object_is_not_copied_into_its_own_folder(source: str, destination: str) -> None:
    with pytest.raises(InvalidUri, match="is the folder in which the source lies"):
        refuse_overlap(parse(source), parse(destination), {}, {}, single=True)
    refuse_overlap(parse(source), parse(destination), {}, {})


@pytest.mark.parametrize("destination", ["s3://bkt", "s3://bkt/gg/sub", "s3://bkt/g", "gs://bkt/gg"])
def test_one_object_may_be_copied_elsewhere(destination: str) -> None:
    assert not refused("s3://bkt/gg/q4.gguf", destination, single=True)


def test_an_account_of_azure_may_come_from_the_environment() -> None:
    one, other = {"AZURE_STORAGE_ACCOUNT_NAME": "one"}, {"AZURE_STORAGE_ACCOUNT_NAME": "other"}
    for source in ("az://c@one/m", "az://c/m"):
        refuse_overlap(parse(source), parse("az://c/m"), one, other)
        with pytest.raises(InvalidUri, match="Source and destination are both"):
            refuse_overlap(parse(source), parse("az://c/m"), one, one)


def test_the_same_bucket_of_two_accounts_endpoints_is_two_places() -> None:
    one, other = {"AWS_ENDPOINT_URL": "http://one:9000"}, {"AWS_ENDPOINT_URL": "http://other:9000"}
    refuse_overlap(parse("s3://bkt/m"), parse("s3://bkt/m"), one, other)
    with pytest.raises(InvalidUri, match="Source and destination are both"):
        refuse_overlap(parse("s3://bkt/m"), parse("s3://bkt/m"), one, one)
