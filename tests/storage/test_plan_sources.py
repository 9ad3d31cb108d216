"""`wellhead plan` of every kind of source: the plan of `init`, and nothing said of what is not known yet."""

from __future__ import annotations

import json
import shutil
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET, Model
from tests.storage.plan_command import ask, page, report
from tests.storage.pod import Pod, contents
from tests.support.azurite import ACCOUNT, KEY, azurite
from tests.support.fake_gcs import fake_gcs, key_file
from tests.support.fake_hub import FakeHub, Repository, fake_hub
from tests.support.fake_registry import fake_registry
from tests.support.web_server import WebServer, web_server
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.support.seaweedfs import SeaweedFS

UNKNOWN = "unknown until fetched"
FIGURES = ("objects", "object_bytes", "disk_bytes", "weight_memory_bytes")


def same_plan(pod: Pod, uri: str, **environment: str) -> Any:
    """The report, once its plan is what `init` writes; that says the folder which it really prepared."""
    found = report(pod, uri, **environment)
    outcome = pod.init(uri, **environment)
    assert outcome.exit_code == 0, outcome.stderr
    written = json.loads(pod.plan.model_dump_json().replace(str(pod.destination), "/mnt/models"))
    assert {**found["plan"], "phases": {}} == {**written, "phases": {}}
    return found


@contextmanager
def without_s3(pod: Pod, **environment: str) -> Iterator[Pod]:
    """The pod with other variables than those of the tests' S3."""
    before = dict(pod.environment)
    pod.environment = {name: value for name, value in before.items() if not name.startswith(("AWS_", "S3_"))}
    pod.environment |= environment
    yield pod
    pod.environment = before


# This container ----------------------------------------------------------------------------------------------------


def test_a_local_folder_is_used_where_it_is(pod: Pod, checkpoint: Path) -> None:
    found = same_plan(pod, str(checkpoint))
    assert (found["plan"]["mode"], found["plan"]["weights"]["uri"]) == ("local", "/mnt/models")
    assert found["arguments"][:3] == ["vllm", "serve", str(checkpoint)]
    metadata = sum(path.stat().st_size for path in checkpoint.iterdir() if path.suffix == ".json")
    assert (found["disk_bytes"], found["buffer_bytes"], found["assumed"]) == (metadata, 0, [])
    assert "after `wellhead init" not in ask(pod, str(checkpoint)).stdout


def test_a_local_folder_for_the_streamer_needs_a_buffer(pod: Pod, checkpoint: Path) -> None:
    found = same_plan(pod, f"runai_streamer://{checkpoint}")
    assert found["arguments"][2:5] == [str(checkpoint), "--load-format", "runai_streamer"]
    assert found["buffer_bytes"] == found["plan"]["weights"]["largest_tensor_bytes"] > 0


