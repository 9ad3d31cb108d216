"""The URI grammar: every spelling of the design's table, one normal form, and refusals that say why."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from wellhead_storage.errors import InvalidUri
from wellhead_storage.uri import STREAMABLE, WRAPPER, StorageUri, parse

# text → normal form, kind, container, key
SPELLINGS: dict[str, tuple[str, str, str, str]] = {
    # Object stores
    "s3://models/llama": ("s3://models/llama", "s3", "models", "llama"),
    "s3://models/llama/": ("s3://models/llama", "s3", "models", "llama"),
    "s3://models": ("s3://models", "s3", "models", ""),
    "s3://models/": ("s3://models", "s3", "models", ""),
    "S3://models/Llama": ("s3://models/Llama", "s3", "models", "Llama"),
    "s3://my.bucket-1/a/b/c": ("s3://my.bucket-1/a/b/c", "s3", "my.bucket-1", "a/b/c"),
    "s3://models/a b+c%20d/é": ("s3://models/a b+c%20d/é", "s3", "models", "a b+c%20d/é"),
    "s3://models/who?": ("s3://models/who?", "s3", "models", "who?"),
    "s3://models/a@b:c#d": ("s3://models/a@b:c#d", "s3", "models", "a@b:c#d"),
    " s3://models/llama\u3000": ("s3://models/llama", "s3", "models", "llama"),
    "gs://models/llama": ("gs://models/llama", "gs", "models", "llama"),
    "GS://models/llama": ("gs://models/llama", "gs", "models", "llama"),
    # Azure: three spellings, one normal form
    "az://models/llama": ("az://models/llama", "az", "models", "llama"),
    "az://models@account/llama": ("az://models@account/llama", "az", "models", "llama"),
    "abfs://models@account.dfs.core.windows.net/llama": ("az://models@account/llama", "az", "models", "llama"),
    "abfss://models@account.dfs.core.windows.net/llama": ("az://models@account/llama", "az", "models", "llama"),
    "abfss://models@Account.DFS.core.windows.net/llama/": ("az://models@account/llama", "az", "models", "llama"),
    "https://account.blob.core.windows.net/models/llama": ("az://models@account/llama", "az", "models", "llama"),
    "HTTPS://Account.Blob.core.windows.net/models/a%20b": ("az://models@account/a b", "az", "models", "a b"),
    # The other clouds of Azure, whose suffix stays
    "https://account.blob.core.chinacloudapi.cn/models/llama": (
        "az://models@account.blob.core.chinacloudapi.cn/llama",
        "az",
        "models",
        "llama",
    ),
    "abfss://models@Account.dfs.core.usgovcloudapi.net/llama": (
        "az://models@account.blob.core.usgovcloudapi.net/llama",
        "az",
        "models",
        "llama",
    ),
    "https://account.z01.blob.storage.azure.net/models/llama": (
        "az://models@account.z01.blob.storage.azure.net/llama",
        "az",
        "models",
        "llama",
    ),
    "az://models@account-secondary.blob.core.windows.net/llama": (
        "az://models@account-secondary/llama",
        "az",
        "models",
        "llama",
    ),
    # What looks like Azure: a file behind HTTP
    "https://files.blob.example.com/releases/model.tar.gz": (
        "https://files.blob.example.com/releases/model.tar.gz",
        "http",
        "files.blob.example.com",
        "releases/model.tar.gz",
    ),
    "https://account.blob.core.windows.net.example.com/models/llama": (
        "https://account.blob.core.windows.net.example.com/models/llama",
        "http",
        "account.blob.core.windows.net.example.com",
        "models/llama",
    ),
    "https://account.blob.storage.azure.net/models/llama": (
        "https://account.blob.storage.azure.net/models/llama",
        "http",
        "account.blob.storage.azure.net",
        "models/llama",
    ),
    "https://account.dfs.core.windows.net/models/llama": (
        "https://account.dfs.core.windows.net/models/llama",
        "http",
        "account.dfs.core.windows.net",
        "models/llama",
    ),
    # Hugging Face: both revision marks
    "hf://org/model": ("hf://org/model", "hf", "org/model", ""),
    "hf://org/model/": ("hf://org/model", "hf", "org/model", ""),
    "hf://org/model:v1": ("hf://org/model@v1", "hf", "org/model", ""),
    "hf://org/model@v1": ("hf://org/model@v1", "hf", "org/model", ""),
    "hf://org/model@refs/pr/7": ("hf://org/model@refs/pr/7", "hf", "org/model", ""),
    "hf://org/model/folder/file.gguf": ("hf://org/model/folder/file.gguf", "hf", "org/model", "folder/file.gguf"),
    "hf://org/model/folder/:v1": ("hf://org/model/folder@v1", "hf", "org/model", "folder"),
    "hf://org/model/folder@refs/pr/7": ("hf://org/model/folder@refs/pr/7", "hf", "org/model", "folder"),
    "HF://Org/Model-7B": ("hf://Org/Model-7B", "hf", "Org/Model-7B", ""),
    # HTTP
    "https://example.org/models/llama.tar.gz": (
        "https://example.org/models/llama.tar.gz",
        "http",
        "example.org",
        "models/llama.tar.gz",
    ),
    "http://Example.org:8080/llama": ("http://example.org:8080/llama", "http", "example.org:8080", "llama"),
    "https://example.org/llama?download=1&x=": (
        "https://example.org/llama?download=1&x=",
        "http",
        "example.org",
        "llama",
    ),
    # This container's own files
    "/mnt/models": ("file:///mnt/models", "file", "", "/mnt/models"),
    "/mnt//models/./llama/": ("file:///mnt/models/llama", "file", "", "/mnt/models/llama"),
    "file:///mnt/models": ("file:///mnt/models", "file", "", "/mnt/models"),
    "file://mnt/models": ("file:///mnt/models", "file", "", "/mnt/models"),
    "FILE:///mnt/models": ("file:///mnt/models", "file", "", "/mnt/models"),
    "/mnt/what?is=this": ("file:///mnt/what?is=this", "file", "", "/mnt/what?is=this"),
    "/": ("file:///", "file", "", "/"),
    # Mounted by KServe
    "pvc://claim/llama": ("pvc://claim/llama", "mounted", "claim", "llama"),
    "pvc://claim": ("pvc://claim", "mounted", "claim", ""),
    "oci://registry.example/llama:1": ("oci://registry.example/llama:1", "mounted", "registry.example", "llama:1"),
    "oci+native://registry.example/llama:1": (
        "oci+native://registry.example/llama:1",
        "mounted",
        "registry.example",
        "llama:1",
    ),
    "oci://llama:1@sha256:0a1b": ("oci://llama:1@sha256:0a1b", "mounted", "llama:1@sha256:0a1b", ""),
    # Registry
    "model-registry://llama/v1": ("model-registry://llama/v1", "registry", "llama", "v1"),
    "model-registry://registry.example:8080/llama/v1": (
        "model-registry://registry.example:8080/llama/v1",
        "registry",
        "registry.example:8080",
        "llama/v1",
    ),
    "model-registry://llama?namespace=team-a": (
        "model-registry://llama?namespace=team-a",
        "registry",
        "llama",
        "",
    ),
    # Handed to the kserve-storage library
    "hdfs://namenode/llama": ("hdfs://namenode/llama", "delegated", "namenode", "llama"),
    "webhdfs://namenode:9870/llama": ("webhdfs://namenode:9870/llama", "delegated", "namenode:9870", "llama"),
    "modelscope://org/model": ("modelscope://org/model", "delegated", "org", "model"),
    "ModelScope://org/model:v1/": ("modelscope://org/model:v1", "delegated", "org", "model:v1"),
    "https://account.file.core.windows.net/share/llama/": (
        "https://account.file.core.windows.net/share/llama",
        "delegated",
        "account.file.core.windows.net",
        "share/llama",
    ),
    "HTTPS://Account.File.core.windows.net/share?sv=2026": (
        "https://account.file.core.windows.net/share?sv=2026",
        "delegated",
        "account.file.core.windows.net",
        "share",
    ),
    "https://account.z12.file.storage.azure.net/share/a b/v1.git": (
        "https://account.z12.file.storage.azure.net/share/a b/v1.git",
        "delegated",
        "account.z12.file.storage.azure.net",
        "share/a b/v1.git",
    ),
    "https://GitHub.com/org/model.git/": (
        "https://github.com/org/model.git",
        "delegated",
        "github.com",
        "org/model.git",
    ),
    "https://me@git.example:8443/model.git": (
        "https://me@git.example:8443/model.git",
        "delegated",
        "me@git.example:8443",
        "model.git",
    ),
    # What looks like one of them: a file behind HTTP
    "https://www.github.com/org/model.tar.gz": (
        "https://www.github.com/org/model.tar.gz",
        "http",
        "www.github.com",
        "org/model.tar.gz",
    ),
    "https://example.org/model.git/config.json": (
        "https://example.org/model.git/config.json",
        "http",
        "example.org",
        "model.git/config.json",
    ),
    "http://example.org/model.git": ("http://example.org/model.git", "http", "example.org", "model.git"),
    "http://account.file.core.windows.net/share": (
        "http://account.file.core.windows.net/share",
        "http",
        "account.file.core.windows.net",
        "share",
    ),
}


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_scheme_has_one_normal_form(text: str) -> None:
    normal, kind, container, key = SPELLINGS[text]
    uri = parse(text)
    assert (str(uri), uri.kind, uri.container, uri.key) == (normal, kind, container, key)
    assert not uri.forced_stream


@pytest.mark.parametrize("text", SPELLINGS)
@pytest.mark.parametrize("wrapper", ["runai_streamer://", "RunAI_Streamer://"])
def test_the_wrapper_protocol_takes_every_uri(wrapper: str, text: str) -> None:
    plain, wrapped = parse(text), parse(wrapper + text.strip())
    assert wrapped.forced_stream
    assert str(wrapped) == f"runai_streamer://{plain}"
    assert wrapped.location == plain.location, "the streamer and the log see the URI inside"
    assert (wrapped.kind, wrapped.container, wrapped.key) == (plain.kind, plain.container, plain.key)


def test_the_wrapper_around_an_absolute_path_has_three_slashes() -> None:
    uri = parse("runai_streamer:///mnt/models")
    assert (uri.kind, uri.key, uri.forced_stream) == ("file", "/mnt/models", True)


def test_azure_spellings_give_equal_objects() -> None:
    spellings = (
        "az://models@account/llama",
        "abfs://models@account.dfs.core.windows.net/llama",
        "abfss://models@account.dfs.core.windows.net/llama",
        "https://account.blob.core.windows.net/models/llama",
    )
    assert len({parse(text) for text in spellings}) == 1
    assert parse(spellings[0]).account == "account"


@pytest.mark.parametrize(
    ("text", "account", "suffix"),
    [
        ("az://models/llama", "", ""),
        ("az://models@account/llama", "account", ""),
        ("https://account.blob.core.windows.net/models/llama", "account", ""),
        ("https://account.blob.core.chinacloudapi.cn/models/llama", "account", "blob.core.chinacloudapi.cn"),
        ("abfss://models@account.dfs.core.usgovcloudapi.net/llama", "account", "blob.core.usgovcloudapi.net"),
        ("az://models@account.z50.dfs.storage.azure.net/llama", "account", "z50.blob.storage.azure.net"),
    ],
)
def test_azure_account_and_cloud(text: str, account: str, suffix: str) -> None:
    uri = parse(text)
    assert (uri.account, uri.suffix) == (account, suffix)


def test_the_streamer_gets_no_account_because_it_travels_in_the_environment() -> None:
    assert parse("abfss://models@account.dfs.core.windows.net/llama").location == "az://models/llama"


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        ("hf://org/model", ""),
        ("hf://org/model:", ""),
        ("hf://org/model:main", "main"),
        ("hf://org/model@main", "main"),
        ("hf://org/model@a:b", "a:b"),
        ("hf://org/model:refs/pr/7", "refs/pr/7"),
    ],
)
def test_hugging_face_revision(text: str, revision: str) -> None:
    assert parse(text).revision == revision


QUERIES = {
    "s3://models/llama?endpoint=http://minio:9000&region=eu": {"endpoint": "http://minio:9000", "region": "eu"},
    "s3://models/llama?endpoint=http%3A%2F%2Fminio%3A9000": {"endpoint": "http://minio:9000"},
    "s3://models/llama?defaultRegion=us-east-1": {"defaultRegion": "us-east-1"},
    "s3://models/llama?region=": {"region": ""},
    "s3://models/llama?region=a&region=b": {"region": "b"},
    "s3://models?region=eu": {"region": "eu"},
    "s3://models/why?/llama?region=eu": {"region": "eu"},
    "s3://models/llama": {},
    "s3://models/llama?": {},
    "s3://models/llama?no-value": {},
    "model-registry://llama/v1?namespace=team-a": {"namespace": "team-a"},
}


@pytest.mark.parametrize(("text", "parameters"), QUERIES.items())
def test_query(text: str, parameters: dict[str, str]) -> None:
    uri = parse(text)
    assert uri.parameters == parameters
    assert not uri.query or "?" not in uri.location.removeprefix("s3://models/why?"), "location holds no query"


def test_a_question_mark_without_a_value_belongs_to_the_key() -> None:
    assert parse("s3://models/llama?no-value").key == "llama?no-value"


REFUSED = {
    "": "empty",
    "   ": "empty",
    "llama": "no scheme",
    "./llama": "no scheme",
    "models/llama": "no scheme",
    "s3:/models/llama": "no scheme",
    "://models": "no scheme",
    "ftp://models/llama": "unknown scheme ftp://",
    "S4://models/llama": "unknown scheme s4://",
    "s3://": "no valid bucket",
    "s3:///llama": "no valid bucket",
    "s3://bad bucket/llama": "no valid bucket",
    "s3://-models/llama": "no valid bucket",
    "s3://mo\ndels/llama": "control characters",
    "s3://models/lla\x00ma": "control characters",
    "s3://models/lla\x7fma": "control characters",
    "s3://models/lla\udcffma": "not valid UTF-8",
    "s3://models/llama?region=\udcff": "not valid UTF-8",
    "s3://models/../llama": "'.' or '..'",
    "s3://models/a/./llama": "'.' or '..'",
    "gs://models/a/..": "'.' or '..'",
    "/mnt/models/../../etc": "'.' or '..'",
    "file:///mnt/..": "'.' or '..'",
    "hf://org/..": "'.' or '..'",
    "s3://models/a//b": "empty folder name",
    "az:///llama": "no container",
    "abfss://models/llama": "no container and account",
    "az://models@account.example.com/llama": "'account.example.com', which is no storage account of Azure",
    "abfss://models@onelake.dfs.fabric.microsoft.com/llama": "which is no storage account of Azure",
    "az://models@account.blob.core.windows.net.example.com/llama": "which is no storage account of Azure",
    "az://models@evil#/llama": "'evil#', which is no storage account of Azure",
    "az://models@account:80#/llama": "which is no storage account of Azure",
    "https://account.blob.core.windows.net/": "names no container",
    "https:///llama": "needs a host or bucket",
    "https://user:password@example.org/llama": "must not carry a user name",
    "https://user@example.org/llama": "must not carry a user name",
    "s3://key:secret@models/llama": "must not carry a user name",
    "hf://model": "not owner/model",
    "hf://a/b//c": "not owner/model",
    "hf://a/b/../c": "'.' or '..'",
    "hf://datasets/org/data": "serves no datasets",
    "hf://spaces/org/app": "serves no spaces",
    "hf:///model": "not owner/model",
    "pvc://": "names nothing",
    "model-registry://": "names nothing",
    "hdfs:///": "names nothing",
    "modelscope://org": "is not owner/model",
    "modelscope://org/:v1": "is not owner/model",
    "modelscope://org/model/part": "is not owner/model",
    "https://account.file.core.windows.net/": "names no share",
    "https://account.file.core.windows.net/share/../other": "'..' segment",
    "https://git.example/model.git?ref=v1": "a Git repository takes none",
    "https://git.example/../model.git": "'..' segment",
    "https:///model.git": "needs a host",
    "https://me@/model.git": "needs a host",
    "runai_streamer://": "empty",
    "runai_streamer://runai_streamer://s3://models/llama": "twice",
    "runai_streamer://ftp://models": "unknown scheme",
    "https://account.blob.core.windows.net/models/a%3Fb=c": "ambiguous",
}


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=[repr(text) for text in REFUSED])
def test_refusals_say_why(text: str, why: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse(text)
    assert why in str(caught.value)
    assert caught.value.hint, "every refusal says what to do"
    assert caught.value.exit_code == 10
    assert "\n" not in str(caught.value)


SECRET = "hunter2-very-secret"


@pytest.mark.parametrize("scheme", ["s3", "gs", "https", "az", "ftp", "hdfs", "runai_streamer://s3", "model-registry"])
def test_a_password_in_a_uri_is_refused_and_not_repeated(scheme: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse(f"{scheme}://user:{SECRET}@models/llama")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("token", ["ghp_abcdefgh", "github_pat_11AB", "glpat-abcdefgh", "hf_abcdefgh", "a" * 40])
def test_a_token_for_git_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse(f"https://{token}@git.example/model.git")
    assert token not in str(caught.value)
    assert "GIT_PASSWORD" in caught.value.hint


def test_a_signature_for_azure_files_is_kept_for_the_store_and_out_of_messages() -> None:
    uri = parse("https://account.file.core.windows.net/share/llama?sv=2026&sig=a%2Fb%3D")
    assert uri.parameters["sig"] == "a/b="
    assert uri.location == "https://account.file.core.windows.net/share/llama"
    with pytest.raises(InvalidUri) as caught:
        parse("https://account.file.core.windows.net/share//llama?sv=2026&sig=hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://account.blob.core.windows.net/models/llama?sv=2024&sig=topsecret",
        "az://models@account/llama?sig=topsecret",
        "s3://models/llama?X-Amz-Signature=topsecret",
        "gs://models/llama?X-Goog-Signature=topsecret",
        "https://host/model.tar?sig=topsecret\x00",
    ],
)
def test_a_signature_in_a_refused_uri_is_not_repeated(text: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse(text)
    assert "topsecret" not in str(caught.value)


def test_the_first_question_mark_of_a_web_address_starts_its_query() -> None:
    uri = parse("https://host/model.tar?sig=topsecret?more")
    assert (uri.key, uri.parameters) == ("model.tar", {"sig": "topsecret?more"})
    assert uri.public == "https://host/model.tar"


def test_unknown_schemes_list_the_known_ones() -> None:
    with pytest.raises(InvalidUri) as caught:
        parse("ftp://models/llama")
    for scheme in ("s3", "gs", "az", "abfss", "hf", "https", "file", "pvc", "oci", "model-registry", WRAPPER):
        assert f"{scheme}://" in caught.value.hint


@pytest.mark.parametrize("wrapper", ["", "runai_streamer://"])
def test_the_placeholder_in_kserves_annotation_is_explained(wrapper: str) -> None:
    """The annotation of a pod with `storage.path` holds it, where others hold the model's URI."""
    with pytest.raises(InvalidUri, match=r"what KServe notes for `storage\.path` in an annotation") as caught:
        parse(f"{wrapper}<scheme-placeholder>://llama/7b")
    assert "s3://bucket/llama/7b" in caught.value.hint


