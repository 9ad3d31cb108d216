"""Git, ModelScope and Azure Files through KServe's own library: what comes, what is said, and that it always ends."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.storage.delegated_services import GitServer, git_server, pointer, repository, tunnel_to
from tests.storage.pod import Pod, contents
from tests.storage.tls_proxy import Authority, new_authority, tls_proxy
from wellhead_storage.delegated.fetch import fetch_delegated
from wellhead_storage.errors import (
    AccessDenied,
    IncompleteCheckpoint,
    IntegrityError,
    Interrupted,
    InvalidConfiguration,
    ObjectNotFound,
    StoreUnavailable,
    WellheadError,
)
from wellhead_storage.settings import Settings
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("kserve_storage", exc_type=ImportError)

MODEL = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 1000, "sub/tokenizer.json": b"[]"}
PASSWORD = "hunter2-very-secret"


@dataclass
class Fetching:
    """A volume, and the container's variables.

    Attributes:
        folder: where the model is to come.
        environment: the variables.
        settings: as the container has them.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": os.defpath, "HOME": "/nonexistent"})
    settings: Settings = field(default_factory=Settings)

    def __call__(self, uri: str, check: Callable[[], None] = lambda: None, **environment: str) -> dict[str, bytes]:
        """Fetch, and return the files; nothing else may be beside them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            fetch_delegated(parse(uri), uri, self.folder, {**self.environment, **environment}, self.settings, check)
        finally:
            assert [*self.folder.parent.iterdir()] == [self.folder]
        return contents(self.folder)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path / "volume" / "unpacked")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusting(fetch: Fetching, authority: Authority) -> Fetching:
    """In a pod that KServe gave a CA bundle."""
    fetch.environment["CA_BUNDLE_CONFIGMAP_NAME"] = "ca"
    fetch.environment["CA_BUNDLE_VOLUME_MOUNT_POINT"] = str(authority.bundle.parent)
    return fetch


@pytest.fixture(scope="module")
def web_server() -> Iterator[HTTPServer]:
    with HTTPServer() as server:
        yield server


@pytest.fixture
def web(web_server: HTTPServer) -> HTTPServer:
    web_server.clear()
    return web_server


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("wellhead"), "propagate", True)
    caplog.set_level(logging.DEBUG, "wellhead")
    return caplog


# Git ---------------------------------------------------------------------------------------------------------------


@dataclass
class Git:
    """A Git server, and the https:// URI of its repository."""

    server: GitServer
    uri: str

    def holds(self, files: dict[str, bytes], links: dict[str, str] | None = None) -> None:
        self.server.repositories["/org/model.git"] = repository(files, links)


@pytest.fixture
def git(authority: Authority, tmp_path: Path) -> Iterator[Git]:
    certificate = authority.issue(tmp_path / "git.pem", "127.0.0.1")
    with git_server() as server, tls_proxy(server.url, certificate) as url:
        made = Git(server, f"{url}/org/model.git")
        made.holds(MODEL)
        yield made


def test_a_repository_comes_without_gits_own_folder(trusting: Fetching, git: Git) -> None:
    assert trusting(git.uri) == MODEL
    assert not (trusting.folder / ".git").exists()
    for path in trusting.folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("spelling", ["HTTPS{}", "https{}/", "runai_streamer://https{}"])
def test_spellings_that_the_library_does_not_know_work_too(trusting: Fetching, git: Git, spelling: str) -> None:
    assert trusting(spelling.format(git.uri.removeprefix("https"))) == MODEL


def test_a_private_repository_takes_the_variables_of_kserve(trusting: Fetching, git: Git) -> None:
    git.server.password = PASSWORD
    with pytest.raises(AccessDenied, match=r"refuses access to .*/org/model\.git: .* GIT_PASSWORD"):
        trusting(git.uri)
    assert trusting(git.uri, GIT_USERNAME="me", GIT_PASSWORD=PASSWORD) == MODEL


def test_large_files_come_from_gits_large_file_storage(trusting: Fetching, git: Git, authority: Authority) -> None:
    weights = b"w" * 5000
    attributes = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
    git.server.large.append(weights)
    git.holds({".gitattributes": attributes, "model.safetensors": pointer(weights)})
    assert trusting(git.uri) == {".gitattributes": attributes, "model.safetensors": weights}


def test_a_large_file_that_is_not_there_is_not_taken_for_weights(trusting: Fetching, git: Git) -> None:
    git.holds({".gitattributes": b"*.bin filter=lfs -text\n", "sub/model.bin": pointer(b"nowhere")})
    with pytest.raises(IncompleteCheckpoint, match=r"/org/model\.git/sub/model\.bin is only a pointer"):
        trusting(git.uri)


