"""The Jobs of `servingruntimes/jobs`, run as their pods would run them: killed in the middle, and gone on with.

A fake Hub is the source; a directory, SeaweedFS and Azurite are the destinations, and for Google's side SeaweedFS
stands in (google_stand_in.py).
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import obstore
import pytest

from tests.storage.google_stand_in import writable_google
from tests.storage.mirror_job import Job, Target
from tests.storage.model import BUCKET
from tests.storage.pod import contents
from tests.support.azurite import ACCOUNT, KEY, azurite
from tests.support.checkpoint import shard_names, tiny_checkpoint
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.fake_hub import FakeHub, Repository, fake_hub
from tests.support.mirror_jobs import VARIANTS
from tests.support.seaweedfs import PUBLIC_BUCKET, SeaweedFS
from wellhead_storage.manifest import MANIFEST_NAME

MIB = 1 << 20
SHARDS = 4
_numbers = count(1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Shards that take most of a second each on a slow line."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    return contents(tiny_checkpoint(folder, shards=SHARDS, tensors_per_shard=1, tensor_bytes=6 * MIB))


@pytest.fixture(scope="module")
def hub(files: dict[str, bytes]) -> Iterator[FakeHub]:
    with fake_hub() as server:
        server.repositories["team/llama"] = Repository(files, private=True)
        yield server


@pytest.fixture(scope="module")
def line(hub: FakeHub) -> Iterator[CountingProxy]:
    """The line to the Hub's CDN."""
    with counting_proxy(hub.storage) as proxy:
        hub.storage = proxy.endpoint_url
        yield proxy


def objects_of(store: Any, prefix: str) -> dict[str, bytes]:
    keys = [entry["path"] for page in obstore.list(store, prefix) for entry in page]
    return {key.removeprefix(f"{prefix}/"): bytes(obstore.get(store, key).bytes()) for key in keys}


