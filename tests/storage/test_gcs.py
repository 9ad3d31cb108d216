"""`gs://` against a real server: downloads and streams, with a key file, with the cloud's identity, and anonymously."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.storage.pod import Pod, assert_refused, contents
from tests.storage.tls_proxy import new_authority
from tests.support.child_server import free_port
from tests.support.counting_proxy import CountingProxy, Fault, Request, counting_proxy, round_trips
from tests.support.fake_gcs import FakeGcs, fake_gcs, key_file
from wellhead_runtime.engine_credentials import engine_credentials, keep_secret_file
from wellhead_storage.credentials.gcs import GcsConnection, GcsCredentials
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URI = "gs://models/llama"
BUCKET = "/storage/v1/b/models"


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[FakeGcs]:
    with fake_gcs(tmp_path_factory.mktemp("gcs") / "server") as server:
        server.create_bucket("models")
        server.put_folder("models", "llama", checkpoint)
        server.put("models", "llama-2/config.json", b"{}")
        yield server


@pytest.fixture
def pod(new_pod: Callable[[], Pod], gcs: FakeGcs) -> Pod:
    made = new_pod()
    for name in [name for name in made.environment if name.startswith(("AWS_", "S3_"))]:
        del made.environment[name]
    made.environment["STORAGE_EMULATOR_HOST"] = gcs.endpoint_url
    return made


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[CountingProxy]:
    """Another server, behind a proxy: it answers under one name only."""
    port = free_port()
    with counting_proxy(f"http://127.0.0.1:{port}") as proxy:
        folder = tmp_path_factory.mktemp("gcs") / "behind"
        with fake_gcs(folder, port, proxy.endpoint_url.partition("://")[2]) as server:
            server.create_bucket("models")
            server.put_folder("models", "llama", checkpoint)
            yield proxy


@pytest.fixture
def proxy(front: CountingProxy, pod: Pod) -> Iterator[CountingProxy]:
    """What the pod takes for Google."""
    pod.environment["STORAGE_EMULATOR_HOST"] = front.endpoint_url
    front.clear()
    yield front
    front.interfere, front.latency = lambda _: None, 0.0


@pytest.fixture
def key(pod: Pod) -> Path:
    """KServe's mounted key, in this container only."""
    path = key_file(pod.folder / "gcloud-application-credentials.json")
    pod.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
    return path


def test_a_public_bucket_is_downloaded(pod: Pod, checkpoint: Path) -> None:
    outcome = pod.init(URI, WELLHEAD_MODE="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert (pod.plan.resolved, pod.plan.weights.tensors) == (URI, 9)


def test_a_download_with_a_key_file(pod: Pod, key: Path, checkpoint: Path) -> None:
    outcome = pod.init(URI, WELLHEAD_MODE="download", GOOGLE_APPLICATION_CREDENTIALS=str(key))
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)


def test_a_stream_with_a_key_file_seals_its_content(pod: Pod, key: Path) -> None:
    outcome = pod.init(URI)
    assert outcome.exit_code == 0, outcome.stderr
    plan = pod.plan
    assert (plan.mode, plan.weights.uri) == ("stream", URI)
    assert isinstance(plan.connection, GcsConnection)
    assert (plan.connection.identity, plan.credentials.handoff) == ("static", "sealed")
    private = json.loads(key.read_text())["private_key"].splitlines()[1]
    everything = b"".join(contents(pod.destination).values()).decode("latin-1")
    assert private not in everything + outcome.stderr


def test_the_engine_gets_the_key_on_a_tmpfs_and_for_itself_alone(pod: Pod, key: Path, tmp_path: Path) -> None:
    assert pod.init(URI).exit_code == 0
    content = key.read_text()
    key.unlink()  # that volume is not mounted in the engine's container
    settings = Settings(service_account_token=pod.token, memory_dir=tmp_path)
    for _ in range(2):  # a restarted container finds what the first start kept
        found = engine_credentials(pod.plan, pod.destination, settings, {})
        assert isinstance(found, GcsCredentials)
        path = keep_secret_file(found, settings)
        assert path is not None
        assert (path.read_text(), path.stat().st_mode & 0o777) == (content, 0o600)
        assert found.streamer_environment(path)["GOOGLE_APPLICATION_CREDENTIALS"] == str(path)
        pod.token.unlink(missing_ok=True)