def test_a_tensor_too_large_for_this_machine_is_a_warning(pod: Pod, tmp_path: Path) -> None:
    """`plan` may run on a laptop; the pod has another memory, and `init` needs none of it."""
    size = 4 << 40
    header = json.dumps({"x": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    folder = tmp_path / "huge"
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    uri = f"runai_streamer://{folder}"
    found = same_plan(pod, uri)
    [warning] = found["warnings"]
    assert warning.startswith("On this machine `wellhead serve` would end: The largest tensor has 4,096.0 GiB")
    assert found["environment"]["RUNAI_STREAMER_MEMORY_LIMIT"] == str(size)
    assert page(pod, uri)["warning"] == warning


def test_a_local_archive_is_unpacked(pod: Pod, checkpoint: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "llama"), "gztar", checkpoint)
    found = report(pod, archive)
    assert (found["plan"]["mode"], found["archive_bytes"]) == ("download", (tmp_path / "llama.tar.gz").stat().st_size)
    assert pod.init(archive).exit_code == 0
    assert pod.plan.reasons == tuple(found["plan"]["reasons"])


# Hugging Face and its mirror ---------------------------------------------------------------------------------------


@pytest.fixture
def hub(pod: Pod, checkpoint: Path) -> Iterator[FakeHub]:
    """`org/llama`, with a large file that no suffix gives away."""
    with fake_hub() as running:
        files = contents(checkpoint) | {"model.joblib": bytes(2 << 20), "README.md": b"# Llama"}
        running.repositories["org/llama"] = Repository(files)
        pod.environment |= {**running.environment, "HF_HUB_DISABLE_XET": "1"}
        yield running


def fill(root: str, hub: FakeHub, **credentials: str) -> None:
    """Mirror `org/llama`."""
    mirror("hf://org/llama", None, Options(), Settings(mirror=root), {**hub.environment, **credentials})


def test_hugging_face_is_downloaded_and_hardly_anything_is_asked_for(pod: Pod, hub: FakeHub) -> None:
    report(pod, "hf://org/llama")
    asked = {request.path.rpartition("/")[2] for request in hub.asked("file")}
    shards = {name for name in hub.repositories["org/llama"].files if name.endswith(".safetensors")}
    assert asked == {"config.json", "model.safetensors.index.json", *shards}
    found = same_plan(pod, "hf://org/llama")
    assert (found["plan"]["mode"], found["disk_bytes"]) == ("download", sum(map(len, pod.files.values())))
    assert page(pod, "hf://org/llama")["left in store"] == "README.md: documentation"


def test_a_mirror_in_a_bucket_is_streamed_from(pod: Pod, hub: FakeHub, store: SeaweedFS) -> None:
    root = f"s3://{BUCKET}/{pod.folder.name}-hub"
    fill(root, hub, **store.environment())
    found = same_plan(pod, "hf://org/llama", WELLHEAD_MIRROR=root)
    assert found["plan"]["mode"] == "stream"
    assert found["plan"]["reasons"][0].startswith(f"mirrored at {root}/org/llama/")
    assert found["arguments"][2] == found["plan"]["weights"]["uri"] != "hf://org/llama"
    assert found["plan"]["left"] == [], "our own manifest is no news"


@pytest.mark.parametrize("mode", ["auto", "stream"])
def test_a_mirror_on_a_volume_is_used_in_place_and_the_way_is_told(
    pod: Pod, hub: FakeHub, tmp_path: Path, mode: str
) -> None:
    root = str(tmp_path / "pvc")
    fill(root, hub)
    found = same_plan(pod, "hf://org/llama", WELLHEAD_MIRROR=root, WELLHEAD_MODE=mode)
    folder = f"{root}/org/llama/{hub.repositories['org/llama'].commit}"
    first, second, *more = found["plan"]["reasons"]
    assert (found["plan"]["mode"], found["arguments"][2]) == ("local", folder)
    assert first.startswith(f"mirrored at file://{folder}, commit ")
    assert second == "the weights are already in this container"
    said = ["mode stream was asked for, which they need not: they are read in place"]
    assert more == (said if mode == "stream" else [])


# Google and Azure --------------------------------------------------------------------------------------------------


def test_google_with_a_key(pod: Pod, checkpoint: Path, tmp_path: Path) -> None:
    key = key_file(tmp_path / "key.json")
    with fake_gcs(tmp_path / "server") as server:
        server.create_bucket("models")
        server.put_folder("models", "llama", checkpoint)
        emulator = {"STORAGE_EMULATOR_HOST": server.endpoint_url}
        with without_s3(pod, **emulator, GOOGLE_APPLICATION_CREDENTIALS=str(key)):
            found = same_plan(pod, "gs://models/llama")
        with without_s3(pod, **emulator, KUBERNETES_SERVICE_HOST="", WELLHEAD_SERVICE_ACCOUNT_TOKEN="/nowhere"):
            anonymous = report(pod, "gs://models/llama")
    assert found["plan"]["credentials"] == {"handoff": "sealed", "identity": "static"}
    assert found["environment"]["CLOUD_STORAGE_EMULATOR_ENDPOINT"] == emulator["STORAGE_EMULATOR_HOST"]
    assert not [name for name in found["environment"] if name.startswith("RUNAI_STREAMER_S3")]
    assert json.loads(key.read_text())["private_key"].splitlines()[1] not in json.dumps(found)
    assert (anonymous["plan"]["credentials"]["identity"], anonymous["assumed"]) == ("anonymous", [])


def test_an_azure_emulator_is_downloaded_from(pod: Pod, checkpoint: Path, tmp_path: Path) -> None:
    blob = pytest.importorskip("azure.storage.blob")
    with azurite(tmp_path / "server") as server:
        with blob.BlobServiceClient(server.endpoint_url, credential=KEY) as client:
            client.create_container("models")
        server.put_folder("models", "llama", checkpoint)
        with without_s3(pod, AZURE_SERVICE_URL=server.endpoint_url, AZURE_STORAGE_ACCESS_KEY=KEY):
            found = same_plan(pod, f"az://models@{ACCOUNT}/llama")
    assert found["plan"]["mode"] == "download"
    assert found["plan"]["reasons"] == [
        "the endpoint in AZURE_SERVICE_URL is not Azure's own, and the streamer reaches no other"
    ]
    assert found["disk_bytes"] == sum(map(len, pod.files.values()))
    assert KEY not in json.dumps(found)


# Registry ----------------------------------------------------------------------------------------------------------


def test_a_registry_is_resolved(pod: Pod, llama: Model, checkpoint: Path) -> None:
    with fake_registry() as registry:
        registry.add("llama", "v1", llama.uri)
        registry.add("volume", "v1", f"file://{checkpoint}")
        pod.environment["MODEL_REGISTRY_BASE_URL"] = registry.host
        streamed, local = (same_plan(pod, f"model-registry://{name}") for name in ("llama", "volume"))
    assert (streamed["plan"]["mode"], streamed["plan"]["resolved"]) == ("stream", llama.uri)
    assert streamed["plan"]["reasons"][0] == f"model-registry: llama, version v1 (the newest): {llama.uri}"
    assert local["plan"]["reasons"] == [
        f"model-registry: volume, version v1 (the newest): file://{checkpoint}",
        "the weights are already in this container",
    ]


# Web servers, archives, and what KServe's library fetches -----------------------------------------------------------


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as running:
        running.files["/q4.gguf"] = b"GGUF" + bytes(3 << 20)
        yield running


def test_a_file_of_a_web_server(pod: Pod, web: WebServer) -> None:
    found = same_plan(pod, f"{web.url}/q4.gguf")
    size = len(web.files["/q4.gguf"])
    assert [found[name] for name in FIGURES] == [1, size, size, size]
    web.asked.clear()
    report(pod, f"{web.url}/q4.gguf")
    assert [headers.get("range") for _, headers in web.asked] == ["bytes=0-0"]


def test_a_file_of_unknown_length(pod: Pod, web: WebServer) -> None:
    web.ranges = web.lengths = False
    found = report(pod, f"{web.url}/q4.gguf")
    assert [found[name] for name in FIGURES] == [1, None, None, None]
    rows = page(pod, f"{web.url}/q4.gguf")
    assert (rows["objects"], rows["disk"], rows["memory"]) == (f"1, {UNKNOWN}", UNKNOWN, UNKNOWN)
    assert rows["weights"] == f"1 files, {UNKNOWN}, layout gguf"


def test_an_archive_is_known_by_its_own_size_only(pod: Pod, web: WebServer) -> None:
    web.files["/llama.tar"] = bytes(2 << 20)
    found = report(pod, f"{web.url}/llama.tar")
    assert [found[name] for name in FIGURES] == [None] * 4
    assert (found["plan"]["mode"], found["archive_bytes"], found["buffer_bytes"]) == ("download", 2 << 20, 0)
    rows = page(pod, f"{web.url}/llama.tar")
    assert rows["disk"] == f"2.0 MiB for the archive, and what is in it: {UNKNOWN}"
    assert (rows["objects"], rows["weights"], rows["memory"]) == (UNKNOWN, UNKNOWN, UNKNOWN)
    assert "0.0 " not in ask(pod, f"{web.url}/llama.tar").stdout


def test_an_archive_in_a_mirror_is_one_too(pod: Pod, web: WebServer, checkpoint: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "llama"), "tar", checkpoint)
    web.files["/llama.tar"] = Path(packed).read_bytes()
    mirror(f"{web.url}/llama.tar", str(tmp_path / "mirror"), Options(), Settings(), {})
    found = report(pod, str(tmp_path / "mirror"))
    assert found["plan"]["reasons"][0] == "llama.tar is an archive, which is unpacked"
    assert pod.init(str(tmp_path / "mirror")).exit_code == 0
    assert pod.files == contents(checkpoint)


@pytest.mark.parametrize(
    "uri",
    [
        "hdfs://namenode/llama",
        "https://example.org/llama.git",
        "modelscope://org/llama",
        "https://account.file.core.windows.net/share/llama",
    ],
)
def test_what_another_fetches_is_not_known(pod: Pod, uri: str) -> None:
    found = report(pod, uri)
    assert [found[name] for name in FIGURES] == [None] * 4
    assert "KServe's own library fetches it, and only then shows what it holds" in found["plan"]["reasons"]
    rows = page(pod, uri)
    assert {rows[name] for name in ("objects", "weights", "disk", "memory")} == {UNKNOWN}


def test_a_folder_of_which_nothing_is_wanted_is_known_to_be_empty(pod: Pod, llama: Model) -> None:
    found = same_plan(pod, llama.uri, STORAGE_IGNORE_PATTERNS="*")
    assert (found["plan"]["mode"], found["plan"]["reasons"]) == ("download", ["it holds no weight files"])
    assert [found[name] for name in FIGURES] == [0, 0, 0, 0]
