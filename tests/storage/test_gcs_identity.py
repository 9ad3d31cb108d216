"""`gs://` with the cloud's own identity: tokens of a metadata server, for obstore's requests and for ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.child_server import free_port
from tests.support.counting_proxy import CountingProxy, Fault, Request, counting_proxy
from tests.support.fake_gcs import fake_gcs
from tests.support.web_server import WebServer, web_server
from wellhead_storage.credentials.gcs import GcsConnection, GcsCredentials, gcs_credentials
from wellhead_storage.settings import Settings
from wellhead_storage.stores.gcs import GcsFolder, open_gcs
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

URI = parse("gs://models/llama")
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
LONG, SHORT = (f'{{"access_token": "ya29.ambient", "expires_in": {life}}}'.encode() for life in (3600, 10))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountingProxy]:
    """The store, behind a proxy that sees whether requests are authorized."""
    port = free_port()
    folder = tmp_path_factory.mktemp("gcs")
    with counting_proxy(f"http://127.0.0.1:{port}") as proxy:
        host = proxy.endpoint_url.partition("://")[2]
        with fake_gcs(folder, port, host) as server:
            server.create_bucket("models")
            server.put("models", "llama/config.json", b"{}")
            yield proxy


@pytest.fixture
def store(front: CountingProxy) -> Iterator[CountingProxy]:
    front.clear()
    yield front
    front.interfere = lambda _: None


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A metadata server that is no name for a proxy: those of clusters reach none."""
    with web_server() as server:
        server.files[TOKEN] = LONG
        server.headers[TOKEN] = {"Metadata-Flavor": "Google"}
        monkeypatch.setenv("GCE_METADATA_HOST", f"localhost:{server.host.rpartition(':')[2]}")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")  # where the store is
        yield server


def open_ambient(store: CountingProxy) -> tuple[GcsFolder, GcsCredentials]:
    """As in a pod without a key; an emulator would be asked as anybody."""
    ambient = GcsCredentials(connection=GcsConnection(endpoint_url=store.endpoint_url))
    return open_gcs(URI, ambient, Settings(retry_timeout=5))


def test_without_a_key_the_identity_is_the_clouds() -> None:
    assert gcs_credentials({}).connection.identity == "ambient"


def test_everything_is_asked_with_the_token(store: CountingProxy, metadata: WebServer) -> None:
    folder, credentials = open_ambient(store)
    assert credentials.connection.identity == "ambient"
    [item] = folder.objects()
    assert folder.read(item) == b"{}"
    assert folder.checksum(item) is not None
    assert folder.obstacles() == []
    assert [request.method for request in store.requests] == ["GET", "GET", "HEAD", "GET"]
    assert all(request.signed for request in store.requests)
    [(path, headers)] = metadata.asked
    assert (path, headers["metadata-flavor"]) == (TOKEN, "Google")


def test_a_server_that_is_not_ready_is_asked_again(store: CountingProxy, metadata: WebServer) -> None:
    """GKE's own, in the first seconds of a pod."""
    metadata.failures += [503, 500]
    _, credentials = open_ambient(store)
    assert (credentials.connection.identity, len(metadata.asked)) == ("ambient", 3)


def test_nobody_there(store: CountingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{free_port()}")
    begin = time.monotonic()
    folder, credentials = open_ambient(store)
    assert time.monotonic() - begin < 4
    assert credentials.connection.identity == "anonymous"
    assert [item.name for item in folder.objects()] == ["config.json"]
    assert not any(request.signed for request in store.requests)


@pytest.mark.parametrize("answer", ["another cloud", "no service account", "no token"])
def test_a_server_without_a_token_for_us(store: CountingProxy, metadata: WebServer, answer: str) -> None:
    if answer == "another cloud":
        metadata.headers.clear()
    elif answer == "no service account":
        metadata.files.clear()
    else:
        metadata.files[TOKEN] = b"{}"
    _, credentials = open_ambient(store)
    assert (credentials.connection.identity, len(metadata.asked)) == ("anonymous", 1)


def test_a_token_that_is_refused_is_replaced(store: CountingProxy, metadata: WebServer) -> None:
    folder, _ = open_ambient(store)
    [item] = folder.objects()
    refused: list[Request] = []

    def once(request: Request) -> Fault | None:
        if request.method == "HEAD" and not refused:
            refused.append(request)
            return Fault(status=401)
        return None

    store.interfere = once
    assert folder.checksum(item) is not None
    assert (len(refused), len(metadata.asked)) == (1, 2)
    assert folder.checksum(item) is not None
    assert len(metadata.asked) == 2, "the new one is kept"


def test_a_token_that_runs_out_is_replaced(store: CountingProxy, metadata: WebServer) -> None:
    metadata.files[TOKEN] = SHORT
    folder, _ = open_ambient(store)
    metadata.files[TOKEN] = LONG
    [item] = folder.objects()
    assert len(metadata.asked) == 2
    assert folder.checksum(item) is not None
    assert len(metadata.asked) == 2


def test_a_server_that_has_gone_since_does_not_take_the_last_token_away(
    store: CountingProxy, metadata: WebServer
) -> None:
    metadata.files[TOKEN] = SHORT
    folder, _ = open_ambient(store)
    metadata.files.clear()
    assert [item.name for item in folder.objects()] == ["config.json"]
    assert all(request.signed for request in store.requests)