def test_only_object_stores_can_be_streamed() -> None:
    streamable = {text for text in SPELLINGS if parse(text).kind in STREAMABLE}
    assert {text.strip().partition(":")[0].lower() for text in streamable} == {
        "s3",
        "gs",
        "az",
        "abfs",
        "abfss",
        "https",
    }
    assert not {text for text in streamable if text.lower().startswith("https") and parse(text).kind != "az"}


@pytest.mark.parametrize(
    ("text", "child"),
    [
        ("s3://models/llama", "s3://models/llama/config.json"),
        ("s3://models", "s3://models/config.json"),
        ("s3://models/llama?region=eu", "s3://models/llama/config.json"),
        ("runai_streamer://s3://models/llama", "s3://models/llama/config.json"),
        ("/mnt/models", "file:///mnt/models/config.json"),
        ("hf://org/model", "hf://org/model/config.json"),
        ("hf://org/model:v1", "hf://org/model/config.json@v1"),
        ("hf://org/model/folder:v1", "hf://org/model/folder/config.json@v1"),
    ],
)
def test_objects_are_named_as_in_the_store(text: str, child: str) -> None:
    assert parse(text).child("config.json") == child


def test_a_prefix_is_a_folder() -> None:
    """Nothing of `llama-2` can ever look like a part of `llama`."""
    assert not parse("s3://models/llama-2").child("config.json").startswith(parse("s3://models/llama").child(""))


