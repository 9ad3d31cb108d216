"""Stream mode: everything but the tensors is fetched, once, and the engine gets a plan and sealed credentials."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import CONFIGURATION, INDEX, Model, header_of
from tests.storage.pod import TOKEN, Pod, contents
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.expect import a
from wellhead_storage.credentials.s3 import S3Connection, S3Secret
from wellhead_storage.credentials.seal import unseal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.seaweedfs import SeaweedFS

LISTING = "list-type=2"


@pytest.fixture
def proxy(store: SeaweedFS) -> Iterator[CountingProxy]:
    with counting_proxy(store.endpoint_url) as running:
        yield running


def through(proxy: CountingProxy, store: SeaweedFS) -> dict[str, str]:
    return store.environment(proxy.endpoint_url, reader=True)


def test_the_volume_holds_metadata_and_shards_without_their_tensors(pod: Pod, llama: Model) -> None:
    outcome = pod.init(llama.uri)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.message == ""
    expected = {name: header_of(data) for name, data in llama.shards.items()}
    expected |= {name: llama.files[name] for name in (*CONFIGURATION, INDEX)}
    assert pod.files == expected
    assert pod.own_files == ["credentials.sealed", "plan.json"]


def test_the_plan_says_what_the_engine_needs(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    assert pod.init(llama.uri).exit_code == 0
    plan = pod.plan
    assert (plan.version, plan.mode, plan.loader) == ("1.2", "stream", "auto")
    assert (plan.uri, plan.resolved) == (llama.uri, llama.uri)
    assert plan.reasons == ("s3:// can be streamed", "the checkpoint is complete safetensors of one layout")
    assert (plan.weights.uri, plan.weights.layout) == (llama.uri, "safetensors")
    assert {file.name: file.size for file in plan.weights.files} == {
        name: len(data) for name, data in llama.shards.items()
    }
    etags = {entry["path"]: entry["e_tag"] for page in store.store("models").list("llama/") for entry in page}
    assert {f"llama/{file.name}": file.etag for file in plan.weights.files}.items() <= etags.items()
    assert plan.weights.total_bytes == sum(map(len, llama.shards.values()))
    assert plan.weights.largest_tensor_bytes == 64 << 10
    assert (plan.weights.tensors, plan.weights.dtypes) == (9, {"BF16": 9})
    connection = a(S3Connection, plan.connection)
    assert (connection.endpoint_url, connection.region) == (store.endpoint_url, store.region)
    assert (plan.credentials.handoff, plan.credentials.identity) == ("sealed", "static")
    assert plan.left == ()
    assert plan.phases.keys() == {"list", "survey", "publish"}


def test_the_weights_stand_in_the_order_of_their_numbers(pod: Pod, model: Model) -> None:
    files = model.files
    model.delete(INDEX, *model.shards)
    names = [f"part-{number}.safetensors" for number in (1, 2, 10)]
    for name, data in zip(names, (data for name, data in files.items() if name in model.shards), strict=True):
        model.put(name, data)
    assert pod.init(model.uri).exit_code == 0
    assert [file.name for file in pod.plan.weights.files] == names


def test_one_listing_no_tensor_and_nothing_twice(
    pod: Pod, llama: Model, store: SeaweedFS, proxy: CountingProxy
) -> None:
    outcome = pod.init(llama.uri, **through(proxy, store))
    assert outcome.exit_code == 0, outcome.stderr
    listings = [request for request in proxy.requests if LISTING in request.target]
    assert len(listings) == 1
    reads = [request for request in proxy.requests if LISTING not in request.target]
    assert {request.method for request in reads} == {"GET"}
    assert {request.user_agent for request in proxy.requests} == {"wellhead"}
    asked: dict[str, list[str]] = {}
    for request in reads:
        asked.setdefault(request.path.rpartition("/")[2], []).append(request.range or "")
    for name in (*CONFIGURATION, INDEX):
        assert len(asked.pop(name)) == 1
    for name, data in llama.shards.items():
        assert sorted(asked.pop(name)) == ["bytes=0-7", f"bytes=8-{len(header_of(data)) - 1}"]
    assert asked == {}


def test_the_bytes_in_the_plan_are_those_that_passed_the_network(
    pod: Pod, llama: Model, store: SeaweedFS, proxy: CountingProxy
) -> None:
    assert pod.init(llama.uri, **through(proxy, store)).exit_code == 0
    reads = [request for request in proxy.requests if LISTING not in request.target]
    assert pod.plan.fetched.bytes == sum(request.body_bytes for request in reads)
    assert pod.plan.fetched.files == len(CONFIGURATION) + 1


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("uri", ["s3://models/llama", "s3://models/no-such-folder"])
def test_no_secret_rests_on_the_volume_or_in_the_log(
    pod: Pod, llama: Model, store: SeaweedFS, uri: str, log_format: str
) -> None:
    outcome = pod.init(uri, WELLHEAD_LOG_LEVEL="debug", WELLHEAD_LOG_FORMAT=log_format)
    assert outcome.exit_code == (0 if uri == llama.uri else 11)
    written = {
        "log": outcome.stderr.encode(),
        "termination message": outcome.message.encode(),
        **contents(pod.destination),
    }
    for secret in (store.reader_secret_access_key, store.reader_access_key_id, TOKEN):
        for form in (secret.encode(), base64.b64encode(secret.encode()), secret.encode().hex().encode()):
            assert not [name for name, data in written.items() if form in data]


def test_the_sealed_credentials_open_with_the_pods_token(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    assert pod.init(llama.uri).exit_code == 0
    sealed = (pod.destination / ".wellhead/credentials.sealed").read_bytes()
    secret = a(S3Secret, unseal(sealed, TOKEN.encode(), pod.plan.weights.uri))
    assert secret.access_key_id.get_secret_value() == store.reader_access_key_id
    assert secret.secret_access_key.get_secret_value() == store.reader_secret_access_key
    assert secret.session_token is None


def test_without_a_hand_over_the_engine_brings_its_own_credentials(pod: Pod, llama: Model) -> None:
    assert pod.init(llama.uri, WELLHEAD_HANDOFF="off").exit_code == 0
    assert (pod.plan.mode, pod.plan.credentials.handoff) == ("stream", "off")
    assert pod.own_files == ["plan.json"]


def test_every_line_of_a_json_log_is_an_object_with_time_level_and_message(pod: Pod, llama: Model) -> None:
    outcome = pod.init(llama.uri, WELLHEAD_LOG_LEVEL="debug", WELLHEAD_LOG_FORMAT="json")
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"]) for line in lines)
    assert f"stream {llama.uri}: s3:// can be streamed" in " ".join(line["message"] for line in lines)


def test_what_is_left_in_the_store_stands_in_the_plan_and_in_the_log(pod: Pod, model: Model) -> None:
    model.put("README.md", b"# a model")
    model.put("pytorch_model.bin", b"weights")
    model.put("original/consolidated.00.pth", b"weights")
    model.put(".gitattributes", b"*.bin filter=lfs")
    outcome = pod.init(model.uri)
    assert outcome.exit_code == 0, outcome.stderr
    assert {entry.name: entry.reason for entry in pod.plan.left} == {
        ".gitattributes": "housekeeping",
        "README.md": "documentation",
        "original/consolidated.00.pth": "another copy of the model in original/",
        "pytorch_model.bin": "PyTorch weights, next to the safetensors layout",
    }
    for entry in pod.plan.left:
        assert f"left in the store: {entry.name} ({entry.reason})" in outcome.stderr
    assert pod.files.keys() == model.files.keys()


def test_a_second_run_over_the_first_ones_volume_gives_the_same(pod: Pod, llama: Model) -> None:
    assert pod.init(llama.uri).exit_code == 0
    first, plan = pod.files, pod.plan
    assert pod.init(llama.uri).exit_code == 0
    assert pod.files == first
    assert pod.plan.model_copy(update={"phases": plan.phases}) == plan
    assert pod.own_files == ["credentials.sealed", "plan.json"]
