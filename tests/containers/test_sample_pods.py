"""The pods that KServe builds from the samples, run: bucket to engine, in containers of our images.

The engine is a stand-in that answers probes and tells what it was given (`stand_in_engine.py`); one sample goes up to
an answer of real vLLM in `test_journey.py`.
"""

from __future__ import annotations

import hashlib
import json
import signal
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.containers.manifest_pod import Machine, ManifestPod, Statuses, crash_looping, on_free_port, running
from tests.containers.samples import outcomes, own_service
from tests.containers.stand_in_engine import TELLS
from tests.kserve.model_status import model_status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers.images import Image
    from tests.containers.kubelet import Container, Outcome
    from tests.kserve import Cluster
    from tests.kserve.manifests import Manifest
    from tests.support.seaweedfs import SeaweedFS

ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "llama", "r": 8}
STREAMER = ["--load-format", "runai_streamer"]


@dataclass(frozen=True)
class Expected:
    """What a sample's engines are started with.

    Attributes:
        folder: the model's, for vLLM's metadata.
        pods: how many there are.
        own: words of the engine's command line that the sample is about.
        writable: places besides volumes where the container may write.
    """

    folder: str = "/mnt/models"
    pods: int = 1
    own: tuple[str, ...] = ("--max-model-len=8192",)
    writable: tuple[str, ...] = ()


LLM = ("--served-model-name",)
SAMPLES = {
    "s3": Expected(),
    "runai-streamer": Expected(),
    "storage-config": Expected(),
    "storage-uris": Expected(own=("--enable-lora", "--lora-modules=sql=/mnt/adapters/sql")),
    "namespaced": Expected(),
    "llm-s3": Expected(own=LLM, writable=("/",)),
    "llm-prefill-decode": Expected(own=LLM, pods=2, writable=("/",)),
    "llm-multi-node": Expected(own=LLM, pods=2, writable=("/",)),
}


@pytest.fixture
def node(initializer: Image, runtime: Image, tmp_path: Path) -> Machine:
    """A machine with both images; the stand-in for vLLM needs no GPU."""
    return Machine({"wellhead-initializer": initializer, "wellhead-runtime": runtime}, tmp_path)


