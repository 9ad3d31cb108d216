"""The values files for llm-d's chart against real stores: every command line that they make reaches the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.storage.llm_d_pod import Ended, LlmDPod
from tests.storage.mirror_job import Job, Target
from tests.storage.model import BUCKET, Model
from tests.storage.pod import contents
from tests.support.azurite import ACCOUNT, KEY, azurite
from tests.support.fake_gcs import fake_gcs
from tests.support.fake_hub import TOKEN, FakeHub, Repository, fake_hub
from tests.support.llm_d_chart import ROLES
from tests.support.llm_d_values import NAMES, read_values
from tests.support.seaweedfs import SeaweedFS

OPTIONS = ["--shutdown-timeout", "25", "--port", "8000", "--served-model-name", "team/llama", "--max-model-len=8192"]
STREAMED = ["--load-format", "runai_streamer", *OPTIONS]


@dataclass
class Namespace:
    """What the cluster has: Secrets, and variables that only our servers need."""

    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    cluster: dict[str, str] = field(default_factory=dict)


def s3_namespace(store: SeaweedFS) -> Namespace:
    keys = {name: store.environment(reader=True)[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    return Namespace({"s3-models": keys}, {"AWS_ENDPOINT_URL": store.endpoint_url})


@pytest.fixture
def s3(llama: Model) -> Namespace:
    return s3_namespace(llama.store)


@pytest.fixture(scope="module")
def gs(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Namespace]:
    with fake_gcs(tmp_path_factory.mktemp("gcs")) as server:
        server.create_bucket("models")
        server.put_folder("models", "llama", checkpoint)
        yield Namespace(cluster={"STORAGE_EMULATOR_HOST": server.endpoint_url})


@pytest.fixture(scope="module")
def az(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Namespace]:
    blob = pytest.importorskip("azure.storage.blob")
    with azurite(tmp_path_factory.mktemp("azure")) as server:
        with blob.BlobServiceClient(server.endpoint_url, credential=KEY) as client:
            client.create_container("models")
        server.put_folder("models", "llama", checkpoint)
        yield Namespace(
            {"azure-models": {"AZURE_STORAGE_ACCOUNT_KEY": KEY}}, {"AZURE_SERVICE_URL": server.endpoint_url}
        )


@pytest.fixture(scope="module")
def hub(checkpoint: Path) -> Iterator[FakeHub]:
    with fake_hub() as server:
        server.repositories["team/llama"] = Repository(contents(checkpoint), private=True)
        yield server


@pytest.fixture
def hf(hub: FakeHub) -> Namespace:
    return Namespace({"hub-token": {"HF_TOKEN": TOKEN}}, {"HF_ENDPOINT": hub.endpoint})


@pytest.fixture
def hf_mirror(hf: Namespace, hub: FakeHub, store: SeaweedFS, tmp_path: Path) -> Namespace:
    """The mirror that the values name, filled by the Job of servingruntimes/jobs."""
    keys = {name: store.environment()[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    root = {"destination": f"s3://{BUCKET}/hub", "endpoint": store.endpoint_url}
    job = Job(tmp_path, "mirror-s3", Target(root, dict, keys), hub, of_hub=True)
    code, said = job.run()
    assert code == 0, said
    bucket = s3_namespace(store)
    return Namespace(hf.secrets | bucket.secrets, hf.cluster | bucket.cluster)


@pytest.fixture
def pvc() -> Namespace:
    return Namespace()


def values_here(name: str) -> dict[str, Any]:
    """Those of the file, with the account of the emulator."""
    values = read_values(name)
    container = values["decode"]["containers"][0]
    container["args"] = [word.replace("@account/", f"@{ACCOUNT}/") for word in container["args"]]
    return values


def pod_of(name: str, role: str, namespace: Namespace, folder: Path, values: dict[str, Any] | None = None) -> LlmDPod:
    return LlmDPod.of(folder, values or values_here(name), role, namespace.secrets, namespace.cluster)


def started(pod: LlmDPod) -> Ended:
    ended = pod.start()
    assert ended.code == 0, ended.log
    return ended


def models_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if not name.startswith(".wellhead/")}


@pytest.mark.parametrize("role", ROLES)
class TestEveryPod:
    def test_s3_streams(self, s3: Namespace, role: str, tmp_path: Path) -> None:
        pod = pod_of("s3", role, s3, tmp_path)
        ended = started(pod)
        assert ended.weights == "s3://models/llama"
        assert ended.options == STREAMED
        assert ended.folder.is_relative_to(pod.volume("/tmp")), "what is written is on a volume"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert ended.variables[name] == s3.secrets["s3-models"][name]
            assert s3.secrets["s3-models"][name] not in ended.log
        assert ended.variables["AWS_ENDPOINT_URL"] == s3.cluster["AWS_ENDPOINT_URL"]
        assert ended.variables["HOME"] == str(pod.volume("/home/wellhead"))
        assert Path(ended.variables["TRITON_CACHE_DIR"]) == pod.volume("/var/cache/wellhead") / "triton"
        assert Path(ended.variables["VLLM_CACHE_ROOT"]).is_relative_to(pod.volume("/tmp")), "a copy of what is there"

    def test_google_streams(self, gs: Namespace, role: str, tmp_path: Path) -> None:
        ended = started(pod_of("gs", role, gs, tmp_path))
        assert ended.weights == "gs://models/llama"
        assert ended.options == STREAMED

    def test_azure_is_reached(self, az: Namespace, role: str, tmp_path: Path, checkpoint: Path) -> None:
        """The streamer knows no emulator, so mode `auto` downloads."""
        pod = pod_of("az", role, az, tmp_path)
        ended = started(pod)
        assert ended.weights is None
        assert ended.options == OPTIONS
        assert models_of(ended.folder) == contents(checkpoint)
        assert ended.folder.is_relative_to(pod.volume("/tmp"))

    def test_the_hub_is_downloaded_to_the_volume_for_it(
        self, hf: Namespace, role: str, tmp_path: Path, checkpoint: Path
    ) -> None:
        pod = pod_of("hf", role, hf, tmp_path)
        ended = started(pod)
        assert (ended.weights, ended.options) == (None, OPTIONS)
        assert ended.folder == pod.volume("/mnt/models")
        assert models_of(ended.folder) == contents(checkpoint)

    def test_a_mirror_of_the_hub_streams(self, hf_mirror: Namespace, hub: FakeHub, role: str, tmp_path: Path) -> None:
        asked = len(hub.asked("cdn"))
        ended = started(pod_of("hf-mirror", role, hf_mirror, tmp_path))
        assert ended.weights == f"s3://models/hub/team/llama/{hub.repositories['team/llama'].commit}"
        assert ended.options == STREAMED
        assert len(hub.asked("cdn")) == asked, "no weights came from the Hub"

    def test_a_claim_is_read_by_the_streamer(self, pvc: Namespace, role: str, tmp_path: Path, checkpoint: Path) -> None:
        pod = pod_of("pvc", role, pvc, tmp_path)
        (pod.volume("/model-cache") / "llama").symlink_to(checkpoint)
        ended = started(pod)
        assert ended.folder == pod.volume("/model-cache") / "llama"
        assert (ended.weights, ended.options) == (None, STREAMED)


@pytest.mark.parametrize("name", NAMES)
def test_a_container_that_restarts_has_its_model_already(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, checkpoint: Path
) -> None:
    namespace: Namespace = request.getfixturevalue(name.replace("-", "_"))
    pod = pod_of(name, "decode", namespace, tmp_path)
    if name == "pvc":
        (pod.volume("/model-cache") / "llama").symlink_to(checkpoint)
    assert started(pod).command == started(pod).command


class TestStatedOnce:
    """A line of the text that both roles refer to reaches both, and the engine."""

    def both(self, namespace: Namespace, folder: Path, *args: str, **variables: str) -> list[Ended]:
        values = values_here("s3")
        server = values["decode"]["containers"][0]
        server["args"] += args
        server["env"] = [entry for entry in server["env"] if entry["name"] not in variables]
        server["env"] += [{"name": name, "value": value} for name, value in variables.items()]
        ends = []
        for role in ROLES:
            (folder / role).mkdir()
            ends.append(pod_of("s3", role, namespace, folder / role, values).start())
        return ends

    def test_the_loaders_extra_config(self, s3: Namespace, tmp_path: Path) -> None:
        for ended in self.both(s3, tmp_path, '--model-loader-extra-config={"concurrency": 8}'):
            extra = ended.options[ended.options.index("--model-loader-extra-config") + 1]
            assert extra == '{"concurrency": 8}'

    def test_the_streamers_environment(self, s3: Namespace, tmp_path: Path) -> None:
        for ended in self.both(s3, tmp_path, RUNAI_STREAMER_CONCURRENCY="12"):
            assert ended.variables["RUNAI_STREAMER_CONCURRENCY"] == "12"

    def test_the_mode(self, s3: Namespace, tmp_path: Path) -> None:
        for ended in self.both(s3, tmp_path, WELLHEAD_MODE="download"):
            assert (ended.weights, ended.options) == (None, OPTIONS)

    def test_a_load_format_that_agrees(self, s3: Namespace, tmp_path: Path) -> None:
        for ended in self.both(s3, tmp_path, "--load-format=runai_streamer"):
            assert (ended.weights, ended.options) == ("s3://models/llama", STREAMED)

    def test_a_load_format_that_contradicts(self, s3: Namespace, tmp_path: Path) -> None:
        for ended in self.both(s3, tmp_path, "--load-format=safetensors"):
            assert ended.code == 18
            assert ended.sentence.startswith("--load-format safetensors contradicts the load plan")


class TestOtherUris:
    def end(self, namespace: Namespace, folder: Path, uri: str, name: str = "s3") -> Ended:
        values = values_here(name)
        server = values["decode"]["containers"][0]
        server["args"] = [f"--model={uri}" if word.startswith("--model=") else word for word in server["args"]]
        return pod_of(name, "decode", namespace, folder, values).start()

    def test_the_wrapper_protocol(self, s3: Namespace, tmp_path: Path) -> None:
        ended = self.end(s3, tmp_path, "runai_streamer://s3://models/llama")
        assert (ended.weights, ended.options) == ("s3://models/llama", STREAMED)

    def test_the_wrapper_around_what_cannot_stream(self, hf: Namespace, tmp_path: Path) -> None:
        ended = self.end(hf, tmp_path, "runai_streamer://hf://team/llama", "hf")
        assert ended.code == 14
        assert ended.command == [], "no engine was started"
        assert (tmp_path / "termination-log").read_text() == ended.sentence

    def test_a_model_that_is_not_there(self, s3: Namespace, tmp_path: Path) -> None:
        ended = self.end(s3, tmp_path, "s3://models/no-such-model")
        assert ended.code == 11
        assert ended.sentence.startswith("s3://models/no-such-model ")
