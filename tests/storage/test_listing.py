"""Which objects belong to a model: those of its folder, with any key that can be a file."""

from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET, Model
from tests.storage.signed import put_key
from tests.support.counting_proxy import counting_proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

ODD_NAMES = (
    "a name with spaces",
    "plus+plus",
    "per%cent",
    "an%20escape",
    "an%2Fescape",
    "an%252Fescape",
    "hash#tag",
    "question?mark",
    "query?a=b&c=d",
    "quote'\"`",
    "<angle>&amp;",
    "[x]{y}(z)",
    "a:b|c^d~e*f,g;h=i@j!k$",
    "模型",
    "🦙",
    unicodedata.normalize("NFC", "café"),
    unicodedata.normalize("NFD", "café"),
    "...dots",
    "-dash",
)


def test_thousands_of_objects_are_listed_page_by_page(pod: Pod, store: SeaweedFS) -> None:
    client, names = store.store(BUCKET), [f"{number % 25}/{number:04}" for number in range(2500)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: client.put(f"many/{name}", b""), names))
    with counting_proxy(store.endpoint_url) as proxy:
        outcome = pod.init("s3://models/many", WELLHEAD_ENGINE=None, **store.environment(proxy.endpoint_url))
        listings = [request for request in proxy.requests if "list-type=2" in request.target]
    assert outcome.exit_code == 0, outcome.stderr
    assert len(listings) == 3
    assert pod.files == dict.fromkeys(names, b"")


def test_a_prefix_is_a_folder(pod: Pod, store: SeaweedFS) -> None:
    for key in ("a/llama/config.json", "a/llama-2/config.json", "a/llama.json", "a/llama2", "a/lla/ma"):
        store.put(BUCKET, key, key.encode())
    for uri in ("s3://models/a/llama", "s3://models/a/llama/"):
        assert pod.init(uri).exit_code == 0
        assert pod.files == {"config.json": b"a/llama/config.json"}


def test_odd_names_arrive_as_they_are(pod: Pod, model: Model) -> None:
    for name in ODD_NAMES:
        model.put(f"odd/{name}/{name}", name.encode())
    assert pod.init(model.uri).exit_code == 0
    assert pod.plan.mode == "stream"
    assert pod.files.keys() - model.files.keys() == {f"odd/{name}/{name}" for name in ODD_NAMES}
    assert all(pod.files[f"odd/{name}/{name}"] == name.encode() for name in ODD_NAMES)


def test_the_folder_itself_may_have_an_odd_name(pod: Pod, store: SeaweedFS) -> None:
    """Written literally in the URI, as S3's own tools do; only `?name=value` starts a query."""
    for name in ODD_NAMES:
        put_key(store, BUCKET, f"odd-folders/{name}/v1/config.json", name.encode())
    names = [name for name in ODD_NAMES if "?a=b" not in name]
    folders = [pod.folder / str(number) for number in range(len(names))]
    pairs = zip((f"s3://models/odd-folders/{name}/v1" for name in names), folders, strict=True)
    outcome = pod.init(*(part for pair in pairs for part in pair))
    assert outcome.exit_code == 0, outcome.stderr
    assert [(folder / "config.json").read_bytes().decode() for folder in folders] == names


def test_a_query_ends_the_path(pod: Pod, store: SeaweedFS) -> None:
    put_key(store, BUCKET, "query/v1?a=b/config.json", b"{}")
    outcome = pod.init("s3://models/query/v1?a=b/config.json")
    assert outcome.exit_code == 11
    assert outcome.sentence.startswith("s3://models/query/v1 holds no objects.")


@pytest.mark.parametrize("engine", ["vllm", None])
def test_empty_files_arrive_empty(pod: Pod, model: Model, engine: str | None) -> None:
    model.put("custom/__init__.py", b"")
    model.put("empty", b"")
    assert pod.init(model.uri, WELLHEAD_ENGINE=engine).exit_code == 0
    assert (pod.files["custom/__init__.py"], pod.files["empty"]) == (b"", b"")


def test_markers_of_folders_are_no_files(pod: Pod, model: Model) -> None:
    model.put("", b"")
    model.put("1_Pooling/", b"")
    model.put("1_Pooling/config.json", b"{}")
    assert pod.init(model.uri, WELLHEAD_MODE="download").exit_code == 0
    assert pod.files == {**model.files, "1_Pooling/config.json": b"{}"}


@pytest.mark.parametrize("name", ["config.json", "model-00001-of-00003.safetensors"])
def test_a_uri_may_name_one_object(pod: Pod, llama: Model, name: str) -> None:
    outcome = pod.init(f"{llama.uri}/{name}", WELLHEAD_ENGINE=None)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {name: llama.files[name]}


def test_a_single_gguf_is_downloaded(pod: Pod, store: SeaweedFS) -> None:
    store.put(BUCKET, "gguf/llama-Q4.gguf", b"GGUF...")
    outcome = pod.init("s3://models/gguf/llama-Q4.gguf")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"llama-Q4.gguf": b"GGUF..."}
    assert (pod.plan.mode, pod.plan.weights.layout) == ("download", "gguf")


@pytest.fixture(scope="module")
def whole_bucket(store: SeaweedFS, checkpoint: Path) -> str:
    store.create_bucket("whole-bucket")
    store.put_folder("whole-bucket", "", checkpoint)
    return "s3://whole-bucket"


@pytest.mark.parametrize("end", ["", "/"])
def test_a_bucket_may_be_the_model(pod: Pod, whole_bucket: str, llama: Model, end: str) -> None:
    assert pod.init(whole_bucket + end).exit_code == 0
    assert (pod.plan.mode, pod.plan.weights.uri) == ("stream", whole_bucket)
    assert pod.init(whole_bucket + end, WELLHEAD_MODE="download").exit_code == 0
    assert pod.files == llama.files