def test_links_inside_the_model_become_files(trusting: Fetching, git: Git) -> None:
    git.holds(MODEL, {"sub/alias.json": "../config.json"})
    assert trusting(git.uri) == {**MODEL, "sub/alias.json": b"{}"}
    assert not (trusting.folder / "sub/alias.json").is_symlink()


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../secret", "missing", ".git/HEAD", "sub"])
def test_links_to_anything_else_are_refused_by_name(trusting: Fetching, git: Git, target: str) -> None:
    trusting.folder.parent.mkdir()
    (trusting.folder.parent.parent / "secret").write_text(PASSWORD)
    git.holds(MODEL, {"notes.txt": target})
    with pytest.raises(
        IntegrityError, match=r"/org/model\.git/notes\.txt is a link that leads to no file of the model"
    ):
        trusting(git.uri)


def test_a_missing_repository_is_said_to_be_missing(trusting: Fetching, git: Git) -> None:
    with pytest.raises(ObjectNotFound, match=r"/org/absent\.git does not exist"):
        trusting(git.uri.replace("model", "absent"))


def test_an_unknown_authority_is_refused(fetch: Fetching, git: Git) -> None:
    with pytest.raises(StoreUnavailable, match="its TLS certificate is not trusted"):
        fetch(git.uri)


@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1:1", "it refuses connections"), ("no.such.host.invalid", "cannot be resolved")]
)
def test_an_unreachable_server_is_explained(fetch: Fetching, host: str, why: str) -> None:
    with pytest.raises(StoreUnavailable, match=rf"The store of https://{host}/model\.git cannot be reached: .*{why}"):
        fetch(f"https://{host}/model.git")