@pytest.fixture(scope="module")
def bucket(store: SeaweedFS, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SeaweedFS:
    """The store with the model and the adapter that the samples name."""
    assert checkpoint.exists()
    store.create_bucket("adapters")
    store.put("adapters", "sql/adapter_config.json", json.dumps(ADAPTER).encode())
    store.put("adapters", "sql/adapter_model.safetensors", (2).to_bytes(8, "little") + b"{}")
    return store


def started_with(container: Container, manifest: Manifest, seconds: float = 30.0) -> dict[str, Any]:
    """What the stand-in engine tells, once the container's own startup probe succeeds (a headless one has none)."""
    probe = manifest["spec"]["containers"][0].get("startupProbe")
    until = time.monotonic() + seconds
    while TELLS not in container.output() or (probe and not succeeds(probe["httpGet"])):
        assert container.running(), container.wait().stderr[-4000:]
        assert time.monotonic() < until, "its startup probe never succeeded"
        time.sleep(0.1)
    told: dict[str, Any] = json.loads(container.output().partition(TELLS)[2].splitlines()[0])
    return told


def succeeds(probe: Manifest) -> bool:
    """Ask as the kubelet does."""
    try:
        address = f"{probe['scheme'].lower()}://127.0.0.1:{probe['port']}{probe['path']}"
        urllib.request.urlopen(address, timeout=2).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name", SAMPLES)
def test_every_pod_streams_from_the_bucket(name: str, node: Machine, bucket: SeaweedFS) -> None:
    expected = SAMPLES[name]
    cluster, made = outcomes(name, bucket)
    pods = [on_free_port(pod)[0] for outcome in made for pod in outcome.pods]
    assert len(pods) == expected.pods
    for manifest in pods:
        ask_for("runai_streamer", manifest)
        with running(manifest, cluster, node) as pod:
            told = assert_starts(pod, manifest, bucket, expected)
        assert told["argv"][:4] == ["serve", expected.folder, *STREAMER]
        assert told["weights"] == "s3://models/llama"
        assert told["secret"] == hashlib.sha256(bucket.secret_access_key.encode()).hexdigest()


@pytest.mark.parametrize("name", ["s3", "llm-s3"])
def test_weights_that_arrive_meanwhile_need_no_place_and_no_key_for_the_engine(
    name: str, node: Machine, bucket: SeaweedFS
) -> None:
    """As a user that is not root, under a read-only root."""
    cluster, made = outcomes(name, bucket)
    (manifest,) = (on_free_port(pod)[0] for outcome in made for pod in outcome.pods)
    ask_for("overlap", manifest)
    with running(manifest, cluster, node) as pod:
        told = assert_starts(pod, manifest, bucket, SAMPLES[name])
    assert told["argv"][:4] == ["serve", "/mnt/models", "--load-format", "wellhead"]
    assert (told["weights"], told["secret"]) == (None, None)


def ask_for(loader: str, manifest: Manifest) -> None:
    """What the annotation wellhead.dev/loader would say."""
    for container in manifest["spec"]["initContainers"]:
        others = [variable for variable in container["env"] if variable["name"] != "WELLHEAD_LOADER"]
        container["env"] = [*others, {"name": "WELLHEAD_LOADER", "value": loader}]


def assert_starts(pod: ManifestPod, manifest: Manifest, bucket: SeaweedFS, expected: Expected) -> dict[str, Any]:
    (initialized,) = pod.initialize()
    assert initialized.exit_code == 0, initialized.stderr
    assert initialized.message == ""
    with pod.server() as container:
        told = started_with(container, manifest)
        container.signal(signal.SIGTERM)
        outcome = pod.ended(container)
    assert outcome.exit_code == 0, outcome.stderr
    assert all(word in told["argv"] for word in expected.own)
    assert told["user"] == 2000
    volumes = {each["mountPath"] for each in manifest["spec"]["containers"][0]["volumeMounts"]}
    assert "/mnt/models" not in told["writable"], "the model volume is read-only for the server"
    assert set(told["writable"]) <= volumes | set(expected.writable)
    for said in (initialized.stdout + initialized.stderr, outcome.stdout + outcome.stderr):
        assert bucket.secret_access_key not in said
    return told


def test_a_cached_model_comes_from_the_nodes_disk(node: Machine, bucket: SeaweedFS) -> None:
    """The Job fills the claim, the service of the same sample reads it; nobody needs credentials any more."""
    cluster, made = outcomes("local-model-cache", bucket)
    jobs = [job for outcome in made for job in outcome.workloads if job["kind"] == "Job"]
    (manifest,) = (on_free_port(pod)[0] for outcome in made for pod in outcome.pods)
    (job,) = jobs
    run_job(job, cluster, node)
    with running(manifest, cluster, node) as pod, pod.server() as container:
        told = started_with(container, manifest)
    assert told["argv"][:2] == ["serve", "/mnt/models"]
    assert "runai_streamer" not in told["argv"]
    assert told["weights"] is None
    assert told["secret"] is None


def run_job(job: Manifest, cluster: Cluster, node: Machine) -> None:
    template = {"metadata": {**job["metadata"], "annotations": {}}, "spec": job["spec"]["template"]["spec"]}
    as_init = {**template, "spec": {**template["spec"], "initContainers": template["spec"]["containers"]}}
    with running(as_init, cluster, node) as pod:
        (outcome,) = pod.initialize()
    assert outcome.exit_code == 0, outcome.stderr


@dataclass(frozen=True)
class Failure:
    """A change of the sample `s3`, and what KServe's user reads then.

    Attributes:
        code: the container's exit code.
        words: of the message.
        model: fields of `spec.predictor.model` that differ.
        mode: the annotation.
        keys: whether the secret has the right keys.
    """

    code: int
    words: str
    model: dict[str, Any] = field(default_factory=dict)
    mode: str = "auto"
    keys: bool = True


def engine_fails(how: str, code: int, words: str, **model: Any) -> Failure:
    return Failure(code, words, {"args": [f"--stand-in={how}"], **model})


SMALL = {"limits": {"memory": "256Mi"}, "requests": {"memory": "128Mi"}}
IN_THE_INITIALIZER = {
    "no such folder": Failure(11, "s3://models/no-such-folder", {"storageUri": "s3://models/no-such-folder"}),
    "a shard is missing": Failure(
        13, "model-00002-of-00003.safetensors", {"storageUri": "s3://models/incomplete"}, mode="stream"
    ),
    "wrong keys": Failure(12, "s3://models/llama", keys=False),
    "no such mode": Failure(19, "sideways", mode="sideways"),
    "not a model that streams": Failure(14, "s3://models/pickled", {"storageUri": "s3://models/pickled"}, "stream"),
}
IN_THE_SERVER = {
    "a load format against the plan": Failure(18, "--load-format", {"args": ["--load-format=dummy"]}),
    "the engine crashes": engine_fails("crash", 1, "memory"),
    "the engine ends without an error": engine_fails("end", 20, "ended"),
}


def failing(failure: Failure, bucket: SeaweedFS) -> tuple[Cluster, Manifest]:
    """The sample's pod with the failure's changes."""
    service = own_service(failure.mode, **failure.model)
    cluster, (outcome,) = outcomes("s3", bucket, service)
    if not failure.keys:
        secret = cluster.find("Secret", "s3-models", "default")
        assert secret is not None
        secret["stringData"]["AWS_SECRET_ACCESS_KEY"] = "wrong"
    return cluster, on_free_port(outcome.pod)[0]


@pytest.fixture(scope="module")
def broken(bucket: SeaweedFS, checkpoint: Path) -> SeaweedFS:
    """Two further models, with which something is wrong."""
    bucket.put_folder("models", "incomplete", checkpoint)
    bucket.delete("models", "incomplete/model-00002-of-00003.safetensors")
    bucket.put("models", "pickled/config.json", (checkpoint / "config.json").read_bytes())
    bucket.put("models", "pickled/pytorch_model.bin", b"PK\3\4")
    return bucket


@pytest.mark.parametrize("failure", IN_THE_INITIALIZER.values(), ids=IN_THE_INITIALIZER)
def test_the_user_reads_why_the_init_container_failed(node: Machine, broken: SeaweedFS, failure: Failure) -> None:
    cluster, manifest = failing(failure, broken)
    with running(manifest, cluster, node) as pod:
        (outcome,) = pod.initialize()
        assert outcome.seconds < 15
        assert_shown(failure, outcome.stderr, pod.statuses, crash_looping(pod.statuses))


@pytest.mark.parametrize("failure", IN_THE_SERVER.values(), ids=IN_THE_SERVER)
def test_the_user_reads_why_the_server_failed(node: Machine, broken: SeaweedFS, failure: Failure) -> None:
    cluster, manifest = failing(failure, broken)
    with running(manifest, cluster, node) as pod:
        outcome = served_to_the_end(pod)
        assert_shown(failure, outcome.stderr, pod.statuses, crash_looping(pod.statuses))


def test_an_engine_that_takes_more_memory_than_it_may(node: Machine, broken: SeaweedFS) -> None:
    """KServe shows it only when the kubelet backs off, but then with a sentence: the server outlives its engine."""
    failure = engine_fails("exhaust", 137, "Raise resources.limits.memory", resources=SMALL)
    cluster, manifest = failing(failure, broken)
    with running(manifest, cluster, node) as pod:
        outcome = served_to_the_end(pod)
        assert model_status(pod.statuses)["states"]["targetModelState"] == "Pending"
        assert_shown(failure, outcome.stderr, crash_looping(pod.statuses))


def served_to_the_end(pod: ManifestPod) -> Outcome:
    """Of a server that fails by itself."""
    (initialized,) = pod.initialize()
    assert initialized.exit_code == 0, initialized.stderr
    with pod.server() as container:
        return pod.ended(container)


def assert_shown(failure: Failure, said: str, *moments: Statuses) -> None:
    """The user reads one sentence, the last one on standard error."""
    for statuses in moments:
        shown = model_status(statuses)
        assert shown["states"]["targetModelState"] == "FailedToLoad", said
        assert shown["transitionStatus"] == "BlockedByFailedLoad"
        assert shown["lastFailureInfo"]["exitCode"] == failure.code, said
        assert shown["lastFailureInfo"]["reason"] == "ModelLoadFailed"
        sentence = shown["lastFailureInfo"]["message"].strip()
        assert failure.words in sentence
        assert "\n" not in sentence
        assert sentence == said.strip().splitlines()[-1]
