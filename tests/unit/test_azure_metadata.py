"""Whether this node has a managed identity: what Azure's and other clouds' metadata services answer."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.web_server import WebServer, web_server
from wellhead_storage.stores.azure_metadata import managed_identity_answers, token_address
from wellhead_storage.stores.opening import open_store
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/metadata/identity/oauth2/token"


@pytest.fixture
def imds(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with web_server() as server:
        server.needs = {"Metadata": "true"}
        server.files = {PATH: b'{"access_token": "hunter2"}'}
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"{server.url}/")
        yield server


def test_an_identity_is_asked_for_a_token_of_storage(imds: WebServer) -> None:
    assert managed_identity_answers()
    [(path, _)] = imds.asked
    assert path == f"{PATH}?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com"


@pytest.mark.parametrize(
    ("status", "identity"), [(400, False), (401, False), (403, False), (404, False), (429, True), (503, True)]
)
def test_other_answers(imds: WebServer, status: int, identity: bool) -> None:
    imds.failures = [status]
    assert managed_identity_answers() == identity


@pytest.mark.parametrize("text", [b"<html>welcome</html>", b"{}", b"[]", b"7", b""])
def test_an_answer_without_a_token(imds: WebServer, text: bytes) -> None:
    imds.files[PATH] = text
    assert not managed_identity_answers()


def test_no_proxy_is_asked(imds: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert managed_identity_answers()


def test_silence_is_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert not managed_identity_answers()
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "nonsense", "http://127.0.0.1:port", "http://[x"])
def test_nobody_there(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", address)
    assert not managed_identity_answers()


def test_the_address_of_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", raising=False)
    assert token_address() == f"http://169.254.169.254{PATH}"


@pytest.mark.parametrize(
    ("environment", "found", "identity"),
    [
        ({}, True, "ambient"),
        ({}, False, "anonymous"),
        ({"AZURE_STORAGE_ANONYMOUS": "false"}, False, "anonymous"),
        ({"AZURE_CLIENT_ID": "id"}, False, "ambient"),
    ],
)
def test_without_anything_configured_access_is_the_nodes_or_anybodys(
    imds: WebServer, environment: dict[str, str], found: bool, identity: str
) -> None:
    imds.failures = [] if found else [400]
    opened = open_store(parse("az://c@account/p"), environment)
    assert opened.credentials is not None
    assert opened.credentials.connection.identity == identity
    assert len(imds.asked) == (environment.get("AZURE_CLIENT_ID") is None)
