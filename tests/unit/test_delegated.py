"""Delegated URIs, without the library: spelling, secrets, reports, sentences, and what is made of its folder."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_storage.delegated.failures import explain
from wellhead_storage.delegated.report import Link, chain, read, write
from wellhead_storage.delegated.result import settle
from wellhead_storage.delegated.secrets import redactor
from wellhead_storage.delegated.services import service, spelling
from wellhead_storage.errors import (
    AccessDenied,
    InsufficientSpace,
    IntegrityError,
    InvalidConfiguration,
    ObjectNotFound,
    StoreUnavailable,
    WellheadError,
)
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from pathlib import Path

GIT = parse("https://git.example/org/model.git")
AZURE = parse("https://account.file.core.windows.net/share/models/llama?sv=1&sig=hunter2%2Fhunter2")
HDFS = parse("hdfs://user/llama")
MODELSCOPE = parse("modelscope://org/model")

# Spelling ------------------------------------------------------------------------------------------------------------

SPELLINGS = {
    "https://git.example/org/model.git": ("git", "https://git.example/org/model.git"),
    "HTTPS://me@Git.Example:8443/Org/Model.git/": ("git", "https://me@git.example:8443/Org/Model.git"),
    "https://account.file.core.windows.net/share": ("azure", "https://account.file.core.windows.net/share/"),
    "https://account.file.core.windows.net/share/a/": ("azure", "https://account.file.core.windows.net/share/a"),
    "https://account.file.core.windows.net/share?sv=1&sig=a%2Fb+c": (
        "azure",
        "https://account.file.core.windows.net/share/?sv=1&sig=a%2Fb+c",
    ),
    "https://account.z1.file.storage.azure.net/share/v.git": (
        "azure",
        "https://account.z1.file.storage.azure.net/share/v.git",
    ),
    "HDFS://user/a b/llama/": ("hdfs", "hdfs://user/a b/llama"),
    "webhdfs://user/llama?x=1": ("hdfs", "webhdfs://user/llama?x=1"),
    " modelscope://org/model:v1/ ": ("modelscope", "modelscope://org/model:v1"),
}


@pytest.mark.parametrize("text", SPELLINGS)
@pytest.mark.parametrize("wrapper", ["", "runai_streamer://", "RunAI_Streamer://"])
def test_the_library_gets_a_spelling_that_it_knows(wrapper: str, text: str) -> None:
    written = wrapper + text.strip() if wrapper else text
    uri = parse(written)
    assert (service(uri), spelling(uri, written)) == SPELLINGS[text]


@pytest.mark.parametrize("text", SPELLINGS)
def test_the_normal_form_is_as_good_as_what_was_written(text: str) -> None:
    uri = parse(text)
    assert parse(spelling(uri, str(uri))) == uri


# Secrets -------------------------------------------------------------------------------------------------------------

SECRET = "hunter2/very+secret"


@pytest.mark.parametrize(
    "environment",
    [
        {"GIT_PASSWORD": SECRET},
        {"MODELSCOPE_API_TOKEN": SECRET},
        {"AZURE_STORAGE_ACCESS_KEY": SECRET},
        {"AZURE_CLIENT_SECRET": f" {SECRET}\n"},
        {"AWS_SECRET_ACCESS_KEY": SECRET},
        {"store.example-headers": json.dumps({"Authorization": f"Bearer {SECRET}"})},
        {"STORAGE_CONFIG": json.dumps({"type": "hdfs", "HEADERS": json.dumps({"X-Auth": SECRET})})},
        {"STORAGE_CONFIG": json.dumps({"type": "hdfs", "KERBEROS_KEYTAB": SECRET})},
        {"STORAGE_OVERRIDE_CONFIG": json.dumps({"TLS_KEY": SECRET})},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_no_secret_of_the_environment_is_repeated(environment: dict[str, str]) -> None:
    redact = redactor(environment, GIT)
    for text in (SECRET, f"Bearer {SECRET}", "x=hunter2%2Fvery%2Bsecret&y", f"{{'key': {SECRET!r}}}"):
        assert "hunter2" not in redact(text)
        assert "***" in redact(text)


def test_what_is_no_secret_stays() -> None:
    environment = {
        "GIT_USERNAME": "me",
        "GIT_PASSWORD": "",
        "AZURE_CLIENT_SECRET": "abc",  # nobody's: so short a secret would black out words
        "STORAGE_CONFIG": json.dumps({"type": "hdfs", "HDFS_NAMENODE": "http://namenode:9870", "USER_PROXY": "alice"}),
        "KEYBOARD": "qwerty",
        "STORAGE_ALLOW_PATTERNS": "*.json",
    }
    text = "me abc hdfs http://namenode:9870 alice qwerty *.json"
    assert redactor(environment, HDFS)(text) == text


def test_headers_of_the_hdfs_secret_are_no_news_to_anybody(tmp_path: Path) -> None:
    (tmp_path / "HEADERS").write_text(json.dumps({"Authorization": f"Basic {SECRET}"}))
    redact = redactor({"HDFS_SECRET_DIR": str(tmp_path)}, HDFS)
    config = {"HDFS_NAMENODE": "http://namenode:9870", "HEADERS": (tmp_path / "HEADERS").read_text()}
    said = redact(f"Using the following hdfs config: {config}")
    assert "hunter2" not in said
    assert "namenode" in said


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("GET https://store.example/a?sig=x&b=c 200", "GET https://store.example/a 200"),
        ("'https://me:pass@git.example/a.git'", "'https://git.example/a.git'"),
        ('{"url": "http://h:80/p?q=1", "n": 2}', '{"url": "http://h:80/p", "n": 2}'),
        ("What? https is no URL: a@b?c=d", "What? https is no URL: a@b?c=d"),
    ],
)
def test_urls_lose_user_and_query(said: str, left: str) -> None:
    assert redactor({}, GIT)(said) == left


def test_a_signature_in_the_uri_is_a_secret() -> None:
    redact = redactor({}, AZURE)
    assert "hunter2" not in redact("sig=hunter2/hunter2 sig=hunter2%2Fhunter2")


@given(st.text(min_size=4), st.text(), st.text())
def test_a_secret_is_gone_wherever_it_stands(secret: str, before: str, after: str) -> None:
    value = secret.strip()
    if len(value) >= 4 and not value.startswith(("{", "*")):
        said = redactor({"GIT_PASSWORD": secret}, GIT)(f"{before} {value} {after}")
        assert said.count(value) <= (before + after + "***").count(value)


# Reports -------------------------------------------------------------------------------------------------------------


class StatusError(Exception):
    status_code = 403


def test_a_report_is_the_chain_from_the_outermost_to_the_cause() -> None:
    try:
        try:
            try:
                raise OSError(errno.ENOSPC, "No space left on device", "/mnt/x")
            except OSError as error:
                raise StatusError("refused") from error
        except StatusError:
            raise RuntimeError("Git error")  # noqa: B904 - as some libraries do
    except RuntimeError as error:
        links = chain(error)
    assert links == [
        Link("RuntimeError", "Git error"),
        Link("StatusError", "refused", status=403),
        Link("OSError", "[Errno 28] No space left on device: '/mnt/x'", errno=errno.ENOSPC, file="/mnt/x"),
    ]
    assert read(write(links)) == links


def test_a_missing_module_is_reported_by_its_first_name() -> None:
    with pytest.raises(ImportError) as caught:
        import not_there.at_all  # type: ignore[import-not-found]  # noqa: F401
    assert chain(caught.value)[0].module == "not_there"


def test_a_report_always_fits_a_pipe() -> None:
    """The child must not wait for somebody to read it."""
    error: BaseException = ValueError("\x00é" * 10_000)
    for _ in range(100):
        following = ValueError("\u20ac" * 10_000)
        following.__cause__ = error
        error = following
    assert len(write(chain(error))) < 64 << 10


@pytest.mark.parametrize("line", [b"", b"\n", b"[]", b"{}", b"[1]", b'[{"what": 1}]', b"\xff", b"null"])
def test_a_damaged_report_says_nothing(line: bytes) -> None:
    assert read(line) == []
    assert isinstance(explain(read(line), GIT), StoreUnavailable)


# Sentences -----------------------------------------------------------------------------------------------------------

OUTER = Link("RuntimeError", "Git authentication failed. Set GIT_USERNAME/GIT_PASSWORD or use a public repository.")
SENTENCES: dict[str, tuple[str, Link, type[WellheadError], str]] = {
    "no such repository": (str(GIT), Link("NotGitRepository", ""), ObjectNotFound, "does not exist"),
    "401": (str(GIT), Link("HTTPUnauthorized", "No valid credentials provided"), AccessDenied, "GIT_PASSWORD"),
    "403": (str(GIT), Link("GitProtocolError", "unexpected http resp 403 for https://x"), AccessDenied, "status 403"),
    "502": (str(GIT), Link("GitProtocolError", "unexpected http resp 502 for https://x"), StoreUnavailable, "502"),
    "proxy": (str(GIT), Link("HTTPProxyUnauthorized", "no"), AccessDenied, "does not accept the credentials"),
    "dns": (
        str(GIT),
        Link("GitProtocolError", "Failed to resolve 'git.example' ([Errno -2] Name or service not known)"),
        StoreUnavailable,
        "its host name cannot be resolved",
    ),
    "reset": (
        str(GIT),
        Link("ConnectionResetError", "[Errno 104] Connection reset by peer"),
        StoreUnavailable,
        "closed",
    ),
    "share": (str(AZURE), Link("ResourceNotFoundError", "no", status=404), ObjectNotFound, "does not exist"),
    "signature": (str(AZURE), Link("ClientAuthenticationError", "no", status=403), AccessDenied, "or the signature"),
    "busy": (str(AZURE), Link("HttpResponseError", "Server busy", status=503), StoreUnavailable, "answers 503"),
    "no key": (
        str(AZURE),
        Link("ValueError", "You need to provide either an account shared key or SAS token when creating a service."),
        AccessDenied,
        "it got no credentials",
    ),
    "hdfs path": (str(HDFS), Link("HdfsError", "File does not exist: /user/llama"), ObjectNotFound, "does not exist"),
    "hdfs user": (
        str(HDFS),
        Link("HdfsError", "Permission denied: user=x, access=READ"),
        AccessDenied,
        "it does not permit this user",
    ),
    "hdfs keytab": (
        str(HDFS),
        Link("HdfsError", "Authentication failure. Check your credentials."),
        AccessDenied,
        "keytab",
    ),
    "hdfs packages": (
        str(HDFS),
        Link("ModuleNotFoundError", "No module named 'krbcontext'", module="krbcontext"),
        InvalidConfiguration,
        "hdfs, krbcontext and requests-kerberos",
    ),
    "hdfs secret": (
        str(HDFS),
        Link("FileNotFoundError", "no", errno=errno.ENOENT, file="/var/secrets/kserve-hdfscreds"),
        InvalidConfiguration,
        "none at /var/secrets/kserve-hdfscreds",
    ),
    "library": (
        str(GIT),
        Link("ModuleNotFoundError", "No module named 'kserve_storage'", module="kserve_storage"),
        InvalidConfiguration,
        "wellhead[kserve]",
    ),
    "package": (
        str(GIT),
        Link("ModuleNotFoundError", "No module named 'dulwich'", module="dulwich"),
        InvalidConfiguration,
        "needs the Python package dulwich, which is not installed. Install wellhead[kserve].",
    ),
    "modelscope": (
        str(MODELSCOPE),
        Link("RuntimeError", "ModelScope is not installed. Please install it with: pip install modelscope-hub"),
        InvalidConfiguration,
        "needs the Python package modelscope",
    ),
    "model": (str(MODELSCOPE), Link("NotExistError", "[E3020] [404] …", status=404), ObjectNotFound, "does not exist"),
    "token": (
        str(MODELSCOPE),
        Link("PermissionDeniedError", "[E3002]", status=403),
        AccessDenied,
        "Check MODELSCOPE_API_TOKEN",
    ),
    "full": (str(GIT), Link("OSError", "[Errno 28] …", errno=errno.ENOSPC, file="/x"), InsufficientSpace, "was full"),
    "read-only": (
        str(GIT),
        Link("OSError", "[Errno 30] …", errno=errno.EROFS, file="/mnt/models"),
        InvalidConfiguration,
        "/mnt/models cannot be written",
    ),
    "empty": (
        str(AZURE),
        Link("RuntimeError", "Failed to fetch model. No model found in https://…"),
        ObjectNotFound,
        "holds no files",
    ),
    "archive": (
        str(HDFS),
        Link("RuntimeError", "Failed to unpack archive file. The file format is not valid."),
        IntegrityError,
        "is no archive that can be unpacked",
    ),
    "anything": (str(GIT), Link("TypeError", "an integer is required.\nand more"), StoreUnavailable, ": an integer is"),
    "nothing": (str(GIT), Link("KeyError", ""), StoreUnavailable, ": KeyError."),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_every_failure_is_one_sentence_about_the_uri(case: str) -> None:
    text, link, kind, words = SENTENCES[case]
    uri = parse(text)
    for links in (
        ([link], [OUTER, link], [OUTER, link, OUTER]) if case not in {"anything", "nothing"} else ([OUTER, link],)
    ):
        error = explain(links, uri)
        assert type(error) is kind
        assert words in str(error)
        assert error.hint
        assert "\n" not in str(error)
        assert "hunter2" not in f"{error!r}{error}"


@pytest.mark.parametrize("name", ["certificate", "timed out", "unreachable", "no model found in"])
def test_a_models_own_name_is_not_taken_for_a_reason(name: str) -> None:
    uri = parse(f"modelscope://org/{name}")
    error = explain([Link("HubError", f"Cannot read {name} of org")], uri)
    assert str(error).startswith("kserve-storage could not fetch")


# What the library left -----------------------------------------------------------------------------------------------


def write_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "unpacked").mkdir()
    return tmp_path / "unpacked"


def test_any_user_may_read_what_came(folder: Path) -> None:
    write_files(folder, "config.json", "sub/model.bin")
    (folder / "sub").chmod(0o700)
    settle(folder, MODELSCOPE)
    assert {path.stat().st_mode & 0o777 for path in (folder / "config.json", folder / "sub/model.bin")} == {0o644}
    assert (folder / "sub").stat().st_mode & 0o777 == 0o755


def test_gits_folder_goes_for_git_only(folder: Path) -> None:
    write_files(folder, "config.json", ".git/objects/pack/p.pack", "sub/.git/x")
    settle(folder, MODELSCOPE)
    assert ".git/objects/pack/p.pack" in files(folder)
    settle(folder, GIT)
    assert files(folder) == ["config.json", "sub/.git/x"]


def test_a_share_loses_the_path_to_the_model(folder: Path) -> None:
    write_files(folder, "models/llama/config.json", "models/llama/models/llama/x")
    settle(folder, AZURE)
    assert files(folder) == ["config.json", "models/llama/x"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("uri", [GIT, AZURE, HDFS, MODELSCOPE], ids=service)
def test_an_empty_folder_is_no_model(folder: Path, uri: object) -> None:
    write_files(folder, ".git/HEAD") if uri is GIT else (folder / "empty").mkdir()
    with pytest.raises(ObjectNotFound, match="holds no files"):
        settle(folder, uri)  # type: ignore[arg-type]


def test_a_chain_of_links_inside_becomes_files(folder: Path) -> None:
    write_files(folder, "blobs/1")
    (folder / "b").symlink_to("blobs/1")
    (folder / "a").symlink_to("b")
    settle(folder, GIT)
    assert [(folder / name).read_text() for name in ("a", "b")] == ["blobs/1"] * 2
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "loop", "absent", "sub"])
def test_other_links_are_refused_by_name(folder: Path, target: str) -> None:
    write_files(folder, "sub/x", "../outside")
    (folder / "loop").symlink_to(target)
    with pytest.raises(IntegrityError, match=r"model\.git/loop is a link that leads to no file of the model"):
        settle(folder, GIT)


def test_a_pipe_is_refused_by_name(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(IntegrityError, match=r"model\.git/pipe is neither a file nor a folder"):
        settle(folder, GIT)
