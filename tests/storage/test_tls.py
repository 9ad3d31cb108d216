"""TLS with a private certificate authority: trusted where the pod names it, never silently otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.storage.pod import Pod, assert_refused
from tests.storage.tls_proxy import Authority, new_authority, tls_proxy
from tests.support.web_server import web_server
from wellhead_storage.stores.heads import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.storage.model import Model
    from tests.support.seaweedfs import SeaweedFS


def untrusted(endpoint: str) -> str:
    return (
        f"The store of s3://models/llama cannot be reached at {endpoint}: its TLS certificate is not trusted. "
        "Name the store's CA bundle in the secret."
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def endpoint(store: SeaweedFS, authority: Authority) -> Iterator[str]:
    """The store behind TLS."""
    certificate = authority.issue(authority.bundle.with_name("store.pem"), "127.0.0.1", "localhost")
    with tls_proxy(store.endpoint_url, certificate) as url:
        yield url


def test_a_private_authority_is_trusted_and_goes_along_to_the_engine(
    pod: Pod, llama: Model, store: SeaweedFS, endpoint: str, authority: Authority
) -> None:
    """KServe mounts the bundle into the init container only."""
    outcome = pod.init(llama.uri, AWS_CA_BUNDLE=str(authority.bundle), **store.environment(endpoint))
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.plan.mode == "stream"
    assert pod.plan.connection is not None
    assert pod.plan.connection.endpoint_url == endpoint
    assert pod.plan.connection.ca_bundle == str(pod.destination / ".wellhead/ca-bundle.pem")
    assert pod.own_files == ["ca-bundle.pem", "credentials.sealed", "plan.json"]
    copy = pod.destination / ".wellhead/ca-bundle.pem"
    assert copy.read_bytes() == authority.bundle.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o644


def test_the_bundle_may_come_from_kserves_config_map(
    pod: Pod, llama: Model, store: SeaweedFS, endpoint: str, authority: Authority
) -> None:
    kserve = {"CA_BUNDLE_CONFIGMAP_NAME": "ca", "CA_BUNDLE_VOLUME_MOUNT_POINT": str(authority.bundle.parent)}
    outcome = pod.init(llama.uri, **kserve, **store.environment(endpoint))
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.destination / ".wellhead/ca-bundle.pem").read_bytes() == authority.bundle.read_bytes()


def test_a_download_leaves_no_copy_of_the_bundle(
    pod: Pod, llama: Model, store: SeaweedFS, endpoint: str, authority: Authority
) -> None:
    trusted = {"AWS_CA_BUNDLE": str(authority.bundle), **store.environment(endpoint)}
    assert pod.init(llama.uri, **trusted).exit_code == 0
    outcome = pod.init(llama.uri, WELLHEAD_MODE="download", **trusted)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == llama.files
    assert pod.own_files == ["manifest.json", "plan.json"]


@pytest.mark.usefixtures("llama")
def test_an_unknown_authority_is_refused(pod: Pod, store: SeaweedFS, endpoint: str, tmp_path: Path) -> None:
    assert_refused(pod, pod.init("s3://models/llama", **store.environment(endpoint)), 16, untrusted(endpoint))
    another = new_authority(tmp_path)
    outcome = pod.init("s3://models/llama", AWS_CA_BUNDLE=str(another.bundle), **store.environment(endpoint))
    assert_refused(pod, outcome, 16, untrusted(endpoint))


@pytest.mark.parametrize(("host", "days"), [("other.example", 1), ("127.0.0.1", -1)], ids=["other host", "expired"])
def test_a_certificate_that_does_not_fit_is_refused(
    pod: Pod, store: SeaweedFS, authority: Authority, tmp_path: Path, host: str, days: int
) -> None:
    certificate = authority.issue(tmp_path / "store.pem", host, days=days)
    with tls_proxy(store.endpoint_url, certificate) as url:
        outcome = pod.init("s3://models/llama", AWS_CA_BUNDLE=str(authority.bundle), **store.environment(url))
    assert_refused(pod, outcome, 16, untrusted(url))


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_bundle_that_is_none_is_refused(
    pod: Pod, store: SeaweedFS, endpoint: str, tmp_path: Path, content: str
) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text(content)
    outcome = pod.init("s3://models/llama", AWS_CA_BUNDLE=str(bundle), **store.environment(endpoint))
    sentence = (
        f"The CA bundle {bundle} is unusable: it holds no certificate in PEM form. "
        "Check KServe's CA bundle ConfigMap, or the file named by AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or SSL_CERT_FILE."
    )
    assert_refused(pod, outcome, 19, sentence)


@pytest.mark.parametrize("switch", ["0", "false"])
def test_without_verification_the_model_is_downloaded(
    pod: Pod, llama: Model, store: SeaweedFS, endpoint: str, switch: str
) -> None:
    outcome = pod.init(llama.uri, S3_VERIFY_SSL=switch, **store.environment(endpoint))
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.plan.mode == "download"
    assert pod.plan.reasons == ("TLS verification is switched off (S3_VERIFY_SSL), which the streamer cannot honour",)
    assert pod.files == llama.files


@pytest.mark.usefixtures("llama")
def test_plain_http_to_a_port_with_tls_is_refused(pod: Pod, store: SeaweedFS, endpoint: str) -> None:
    outcome = pod.init("s3://models/llama", **store.environment(endpoint.replace("https:", "http:")))
    assert outcome.exit_code == 16
    assert "s3://models/llama" in outcome.sentence
    assert outcome.seconds < 15
    assert pod.is_untouched


def test_questions_beside_the_transfer_trust_the_bundle_and_the_public_authorities(
    authority: Authority, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster's bundle is mounted for every model, and most stores are public ones."""
    public = new_authority(tmp_path, "a public authority")
    unknown = new_authority(tmp_path_factory.mktemp("unknown"))
    monkeypatch.setenv("SSL_CERT_FILE", str(public.bundle))  # where OpenSSL finds them
    bundle = tmp_path / "mounted.crt"
    bundle.write_bytes(authority.bundle.read_bytes())
    with web_server() as server:
        server.files["/x"] = b""
        for issuer, name in ((authority, "private"), (public, "public")):
            with tls_proxy(server.url, issuer.issue(tmp_path / f"{name}.pem", "127.0.0.1")) as url:
                assert ask("GET", f"{url}/x", timeout=5, ca_bundle=str(bundle)).status == 200, name
        with tls_proxy(server.url, unknown.issue(tmp_path / "unknown.pem", "127.0.0.1")) as url:
            assert ask("GET", f"{url}/x", timeout=5, ca_bundle=str(bundle)).status == 0


def test_questions_without_tls_need_no_authorities(tmp_path: Path) -> None:
    with web_server() as server:
        server.files["/x"] = b""
        assert ask("GET", f"{server.url}/x", timeout=5, ca_bundle=str(tmp_path / "none.crt")).status == 200


def test_what_authorizes_a_question_stays_with_the_store() -> None:
    with web_server() as store, web_server() as other:
        store.redirects["/x"] = f"{other.url}/x"
        ask("GET", f"{store.url}/x", timeout=5, headers={"authorization": "Bearer secret"})
        [(_, sent)], [(_, passed_on)] = store.asked, other.asked
    assert sent["authorization"] == "Bearer secret"
    assert "authorization" not in passed_on