# Hypothesis ------------------------------------------------------------------------------------------------------

SCHEMES = sorted({text.strip().partition("://")[0] for text in SPELLINGS if "://" in text} | {"ftp", WRAPPER})
ANY_TEXT = st.text(st.characters())  # lone surrogates included: that is how Python shows argv that is not UTF-8
LIKELY = st.builds(
    "{}{}://{}{}".format,
    st.sampled_from(["", f"{WRAPPER}://"]),
    st.sampled_from(SCHEMES),
    st.text(st.sampled_from("abAZ09./:@?=&%+-_ é\u0130\u212a\udcff"), max_size=12),
    ANY_TEXT,
)


def parsed(text: str) -> StorageUri | None:
    """Nothing but InvalidUri may come out of `parse`."""
    try:
        return parse(text)
    except InvalidUri as error:
        str(error).encode("utf-8")
        return None


@hypothesis_settings(max_examples=10_000)
@given(st.one_of(ANY_TEXT, LIKELY))
@example("s3://models/x?a=\udcff")
@example("https://\u0130/x")
def test_parsing_gives_a_stable_uri_or_a_refusal(text: str) -> None:
    uri = parsed(text)
    if uri is not None:
        assert parse(str(uri)) == uri
        assert uri.scheme == uri.scheme.lower()
        assert not uri.location.startswith(f"{WRAPPER}:")
        str(uri).encode("utf-8")


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40)


@given(st.sampled_from(["s3", "gs", "az", "hf", "http", "https", "file", "pvc", "oci", "hdfs"]), KEYS, st.data())
def test_schemes_are_case_insensitive(scheme: str, rest: str, data: st.DataObject) -> None:
    shouted = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in scheme)
    assert parsed(f"{shouted}://{rest}") == parsed(f"{scheme}://{rest}")


@given(st.lists(KEYS.map(lambda text: text.replace("/", "-").replace("?", "-")), min_size=1, max_size=4))
def test_keys_are_taken_as_written(parts: list[str]) -> None:
    key = "/".join(parts)
    uri = parsed(f"s3://models/{key}")
    if key == key.strip() and not {".", ".."} & set(parts):
        assert uri is not None
        assert uri.key == key


@given(KEYS, KEYS)
def test_different_folders_share_no_object(first: str, second: str) -> None:
    one, two = parsed(f"s3://models/{first}"), parsed(f"s3://models/{second}")
    if one is None or two is None or not one.key or one.key == two.key or two.key.startswith(f"{one.key}/"):
        return
    assert not two.child("config.json").startswith(one.child(""))