def test_a_stream_of_a_public_bucket_hands_nothing_over(pod: Pod) -> None:
    outcome = pod.init(URI)
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.plan.mode, pod.plan.credentials.handoff) == ("stream", "none")
    assert pod.own_files == ["plan.json"]


def test_wrong_bytes_are_noticed_by_crc32c(pod: Pod, proxy: CountingProxy, checkpoint: Path) -> None:
    spoilt: list[str] = []

    def once(request: Request) -> Fault | None:
        if request.method == "GET" and "tokenizer%2Ejson" in request.path and not spoilt:
            spoilt.append(request.path)
            return Fault(flip=True)
        return None

    proxy.interfere = once
    outcome = pod.init(URI, WELLHEAD_MODE="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert f"{URI}/tokenizer.json is not what the store says it is: fetching it again" in outcome.stderr
    assert pod.files == contents(checkpoint)


def test_no_uri_says_where_the_key_is_shown(pod: Pod, key: Path, proxy: CountingProxy) -> None:
    """Whoever writes a URI, in a model registry for example, would get a token for all that the key may do."""
    outcome = pod.init(f"{URI}?endpoint={proxy.endpoint_url}", GOOGLE_APPLICATION_CREDENTIALS=str(key))
    sentence = (
        f"The URI of {URI} names an endpoint, which only s3:// URIs may do: a token sent there is good for all of "
        "Google's cloud. Drop ?endpoint= from the URI; STORAGE_EMULATOR_HOST on the container names an emulator."
    )
    assert_refused(pod, outcome, 10, sentence)
    assert proxy.requests == []


# What the engine may list ----------------------------------------------------------------------------------------


def lacking(who: str) -> str:
    return (
        f"{who} lacks storage.buckets.get on the bucket models, which the streamer needs "
        "(role Storage Legacy Bucket Reader)"
    )


def bucket_requests(proxy: CountingProxy) -> list[Request]:
    return [request for request in proxy.requests if request.path == BUCKET]


@pytest.fixture(params=["a key", "nobody"])
def refused(request: pytest.FixtureRequest, proxy: CountingProxy) -> str:
    """Access with the role Storage Object Viewer alone, of a key or of everybody; fake-gcs-server checks neither."""
    if request.param == "a key":
        request.getfixturevalue("key")
    status = 403 if request.param == "a key" else 401
    proxy.interfere = lambda asked: Fault(status=status) if asked.path == BUCKET else None
    return lacking("this identity" if request.param == "a key" else "the public")


@pytest.mark.parametrize("handoff", ["sealed", "shared"])
def test_what_the_streamer_may_not_list_is_downloaded(pod: Pod, refused: str, checkpoint: Path, handoff: str) -> None:
    outcome = pod.init(URI, WELLHEAD_HANDOFF=handoff)
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.plan.mode, pod.plan.reasons) == ("download", (refused,))
    assert pod.files == contents(checkpoint)


def test_a_demand_to_stream_it_fails_with_the_reason(pod: Pod, refused: str) -> None:
    outcome = pod.init(URI, WELLHEAD_MODE="stream")
    assert_refused(pod, outcome, 14, f"{URI} cannot be streamed: {refused}. Use mode auto or download.")


@pytest.mark.usefixtures("key")
def test_that_is_asked_once_and_costs_no_time(pod: Pod, proxy: CountingProxy) -> None:
    proxy.latency = 0.2
    assert pod.init(URI).exit_code == 0
    assert pod.plan.mode == "stream"
    [asked] = bucket_requests(proxy)
    assert (asked.method, asked.target, asked.signed) == ("GET", f"{BUCKET}?fields=name", True)
    assert round_trips(proxy.requests) == round_trips(other for other in proxy.requests if other is not asked)


