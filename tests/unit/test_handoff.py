"""What the initializer leaves for the engine: sealed credentials or a reason, and the CA bundle."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.builders import make_credentials, make_secret, shown
from wellhead_storage.credentials.azure import AzureConnection
from wellhead_storage.credentials.gcs import GcsConnection
from wellhead_storage.credentials.kinds import Connection
from wellhead_storage.credentials.s3 import Identity, S3Connection
from wellhead_storage.credentials.seal import unseal
from wellhead_storage.errors import HandoffFailed
from wellhead_storage.handoff import connection_for_engine, remove_sealed, seal_for_engine, sealed_path
from wellhead_storage.plan import CredentialsTravel
from wellhead_storage.settings import Settings

URI = "s3://models/llama"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    token = tmp_path / "token"
    token.write_text("the token\n")
    return Settings(service_account_token=token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


def test_keys_are_sealed(folder: Path, settings: Settings) -> None:
    secret = make_secret("AK", "sk", "tok")
    travel = seal_for_engine(make_credentials(secret=secret), folder, URI, settings)
    assert travel == CredentialsTravel(handoff="sealed", identity="static")
    path = folder / ".wellhead" / "credentials.sealed"
    assert sealed_path(folder) == path
    assert path.stat().st_mode & 0o777 == 0o644, "sealed: another user may read it"
    assert shown(unseal(path.read_bytes(), b"the token", URI)) == shown(secret)


@pytest.mark.parametrize("identity", ["anonymous", "web-identity", "pod-identity", "ambient"])
def test_nothing_travels_where_nothing_is_secret(folder: Path, settings: Settings, identity: Identity) -> None:
    travel = seal_for_engine(make_credentials(identity), folder, URI, settings)
    assert travel == CredentialsTravel(handoff="none", identity=identity)
    assert not sealed_path(folder).exists()


def test_switched_off(folder: Path, settings: Settings) -> None:
    off = settings.model_copy(update={"handoff": "off"})
    assert seal_for_engine(make_credentials(), folder, URI, off) == CredentialsTravel(handoff="off", identity="static")
    assert not sealed_path(folder).exists()


def test_no_token(folder: Path, tmp_path: Path) -> None:
    settings = Settings(service_account_token=tmp_path / "none")
    with pytest.raises(HandoffFailed) as caught:
        seal_for_engine(make_credentials(), folder, URI, settings)
    assert str(tmp_path / "none") in caught.value.problem
    assert "automountServiceAccountToken" in caught.value.hint
    assert not sealed_path(folder).exists()


def test_no_token_is_needed_for_cloud_identity(folder: Path, tmp_path: Path) -> None:
    settings = Settings(service_account_token=tmp_path / "none")
    assert seal_for_engine(make_credentials("web-identity"), folder, URI, settings).handoff == "none"


def test_the_ca_bundle_goes_along(folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "cabundle.crt"
    bundle.write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    link = S3Connection(endpoint_url="https://s3.example", ca_bundle=str(bundle))
    found = connection_for_engine(link, folder)
    assert found == link.model_copy(update={"ca_bundle": str(folder / ".wellhead" / "ca-bundle.pem")})
    assert Path(found.ca_bundle or "").read_bytes() == bundle.read_bytes()


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where OpenSSL has its public authorities: here one file each, as in Debian's images; no `certifi`."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "0a1b2c3d.0").write_bytes(b"public one")
    (folder / "4e5f6071.0").write_bytes(b"public two")
    (folder / "README").write_bytes(b"no certificate")
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=str(tmp_path / "none"), openssl_capath=str(folder))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setitem(sys.modules, "certifi", None)
    return folder


@pytest.mark.parametrize("link", [GcsConnection(), AzureConnection(account="acme")], ids=["gs", "az"])
def test_googles_and_azures_clients_trust_one_file_so_the_public_authorities_are_in_it(
    folder: Path, tmp_path: Path, system: Path, link: Connection
) -> None:
    bundle = tmp_path / "cabundle.crt"
    bundle.write_bytes(b"private")
    found = connection_for_engine(link.model_copy(update={"ca_bundle": str(bundle)}), folder)
    assert Path(found.ca_bundle or "").read_bytes() == b"public one\npublic two\nprivate"


def test_public_authorities_of_one_file_and_of_certifi(
    folder: Path, tmp_path: Path, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, certifi, bundle = (tmp_path / name for name in ("cert.pem", "cacert.pem", "cabundle.crt"))
    for path in (whole, certifi, bundle):
        path.write_text(path.stem)
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=str(whole))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setitem(sys.modules, "certifi", SimpleNamespace(where=lambda: str(certifi)))
    found = connection_for_engine(GcsConnection(ca_bundle=str(bundle)), folder)
    assert Path(found.ca_bundle or "").read_text() == "cert\ncacert\ncabundle"


def test_no_ca_bundle(folder: Path) -> None:
    link = S3Connection(endpoint_url="https://s3.example")
    assert connection_for_engine(link, folder) == link
    assert list(folder.iterdir()) == []


def test_forgetting_what_an_earlier_run_left(folder: Path, settings: Settings, tmp_path: Path) -> None:
    remove_sealed(folder)
    (tmp_path / "ca.crt").write_text("pem")
    seal_for_engine(make_credentials(), folder, URI, settings)
    connection_for_engine(S3Connection(ca_bundle=str(tmp_path / "ca.crt")), folder)
    remove_sealed(folder)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