def test_what_the_library_says_is_in_our_log_line_by_line(
    trusting: Fetching, git: Git, log: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    trusting(git.uri)
    lines = [record for record in log.records if record.levelno == logging.DEBUG]
    assert any("Successfully copied" in record.getMessage() for record in lines)
    assert any(record.getMessage().startswith("Receiving objects: 100%") for record in lines)
    assert not [record for record in lines if "\n" in record.getMessage() or "\r" in record.getMessage()]
    assert capfd.readouterr() == ("", "")


def test_our_own_environment_stays_as_it_was(trusting: Fetching, git: Git) -> None:
    before = dict(os.environ)
    trusting(git.uri, STORAGE_CONFIG='{"type": "s3", "region": "eu"}')
    assert dict(os.environ) == before


def test_init_prepares_such_a_model_like_any_other(pod: Pod, git: Git, authority: Authority, checkpoint: Path) -> None:
    git.server.password = PASSWORD
    git.holds(contents(checkpoint))
    outcome = pod.init(git.uri, SSL_CERT_FILE=str(authority.bundle), GIT_USERNAME="me", GIT_PASSWORD=PASSWORD)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert (pod.plan.mode, pod.plan.uri) == ("download", git.uri)
    assert pod.own_files == ["manifest.json", "plan.json"]
    assert PASSWORD not in outcome.stderr


# ModelScope ----------------------------------------------------------------------------------------------------------

TREE = "/api/v1/models/org/model/repo/files"


def hub(web: HTTPServer, files: dict[str, bytes], revision: str) -> str:
    """Serve a model as ModelScope's hub does; gives the endpoint."""
    listed = [
        {"Path": name, "Type": "blob", "Size": len(data), "Sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    web.expect_request(TREE, query_string={"Revision": revision, "Recursive": "True"}).respond_with_json(
        {"Code": 200, "Success": True, "Data": {"Files": listed}}
    )
    for name, data in files.items():
        query = {"Revision": revision, "FilePath": name}
        web.expect_request("/api/v1/models/org/model/repo", query_string=query).respond_with_data(
            data, content_type="application/octet-stream"
        )
    return web.url_for("").rstrip("/")


def test_a_modelscope_model_comes_with_its_revision_and_token(fetch: Fetching, web: HTTPServer) -> None:
    endpoint = hub(web, MODEL, "v1")
    files = fetch("modelscope://org/model:v1", MODELSCOPE_ENDPOINT=endpoint, MODELSCOPE_API_TOKEN=PASSWORD)
    assert files == MODEL
    assert {request.headers["Authorization"] for request, _ in web.log if request.path == TREE} == {
        f"Bearer {PASSWORD}"
    }


def test_patterns_reach_the_library(fetch: Fetching, web: HTTPServer) -> None:
    endpoint = hub(web, MODEL, "master")
    files = fetch("modelscope://org/model", MODELSCOPE_ENDPOINT=endpoint, STORAGE_ALLOW_PATTERNS="config.json")
    assert files == {"config.json": b"{}"}
    assert not [request for request, _ in web.log if "FilePath=model" in request.url]


@pytest.mark.parametrize(("status", "kind"), [(404, ObjectNotFound), (401, AccessDenied), (403, AccessDenied)])
def test_modelscopes_refusals(fetch: Fetching, web: HTTPServer, status: int, kind: type[WellheadError]) -> None:
    web.expect_request(TREE).respond_with_json({"Code": 10010, "Message": "certificate timed out"}, status=status)
    with pytest.raises(kind, match="modelscope://org/model") as caught:
        fetch("modelscope://org/model", MODELSCOPE_ENDPOINT=web.url_for(""), MODELSCOPE_API_TOKEN=PASSWORD)
    assert PASSWORD not in f"{caught.value!r}{caught.value}"


def test_an_empty_model_is_refused(fetch: Fetching, web: HTTPServer) -> None:
    with pytest.raises(ObjectNotFound, match="modelscope://org/model holds no files"):
        fetch("modelscope://org/model", MODELSCOPE_ENDPOINT=hub(web, {}, "master"))


# Azure Files ---------------------------------------------------------------------------------------------------------

ACCOUNT = "account.file.core.windows.net"
SIGNATURE = "sv=2026-01-01&sig=hunter2%2Fvery%2Bsecret%3D"


@pytest.fixture
def azure(trusting: Fetching, web: HTTPServer, authority: Authority, tmp_path: Path) -> Iterator[Fetching]:
    """Fetching where account.file.core.windows.net is our own server."""
    certificate = authority.issue(tmp_path / "azure.pem", ACCOUNT)
    with tls_proxy(web.url_for("").rstrip("/"), certificate) as url, tunnel_to(url) as proxy:
        trusting.environment["HTTPS_PROXY"] = proxy
        yield trusting


def share(web: HTTPServer, files: dict[str, bytes]) -> None:
    """Serve a share of that name as Azure does."""

    def answer(request: Request) -> Response:
        path = request.path.removeprefix("/share").strip("/")
        if request.args.get("comp") == "list":
            inside = [
                name[len(path) :].strip("/") for name in files if f"/{name}".startswith(f"/{path}".rstrip("/") + "/")
            ]
            listed = {each.partition("/")[:2] for each in inside}
            kinds = {"/": "Directory", "": "File"}
            body = "".join(
                f"<{kinds[slash]}><Name>{name}</Name><Properties/></{kinds[slash]}>" for name, slash in sorted(listed)
            )
            return Response(
                f'<EnumerationResults ShareName="share" DirectoryPath="{path}"><Entries>{body}</Entries><NextMarker/>'
                "</EnumerationResults>",
                content_type="application/xml",
            )
        if path not in files:
            return Response(
                "<Error><Code>ResourceNotFound</Code></Error>", 404, {"x-ms-error-code": "ResourceNotFound"}
            )
        data = files[path]
        headers = {
            "Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}",
            "ETag": '"1"',
            "Last-Modified": "Tue, 24 Nov 2026 00:00:00 GMT",
        }
        return Response(data, 206, headers)

    web.expect_request(re.compile("/share.*")).respond_with_handler(answer)


def test_a_share_of_azure_files_comes_with_a_signature_that_nobody_sees(
    azure: Fetching, web: HTTPServer, log: pytest.LogCaptureFixture
) -> None:
    share(web, {f"models/llama/{name}": data for name, data in MODEL.items()} | {"models/other/config.json": b"no"})
    uri = f"https://{ACCOUNT}/share/models/llama?{SIGNATURE}"
    assert azure(uri, STORAGE_ALLOW_PATTERNS="*.json", STORAGE_IGNORE_PATTERNS="models/*") == MODEL
    assert {request.args["sig"] for request, _ in web.log} == {"hunter2/very+secret="}
    assert "hunter2" not in "".join(record.getMessage() for record in log.records if record.name == "wellhead")


def test_a_whole_share_may_be_a_model(azure: Fetching, web: HTTPServer) -> None:
    share(web, MODEL)
    assert azure(f"https://{ACCOUNT}/share", AZURE_STORAGE_ACCESS_KEY="aHVudGVyMg==") == MODEL


def test_azure_files_without_credentials_says_which_it_takes(azure: Fetching) -> None:
    with pytest.raises(AccessDenied, match=r"it got no credentials\. Check AZURE_STORAGE_ACCESS_KEY"):
        azure(f"https://{ACCOUNT}/share/llama")


def test_azures_refusal_does_not_show_the_signature(azure: Fetching, web: HTTPServer) -> None:
    web.expect_request(re.compile("/share.*")).respond_with_data(
        "<Error><Code>AuthenticationFailed</Code></Error>", 403, {"x-ms-error-code": "AuthenticationFailed"}
    )
    with pytest.raises(AccessDenied, match=rf"https://{ACCOUNT}/share/llama: status 403") as caught:
        azure(f"https://{ACCOUNT}/share/llama?{SIGNATURE}")
    assert "hunter2" not in f"{caught.value!r}{caught.value}"


# HDFS ----------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(bool(importlib.util.find_spec("krbcontext")), reason="the packages for HDFS are installed here")
@pytest.mark.parametrize("scheme", ["hdfs", "webhdfs"])
def test_hdfs_names_the_packages_that_are_missing(fetch: Fetching, scheme: str) -> None:
    with pytest.raises(InvalidConfiguration, match="needs the Python packages hdfs, krbcontext and requests-kerberos"):
        fetch(f"{scheme}://user/llama", STORAGE_CONFIG='{"type": "hdfs", "HDFS_NAMENODE": "http://namenode:9870"}')


def test_hdfs_without_a_secret_says_so(fetch: Fetching, tmp_path: Path) -> None:
    """The packages are stood in for here; the secret is looked for before a client is made."""
    for module in ("krbcontext/context", "hdfs/ext/kerberos", "hdfs/util"):
        path = tmp_path / f"packages/{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("krbContext = Client = KerberosClient = HdfsError = OSError")
    with pytest.raises(InvalidConfiguration, match="needs a secret with HDFS_NAMENODE, and there is none at /nowhere"):
        fetch("hdfs://user/llama", PYTHONPATH=str(tmp_path / "packages"), HDFS_SECRET_DIR="/nowhere")


def test_secrets_for_hdfs_are_kept_in_memory_and_removed(fetch: Fetching, tmp_path: Path) -> None:
    """`storage-config` reaches the library untouched, which writes each entry into a temporary file and leaves it."""
    memory = tmp_path / "memory"
    memory.mkdir()
    os.utime(memory, (0, 0))
    fetch.settings = Settings(memory_dir=memory)
    config = {"type": "webhdfs", "HDFS_NAMENODE": "http://127.0.0.1:1", "TLS_KEY": "aHVudGVyMg=="}
    with pytest.raises(WellheadError):
        fetch("webhdfs://user/llama", STORAGE_CONFIG=json.dumps(config))
    assert memory.stat().st_mtime > 0, "something was there"
    assert list(memory.iterdir()) == []


# Ends ----------------------------------------------------------------------------------------------------------------


class SilentServer:
    """Takes connections and never says anything.

    Attributes:
        connected: set once a client is there.
        left: set once that client is gone.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.uri = f"https://127.0.0.1:{listener.getsockname()[1]}/model.git"
        self.connected, self.left = threading.Event(), threading.Event()
        self._listener = listener

    def run(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            with client:
                self.connected.set()
                with suppress(OSError):
                    while client.recv(1 << 16):
                        pass
                self.left.set()


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = SilentServer(listener)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive(), "a client is still there"


def test_a_silent_server_is_given_up(fetch: Fetching, silent: SilentServer) -> None:
    """The library itself would wait for ever."""
    fetch.settings = Settings(stall_timeout=0.2)
    begin = time.monotonic()
    with pytest.raises(StoreUnavailable, match="has written nothing for 2 seconds while it fetched https://127"):
        fetch(silent.uri)
    assert 2 <= time.monotonic() - begin < 10
    assert silent.left.wait(10)


def test_a_failure_elsewhere_ends_the_work(fetch: Fetching, silent: SilentServer) -> None:
    def check() -> None:
        if silent.connected.is_set():
            raise Interrupted("Something else failed.")

    with pytest.raises(Interrupted, match="Something else failed"):
        fetch(silent.uri, check)
    assert silent.left.wait(10)


def test_a_library_that_is_killed_is_explained(fetch: Fetching, silent: SilentServer) -> None:
    def check() -> None:
        if silent.connected.is_set():
            for number in children():
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)

    with pytest.raises(InvalidConfiguration, match=r"was ended by SIGKILL while it fetched .* more memory"):
        fetch(silent.uri, check)


def children() -> list[int]:
    """Processes that run the library for this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"wellhead_storage.delegated.child" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def test_the_library_does_not_outlive_us(silent: SilentServer, tmp_path: Path) -> None:
    (tmp_path / "unpacked").mkdir()
    program = f"""
        from pathlib import Path
        from wellhead_storage.delegated.fetch import fetch_delegated
        from wellhead_storage.settings import Settings
        from wellhead_storage.uri import parse
        uri = {silent.uri!r}
        fetch_delegated(parse(uri), uri, Path({str(tmp_path)!r}, "unpacked"), {{}}, Settings(), lambda: None)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)]) as process:
        assert silent.connected.wait(30)
        process.kill()
    assert silent.left.wait(10)


def test_without_the_library_the_extra_is_named(fetch: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kserve_storage", None)
    with pytest.raises(InvalidConfiguration, match=r"kserve-storage is not installed.*wellhead\[kserve\]"):
        fetch("https://git.example/model.git")