@pytest.mark.parametrize("variables", [{"WELLHEAD_MODE": "download"}, {"WELLHEAD_HANDOFF": "off"}], ids=str)
def test_that_is_not_asked_where_the_answer_does_not_count(
    pod: Pod, proxy: CountingProxy, variables: dict[str, str]
) -> None:
    assert pod.init(URI, **variables).exit_code == 0
    assert bucket_requests(proxy) == []
    assert proxy.requests


def test_no_answer_is_no_obstacle(pod: Pod, proxy: CountingProxy) -> None:
    proxy.interfere = lambda asked: Fault(status=500) if asked.path == BUCKET else None
    assert pod.init(URI).exit_code == 0
    assert (pod.plan.mode, len(bucket_requests(proxy))) == ("stream", 1)


def test_a_clusters_authorities_do_not_replace_the_public_ones(pod: Pod, tmp_path: Path) -> None:
    """KServe mounts its ConfigMap for every model, and the streamer trusts the one file that it is given."""
    authority = new_authority(tmp_path)
    kserve = {"CA_BUNDLE_CONFIGMAP_NAME": "ca", "CA_BUNDLE_VOLUME_MOUNT_POINT": str(authority.bundle.parent)}
    outcome = pod.init(URI, **kserve)
    assert outcome.exit_code == 0, outcome.stderr
    copy = pod.destination / ".wellhead/ca-bundle.pem"
    assert pod.plan.connection is not None
    assert pod.plan.connection.ca_bundle == str(copy)
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.load_verify_locations(copy)
    found = trusted.get_ca_certs(binary_form=True)
    assert ssl.PEM_cert_to_DER_cert(authority.bundle.read_text()) in found
    assert len(found) > 50


def test_a_prefix_is_a_folder(pod: Pod) -> None:
    outcome = pod.init("gs://models/llam", WELLHEAD_MODE="download")
    assert_refused(pod, outcome, 11, "gs://models/llam holds no objects. Check the path; names are case-sensitive.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "is no key file"),
        ("nonsense", "is no key file"),
        ('{"type": "external_account", "audience": "x"}', "is of type 'external_account'"),
        (
            '{"type": "authorized_user", "client_id": "x", "client_secret": "x", "refresh_token": "x"}',
            "is of type 'authorized_user'; a key of a service account is needed",
        ),
    ],
)
def test_a_key_that_is_none_is_named_and_not_shown(pod: Pod, key: Path, text: str, words: str) -> None:
    key.write_text(text)
    outcome = pod.init(URI)
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith(f"The Google key file {key} {words}")
    assert pod.is_untouched


def test_a_key_that_is_not_mounted(pod: Pod) -> None:
    outcome = pod.init(URI, GOOGLE_APPLICATION_CREDENTIALS="/var/secrets/none.json")
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith("The Google key file /var/secrets/none.json cannot be read: No such file")


STREAMING = """
import sys
from runai_model_streamer import SafetensorsStreamer, list_safetensors
uri = sys.argv[1]
paths = sorted(list_safetensors(uri))
with SafetensorsStreamer() as streamer:
    streamer.stream_files(paths)
    for name, tensor in streamer.get_tensors():
        print(name, tuple(tensor.shape), tensor.float().sum().item())
"""


def test_the_streamer_reads_with_the_environment_that_we_derive(pod: Pod, tmp_path: Path, checkpoint: Path) -> None:
    """Both halves of it: Google's Python client lists, the C++ plug-in reads."""
    pytest.importorskip("runai_model_streamer", reason="comes with the engine")
    safetensors = pytest.importorskip("safetensors.torch")
    assert pod.init(URI).exit_code == 0
    found = engine_credentials(pod.plan, pod.destination, Settings(memory_dir=tmp_path), {})
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), **found.streamer_environment()}
    finished = subprocess.run(
        [sys.executable, "-c", STREAMING, URI],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    expected = []
    for path in sorted(checkpoint.glob("*.safetensors")):
        for name, tensor in safetensors.load_file(path).items():
            expected.append(f"{name} {tuple(tensor.shape)} {tensor.float().sum().item()}")
    assert sorted(finished.stdout.splitlines()) == sorted(expected)