@pytest.fixture
def s3(store: SeaweedFS) -> Target:
    prefix = f"job-{next(_numbers)}"
    variables = store.environment()
    return Target(
        {"destination": f"s3://{BUCKET}/{prefix}", "endpoint": store.endpoint_url, "region": store.region},
        lambda: objects_of(store.store(BUCKET), prefix),
        {name: variables[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
    )


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Target]:
    blob = pytest.importorskip("azure.storage.blob")
    with azurite(tmp_path / "azurite") as server:
        with blob.BlobServiceClient(server.endpoint_url, credential=KEY) as client:
            client.create_container("models")
        yield Target(
            {"destination": f"az://models@{ACCOUNT}/llama"},
            lambda: objects_of(server.store("models"), "llama"),
            {"AZURE_STORAGE_ACCESS_KEY": KEY},
            {"AZURE_SERVICE_URL": server.endpoint_url},
        )


@pytest.fixture
def gcs(store: SeaweedFS, tmp_path: Path) -> Iterator[Target]:
    prefix = f"job-{next(_numbers)}"
    key = tmp_path / "gcloud-application-credentials.json"
    with writable_google(store, key) as environment:
        yield Target(
            {"destination": f"gs://{PUBLIC_BUCKET}/{prefix}"},
            lambda: objects_of(store.store(PUBLIC_BUCKET), prefix),
            cluster={"STORAGE_EMULATOR_HOST": environment["STORAGE_EMULATOR_HOST"]},
            volumes={"/var/secrets/gcs": str(key.parent)},
        )


@pytest.fixture
def pvc(tmp_path: Path) -> Target:
    volume = tmp_path / "volume"
    volume.mkdir()
    return Target(
        {"destination": "/mnt/models/llama"},
        lambda: contents(volume / "llama"),
        volumes={"/mnt/models": str(volume)},
    )


@pytest.fixture
def target(variant: str, request: pytest.FixtureRequest) -> Target:
    made: Target = request.getfixturevalue(variant.removeprefix("mirror-"))
    return made


@pytest.fixture
def job(tmp_path: Path, variant: str, target: Target, hub: FakeHub, line: CountingProxy) -> Job:
    line.per_connection_rate = None
    line.clear()
    return Job(tmp_path, variant, target, hub)


def may_mount() -> bool:
    tried = ["unshare", "--mount", "mount", "-o", "remount,bind,ro", "/"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def fetched(line: CountingProxy, files: dict[str, bytes]) -> int:
    """Bytes that came from the Hub's CDN, in shards."""
    shard = len(files[shard_names(SHARDS)[0]])
    return round(sum(request.body_bytes for request in line.requests) / shard)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["lost node", "drained node"])
def test_what_one_pod_began_the_next_one_completes(
    job: Job, line: CountingProxy, files: dict[str, bytes], number: signal.Signals
) -> None:
    line.per_connection_rate = 8 * MIB
    with job.pod() as first:
        wait_for(lambda: len(job.target.recorded & set(shard_names(SHARDS))) >= 2, first)
        first.send_signal(number)
        first.communicate(timeout=20)
    assert job.is_tried_again(first.returncode), first.returncode
    done = job.target.recorded
    assert MANIFEST_NAME not in job.target.read(), "nobody serves from it yet"

    line.per_connection_rate = None
    line.clear()
    code, said = job.run()
    assert code == 0, said
    left = set(shard_names(SHARDS)) - done
    assert fetched(line, files) == len(left) < SHARDS, "what is whole is not fetched again"
    there = job.target.read()
    assert {name: data for name, data in there.items() if not name.startswith(".wellhead/")} == files
    assert MANIFEST_NAME in there

    line.clear()
    assert job.run()[0] == 0
    assert fetched(line, files) == 0, "a Job that is applied again copies nothing"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.skipif(not may_mount(), reason="no mount namespaces here")
def test_nothing_but_the_destination_is_written(job: Job, files: dict[str, bytes]) -> None:
    job.read_only_root = True
    code, said = job.run()
    assert code == 0, said
    there = job.target.read()
    assert {name: data for name, data in there.items() if not name.startswith(".wellhead/")} == files


HOPELESS = {
    "a model that is not there": ("mirror-pvc", {"source": "hf://team/other"}, {}, 11),
    "a gated or private model without a token": ("mirror-pvc", {"hub-secret": "forgotten"}, {}, 12),
    "a bucket that is not there": ("mirror-s3", {"destination": "s3://no-such-bucket/llama"}, {}, 11),
    "keys that may not write": ("mirror-s3", {}, {"AWS_SECRET_ACCESS_KEY": "wrong"}, 12),
    "a URI nobody reads": ("mirror-pvc", {"source": "ftp://host/llama"}, {}, 10),
}


@pytest.mark.parametrize("case", HOPELESS)
def test_what_somebody_has_to_correct_ends_the_job(
    case: str, tmp_path: Path, hub: FakeHub, request: pytest.FixtureRequest
) -> None:
    variant, parameters, secret, code = HOPELESS[case]
    right: Target = request.getfixturevalue(variant.removeprefix("mirror-"))
    wrong = replace(right, parameters=right.parameters | parameters, secret=right.secret | secret)
    job = Job(tmp_path, variant, wrong, hub)
    ended, sentence = job.run()
    assert ended == code, sentence
    assert not job.is_tried_again(ended)
    assert (tmp_path / "termination-log").read_text() == sentence, "kubectl describe shows it"


def test_a_hub_that_does_not_answer_is_asked_again(tmp_path: Path, pvc: Target, hub: FakeHub) -> None:
    job = Job(tmp_path, "mirror-pvc", pvc, hub)
    code, sentence = job.run(HF_ENDPOINT="http://127.0.0.1:9", WELLHEAD_RETRY_TIMEOUT="1")
    assert code == 16, sentence
    assert job.is_tried_again(code)
