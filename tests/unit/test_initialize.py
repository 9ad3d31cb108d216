"""`wellhead init` from one URI to a prepared folder, over a store in memory and over this machine's files."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.checkpoint import tiny_checkpoint
from tests.support.expect import a
from tests.unit.memory_store import MemoryStore, of_folder
from wellhead_storage import initialize as initializing
from wellhead_storage import source as module
from wellhead_storage.credentials.s3 import S3Connection, S3Secret, s3_credentials
from wellhead_storage.credentials.seal import unseal
from wellhead_storage.errors import (
    AccessDenied,
    IncompleteCheckpoint,
    InsufficientSpace,
    InvalidConfiguration,
    InvalidUri,
    NotStreamable,
    ObjectNotFound,
    StoreUnavailable,
    UnreadablePlan,
)
from wellhead_storage.handoff import sealed_path
from wellhead_storage.initialize import initialize
from wellhead_storage.plan import Plan, read_plan
from wellhead_storage.settings import read_settings
from wellhead_storage.stores.opening import Opened, open_store

URI = "s3://models/llama"
FORCED = f"runai_streamer://{URI}"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "wJal", "AWS_ENDPOINT_URL": "http://minio:9000"}
VLLM = {"WELLHEAD_ENGINE": "vllm"}


class Prepare(NamedTuple):
    """Calls `prepare` as the command would, with everything in a temporary folder."""

    destination: Path
    store: MemoryStore
    token: Path
    run: Callable[..., Plan | None]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    store = MemoryStore(of_folder(tiny_checkpoint(tmp_path / "source", shards=2, tensor_bytes=2048)))
    store.content["README.md"] = b"# read me"
    token = tmp_path / "token"
    token.write_text("the token")
    monkeypatch.setattr(
        module,
        "open_store",
        lambda uri, environment, settings: (
            Opened(store, s3_credentials(environment, uri.parameters))
            if uri.kind == "s3"
            else open_store(uri, environment, settings)
        ),
    )

    def run(source: str = URI, **variables: str) -> Plan | None:
        environment = KEYS | VLLM | {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(token)}
        environment |= {name if name.isupper() else name.upper(): value for name, value in variables.items()}
        [plan] = initialize([(source, tmp_path / "models")], read_settings(environment), environment)
        return plan

    return Prepare(tmp_path / "models", store, token, run)


def files(folder: Path) -> dict[str, bytes]:
    """What an engine sees."""
    return {name: data for name, data in of_folder(folder).items() if not name.startswith(".wellhead/")}


def ours(folder: Path) -> list[str]:
    return sorted(name for name in of_folder(folder) if name.startswith(".wellhead/"))


# Streaming -------------------------------------------------------------------------------------------------------


def test_stream(made: Prepare) -> None:
    plan = made.run()
    assert plan is not None
    assert plan == read_plan(made.destination)
    assert plan.mode == "stream"
    assert plan.uri == plan.resolved == plan.weights.uri == URI
    assert [file.name for file in plan.weights.files] == [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    assert {file.name: (file.size, file.etag) for file in plan.weights.files} == {
        item.name: (item.size, item.etag) for item in made.store.objects() if item.name.endswith(".safetensors")
    }
    assert plan.weights.total_bytes == sum(file.size for file in plan.weights.files)
    assert (plan.weights.largest_tensor_bytes, plan.weights.tensors, plan.weights.dtypes) == (2048, 6, {"BF16": 6})
    assert plan.connection is not None
    assert plan.connection.endpoint_url == "http://minio:9000"
    assert {left.name for left in plan.left} == {"README.md"}
    assert {"list", "survey", "publish"} <= set(plan.phases)
    assert all(0 <= seconds < 30 for seconds in plan.phases.values())


def test_a_streamed_model_has_metadata_and_header_only_shards(made: Prepare) -> None:
    """vLLM reads dtypes and names of tensors from the headers in its folder."""
    made.run()
    seen = files(made.destination)
    assert set(seen) == set(made.store.content) - {"README.md"}
    for name, data in seen.items():
        whole = made.store.content[name]
        assert whole.startswith(data)
        assert (len(data) < len(whole)) == name.endswith(".safetensors")


def test_fetched_bytes_are_counted(made: Prepare) -> None:
    plan = made.run()
    assert plan is not None
    assert plan.fetched.bytes == made.store.bytes_read() == sum(map(len, files(made.destination).values()))
    assert plan.fetched.files == len(files(made.destination)) - 2, "shards are left in the store"


def test_credentials_are_sealed_to_the_weights(made: Prepare) -> None:
    plan = made.run()
    assert plan is not None
    assert (plan.credentials.handoff, plan.credentials.identity) == ("sealed", "static")
    secret = unseal(sealed_path(made.destination).read_bytes(), b"the token", URI)
    assert a(S3Secret, secret).secret_access_key.get_secret_value() == "wJal"


def test_the_query_is_kept_in_the_plan_and_out_of_the_weights(made: Prepare) -> None:
    plan = made.run(f"{URI}?region=eu-7")
    assert plan is not None
    assert (plan.uri, plan.weights.uri, a(S3Connection, plan.connection).region) == (f"{URI}?region=eu-7", URI, "eu-7")


@pytest.mark.parametrize("variables", [{}, {"WELLHEAD_ENGINE": ""}, {"WELLHEAD_MODE": "download"}])
def test_the_wrapper_streams_whatever_else_is_said(made: Prepare, variables: dict[str, str]) -> None:
    plan = made.run(FORCED, **variables)
    assert plan is not None
    assert (plan.mode, plan.loader, plan.weights.uri, plan.uri) == ("stream", "runai_streamer", URI, FORCED)


@pytest.mark.parametrize(("mode", "words"), [("auto", "of weights to stream"), ("download", "of weights in place")])
def test_the_last_line_says_what_became_of_the_weights(
    made: Prepare, wellhead_log: pytest.LogCaptureFixture, mode: str, words: str
) -> None:
    made.run(WELLHEAD_MODE=mode)
    last = wellhead_log.messages[-1]
    assert last.startswith(f"ready: {made.destination}, ")
    assert last.endswith(words)


# Downloading -----------------------------------------------------------------------------------------------------


def test_download(made: Prepare) -> None:
    plan = made.run(WELLHEAD_MODE="download")
    assert plan is not None
    assert plan == read_plan(made.destination)
    assert (plan.mode, plan.reasons) == ("download", ("mode download was asked for",))
    assert plan.weights.uri == str(made.destination)
    assert (plan.connection, plan.credentials.handoff) == (None, "none")
    content = dict(made.store.content)
    del content["README.md"]
    assert files(made.destination) == content
    assert ours(made.destination) == [".wellhead/manifest.json", ".wellhead/plan.json"], "nothing sealed or partial"


def pytorch(content: dict[str, bytes]) -> None:
    for name in [name for name in content if name.startswith("model")]:
        del content[name]
    content["pytorch_model.bin"] = b"x" * 5000


OBSTACLES: dict[str, tuple[Callable[[dict[str, bytes]], object], dict[str, str], str]] = {
    "PyTorch files": (pytorch, {}, "only safetensors can be streamed"),
    "a stray": (
        lambda content: content.update({"consolidated.safetensors": b"x"}),
        {},
        "lies beside the chosen shards",
    ),
    "torchao": (
        lambda content: content.update({"config.json": b'{"quantization_config": {"quant_method": "torchao"}}'}),
        {},
        "torchao",
    ),
    "no token": (lambda content: None, {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": "/no/token"}, "no service-account token"),
    "no TLS verification": (lambda content: None, {"S3_VERIFY_SSL": "0"}, "TLS verification"),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_what_cannot_be_streamed_is_downloaded_and_says_why(
    made: Prepare, wellhead_log: pytest.LogCaptureFixture, case: str
) -> None:
    change, variables, words = OBSTACLES[case]
    change(made.store.content)
    plan = made.run(**variables)
    assert plan is not None
    assert plan.mode == "download"
    assert any(words in reason for reason in plan.reasons)
    assert words in wellhead_log.text


@pytest.mark.parametrize("case", OBSTACLES)
@pytest.mark.parametrize(("source", "mode"), [(URI, "stream"), (FORCED, "auto")])
def test_where_streaming_is_demanded_it_is_an_error(made: Prepare, case: str, source: str, mode: str) -> None:
    change, variables, words = OBSTACLES[case]
    change(made.store.content)
    with pytest.raises(NotStreamable, match=re.escape(words)):
        made.run(source, WELLHEAD_MODE=mode, **variables)
    assert of_folder(made.destination) == {}


def test_no_token_is_needed_where_nothing_is_handed_over(made: Prepare) -> None:
    plan = made.run(WELLHEAD_HANDOFF="off", WELLHEAD_SERVICE_ACCOUNT_TOKEN="/no/token")
    assert plan is not None
    assert (plan.mode, plan.credentials.handoff) == ("stream", "off")
    assert ours(made.destination) == [".wellhead/plan.json"]


# Other engines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "stream", "download"])
def test_an_engine_that_reads_no_plan_gets_what_the_stock_initializer_leaves(made: Prepare, mode: str) -> None:
    made.store.content |= {"onnx/model.onnx": b"onnx", ".wellhead/plan.json": b"{}", ".gitattributes": b"x"}
    assert made.run(WELLHEAD_ENGINE="", WELLHEAD_MODE=mode) is None
    content = dict(made.store.content)
    del content[".wellhead/plan.json"]
    assert of_folder(made.destination) == content, "everything, and nothing of ours"


def test_other_engines_get_incomplete_checkpoints_too(made: Prepare) -> None:
    """What scikit-learn keeps in safetensors is none of our business."""
    del made.store.content["model-00002-of-00002.safetensors"]
    assert made.run(WELLHEAD_ENGINE="") is None


# Failures: nothing is published ----------------------------------------------------------------------------------


def test_an_incomplete_checkpoint(made: Prepare) -> None:
    del made.store.content["model-00002-of-00002.safetensors"]
    with pytest.raises(IncompleteCheckpoint):
        made.run()
    assert of_folder(made.destination) == {}


@pytest.mark.parametrize("engine", ["vllm", ""])
@pytest.mark.parametrize("name", ["config.json", "model-00002-of-00002.safetensors"])
def test_an_object_that_cannot_be_read(made: Prepare, engine: str, name: str) -> None:
    made.store.broken[name] = AccessDenied("No.")
    with pytest.raises(AccessDenied):
        made.run(WELLHEAD_ENGINE=engine, WELLHEAD_MODE="download")
    assert files(made.destination) == {}
    assert not {".wellhead/plan.json", ".wellhead/manifest.json", ".wellhead/lock"} & set(ours(made.destination))
    made.store.broken.clear()
    made.run(WELLHEAD_ENGINE=engine, WELLHEAD_MODE="download")
    assert files(made.destination)[name] == made.store.content[name]


def test_too_little_space(made: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=5000))
    with pytest.raises(InsufficientSpace, match="The model needs"):
        made.run(WELLHEAD_MODE="download")
    assert files(made.destination) == {}
    assert made.run() is not None, "streaming needs almost none"


def test_an_empty_folder(made: Prepare) -> None:
    made.store.content.clear()
    with pytest.raises(ObjectNotFound):
        made.run()


# Again -----------------------------------------------------------------------------------------------------------


def test_a_second_run_replaces_the_first(made: Prepare) -> None:
    made.run()
    plan = made.run(WELLHEAD_MODE="download")
    assert plan == read_plan(made.destination)
    assert ours(made.destination) == [".wellhead/manifest.json", ".wellhead/plan.json"], "credentials are gone"
    assert (
        files(made.destination)["model-00001-of-00002.safetensors"]
        == made.store.content["model-00001-of-00002.safetensors"]
    )


def test_a_plan_of_an_earlier_run_does_not_survive_a_failure(made: Prepare) -> None:
    made.run()
    made.store.broken["config.json"] = StoreUnavailable("Gone.")
    with pytest.raises(StoreUnavailable):
        made.run(WELLHEAD_RETRY_TIMEOUT="0")
    assert not {".wellhead/plan.json", ".wellhead/credentials.sealed"} & set(ours(made.destination))


def test_a_damaged_plan_of_an_earlier_run_is_no_obstacle(made: Prepare) -> None:
    made.run()
    (made.destination / ".wellhead" / "plan.json").write_text("damaged")
    with pytest.raises(UnreadablePlan):
        read_plan(made.destination)
    made.run()
    assert read_plan(made.destination) is not None


# Several folders -------------------------------------------------------------------------------------------------


def test_several_pairs(made: Prepare, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"x" * 10)
    environment = KEYS | VLLM | {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(made.token)}
    folders = [tmp_path / "models", tmp_path / "lora" / "sql"]
    pairs = [(URI, folders[0]), (str(tmp_path / "adapter"), folders[1])]
    plans = initialize(pairs, read_settings(environment), environment)
    assert [plan and (plan.mode, plan.weights.layout) for plan in plans] == [
        ("stream", "safetensors"),
        ("local", "adapter"),
    ]
    assert [read_plan(folder) for folder in folders] == plans


def test_the_failing_one_of_several_is_named(made: Prepare, tmp_path: Path) -> None:
    environment = KEYS | VLLM
    pairs = [("/no/such/model", tmp_path / "a"), (URI, tmp_path / "b")]
    with pytest.raises(ObjectNotFound, match=f"^For {tmp_path}/a: "):
        initialize(pairs, read_settings(environment), environment)
    assert not (tmp_path / "b" / "config.json").exists() or read_plan(tmp_path / "b") is not None
    with pytest.raises(ObjectNotFound) as caught:
        initialize(pairs[:1], read_settings(environment), environment)
    assert not caught.value.problem.startswith("For "), "a single one needs no name"


def test_one_that_is_being_published_while_another_fails_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed, published = threading.Event(), []

    def prepare(source: str, destination: Path, *_: object) -> None:
        if source == "failing":
            failed.set()
            raise ObjectNotFound("It is not there.")
        failed.wait(10)
        time.sleep(0.5)
        published.append(destination)

    monkeypatch.setattr(initializing, "prepare", prepare)
    with pytest.raises(ObjectNotFound, match=f"For {tmp_path}/b: It is not there"):
        initialize([("whole", tmp_path / "a"), ("failing", tmp_path / "b")], read_settings({}), {})
    assert published == [tmp_path / "a"]


def test_one_folder_for_two_models_is_refused(made: Prepare, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=f"{tmp_path}/a is the folder of two models"):
        initialize([(URI, tmp_path / "a"), (URI, tmp_path / "a")], read_settings(KEYS), KEYS)
    assert made.store.reads == []


def test_a_bad_uri_touches_nothing(made: Prepare) -> None:
    with pytest.raises(InvalidUri):
        made.run("ftp://models/llama")
    assert not made.destination.exists()


# Models of this machine ------------------------------------------------------------------------------------------


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "local", shards=2, tensor_bytes=256)


def test_a_local_model_is_linked(made: Prepare, local: Path) -> None:
    plan = made.run(str(local))
    assert plan is not None
    assert (plan.mode, plan.weights.uri, plan.credentials.handoff) == ("local", str(made.destination), "none")
    assert files(made.destination) == of_folder(local)
    for path in made.destination.iterdir():
        if path.suffix == ".safetensors":
            assert path.readlink() == local / path.name
        else:
            assert not path.is_symlink()


def test_a_local_model_is_linked_again(made: Prepare, local: Path) -> None:
    made.run(str(local))
    assert made.run(f"file://{local}") is not None
    assert files(made.destination) == of_folder(local)


def test_a_local_model_is_copied_where_that_was_asked_for(made: Prepare, local: Path) -> None:
    plan = made.run(str(local), WELLHEAD_MODE="download")
    assert plan is not None
    assert plan.mode == "download"
    assert files(made.destination) == of_folder(local)
    assert not any(path.is_symlink() for path in made.destination.iterdir())


def test_a_local_model_for_the_streamer(made: Prepare, local: Path) -> None:
    plan = made.run(f"runai_streamer://{local}")
    assert plan is not None
    assert (plan.mode, plan.loader) == ("local", "runai_streamer")


def test_a_single_local_file(made: Prepare, tmp_path: Path) -> None:
    (tmp_path / "q4.gguf").write_bytes(b"gguf")
    plan = made.run(str(tmp_path / "q4.gguf"))
    assert plan is not None
    assert (plan.weights.layout, [file.name for file in plan.weights.files]) == ("gguf", ["q4.gguf"])
    assert (made.destination / "q4.gguf").read_bytes() == b"gguf"


def test_the_plan_on_disk_is_json_for_everybody(made: Prepare) -> None:
    made.run()
    document = json.loads((made.destination / ".wellhead" / "plan.json").read_text())
    assert document["mode"] == "stream"
