"""Stream or download: the truth table of modes, engine, wrapper and obstacles, every answer with its reasons."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_storage.credentials.azure import AzureConnection
from wellhead_storage.credentials.s3 import Identity, S3Connection
from wellhead_storage.decision import (
    decide,
    decide_local,
    obstacles_to_config,
    obstacles_to_connection,
    obstacles_to_layout,
    obstacles_to_store,
)
from wellhead_storage.errors import NotStreamable
from wellhead_storage.inventory import Inventory, Layout, Skipped
from wellhead_storage.settings import Mode, Settings
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.uri import parse

Engine = Literal["", "vllm"]
PLAIN, FORCED = "s3://models/llama", "runai_streamer://s3://models/llama"


def inventory(layout: Layout, *left: str) -> Inventory:
    skipped = tuple(Skipped(StoredObject(name, 1), "because") for name in left)
    return Inventory(layout=layout, weights=(), metadata=(), skipped=skipped)


# uri, mode, engine, obstacles → outcome ("refused" raises)
TABLE: list[tuple[str, Mode, Engine, list[str], str]] = [
    (PLAIN, "auto", "vllm", [], "stream"),
    (PLAIN, "auto", "vllm", ["A"], "download"),
    (PLAIN, "stream", "vllm", [], "stream"),
    (PLAIN, "stream", "vllm", ["A"], "refused"),
    (PLAIN, "auto", "", ["A"], "download"),
    (PLAIN, "stream", "", ["A"], "download"),  # a cluster-wide wish binds nobody who cannot follow it
    (FORCED, "auto", "vllm", [], "stream"),
    (FORCED, "auto", "", [], "stream"),
    (FORCED, "auto", "vllm", ["A"], "refused"),
    (FORCED, "auto", "", ["A"], "refused"),
    (FORCED, "download", "vllm", ["A"], "refused"),
    (FORCED, "download", "", [], "stream"),
    (FORCED, "stream", "", ["A"], "refused"),
]


@pytest.mark.parametrize(("text", "mode", "engine", "obstacles", "outcome"), TABLE)
def test_truth_table(text: str, mode: Mode, engine: Engine, obstacles: list[str], outcome: str) -> None:
    uri, settings = parse(text), Settings(mode=mode, engine=engine)
    if outcome == "refused":
        with pytest.raises(NotStreamable) as caught:
            decide(uri, settings, "safetensors", (), obstacles)
        assert caught.value.exit_code == 14
        assert caught.value.problem == "s3://models/llama cannot be streamed: A."
        assert ("runai_streamer://" in caught.value.hint) == (text == FORCED)
        return
    decision = decide(uri, settings, "safetensors", (), obstacles)
    assert decision.mode == outcome
    assert decision.reasons
    assert all(decision.reasons)
    if obstacles:
        assert decision.reasons == tuple(obstacles)


def test_all_obstacles_are_named() -> None:
    with pytest.raises(NotStreamable, match="cannot be streamed: A; B"):
        decide(parse(FORCED), Settings(), "none", (), ["A", "B"])
    assert decide(parse(PLAIN), Settings(engine="vllm"), "none", (), ["A", "B"]).reasons == ("A", "B")


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (PLAIN, "auto", "s3:// can be streamed"),
        (PLAIN, "stream", "mode stream was asked for"),
        (FORCED, "auto", "runai_streamer:// asks for streaming"),
        (FORCED, "stream", "runai_streamer:// asks for streaming"),
    ],
)
def test_why_it_streams(text: str, mode: Mode, reason: str) -> None:
    assert decide(parse(text), Settings(mode=mode, engine="vllm"), "safetensors", (), []).reasons[0] == reason


def test_a_download_that_was_asked_for_needs_no_other_reason() -> None:
    found = decide(parse(PLAIN), Settings(mode="download", engine="vllm"), "safetensors", (), [])
    assert (found.mode, found.reasons) == ("download", ("mode download was asked for",))
    forced = decide(parse(FORCED), Settings(mode="download", engine="vllm"), "safetensors", (), [])
    assert forced.mode == "stream"


@pytest.mark.parametrize("mode", ["auto", "stream", "download"])
def test_an_adapter_is_downloaded_whatever_the_mode(mode: Mode) -> None:
    """It comes as a second pair beside a model, with the model's mode in the same environment."""
    found = decide(parse(PLAIN), Settings(mode=mode, engine="vllm"), "adapter", (), ["it is a LoRA adapter"])
    assert found.mode == "download"
    with pytest.raises(NotStreamable):
        decide(parse(FORCED), Settings(mode=mode, engine="vllm"), "adapter", (), ["it is a LoRA adapter"])


@pytest.mark.parametrize(("mode", "obstacles"), [("auto", []), ("auto", ["A"]), ("download", [])])
def test_how_a_model_was_found_comes_first_among_the_reasons(mode: Mode, obstacles: list[str]) -> None:
    found = decide(parse(PLAIN), Settings(mode=mode, engine="vllm"), "safetensors", ("in a registry",), obstacles)
    assert found.reasons[0] == "in a registry"
    assert len(found.reasons) > 1


# Obstacles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "engine", "words"),
    [
        ("s3://models/llama", "vllm", None),
        ("gs://models/llama", "vllm", None),
        ("az://models/llama", "vllm", None),
        ("s3://models/llama", "", "wellhead.dev/engine: vllm"),
        ("runai_streamer://s3://models/llama", "", None),
        ("hf://org/model", "vllm", "hf:// cannot be streamed"),
        ("https://example.org/llama", "vllm", "https:// cannot be streamed"),
        ("hdfs://namenode/llama", "vllm", "hdfs:// cannot be streamed"),
        ("runai_streamer://hf://org/model", "vllm", "hf:// cannot be streamed"),
    ],
)
def test_obstacles_to_the_store(text: str, engine: Engine, words: str | None) -> None:
    found = obstacles_to_store(parse(text), Settings(engine=engine))
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


@given(st.sampled_from(get_args(Identity)), st.booleans(), st.booleans(), st.booleans())
def test_obstacles_to_the_connection(identity: Identity, handoff: bool, token: bool, verify: bool) -> None:
    link = S3Connection(identity=identity, verify_tls=verify)
    found = obstacles_to_connection(link, handoff=handoff, token=token)
    assert any("TLS verification" in obstacle for obstacle in found) == (not verify)
    cannot_seal = identity == "static" and handoff and not token
    assert any("no service-account token" in obstacle for obstacle in found) == cannot_seal
    assert len(found) == (not verify) + cannot_seal


# what differs from a key for the public cloud → the obstacle, if it is one
AZURE: list[tuple[AzureConnection, str | None]] = [
    (AzureConnection(account="account", identity="static"), None),
    (AzureConnection(account="account", identity="web-identity"), None),
    (AzureConnection(account="account", identity="ambient"), None),
    (AzureConnection(account="account", identity="static", suffix="blob.core.chinacloudapi.cn"), None),
    (AzureConnection(account="account", identity="anonymous"), "access is anonymous"),
    (AzureConnection(account="account", identity="static", endpoint_url="http://azurite:10000/x"), "AZURE_SERVICE_URL"),
]


@pytest.mark.parametrize(("link", "words"), AZURE)
def test_what_the_streamer_cannot_reach_at_azure(link: AzureConnection, words: str | None) -> None:
    found = obstacles_to_connection(link, handoff=True, token=True)
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


LAYOUTS: dict[Layout, str | None] = {
    "safetensors": None,
    "mistral": "Mistral's own layout",
    "pytorch": "PyTorch files",
    "gguf": "GGUF",
    "nested": "directly in the folder",
    "adapter": "LoRA adapter",
    "none": "no weight files",
}


@pytest.mark.parametrize("layout", get_args(Layout))
def test_only_safetensors_can_be_streamed(layout: Layout) -> None:
    found, words = obstacles_to_layout(inventory(layout)), LAYOUTS[layout]
    assert (found == []) if words is None else (len(found) == 1 and words in found[0])


def test_strays_would_be_streamed_as_well() -> None:
    found = obstacles_to_layout(inventory("safetensors", "consolidated.safetensors", "old.safetensors", "x.bin"))
    assert len(found) == 1
    assert "consolidated.safetensors" in found[0]
    assert "2 such files" in found[0]
    assert obstacles_to_layout(inventory("safetensors", "draft/model.safetensors", "pytorch_model.bin")) == []


CONFIGS: list[tuple[object, str | None]] = [
    (None, None),
    ([], None),
    ("text", None),
    ({}, None),
    ({"architectures": ["LlamaForCausalLM"]}, None),
    ({"architectures": None}, None),
    ({"architectures": "UltravoxModel"}, None),
    ({"architectures": [None, 7]}, None),
    ({"quantization_config": {"quant_method": "fp8"}}, None),
    ({"quantization_config": {"quant_method": "compressed-tensors"}}, None),
    ({"quantization_config": "torchao"}, None),
    ({"quantization_config": {"quant_method": "torchao"}}, "torchao"),
    ({"architectures": ["UltravoxModel"]}, "UltravoxModel"),
    ({"architectures": ["LlamaForCausalLM", "MoonshotKimiaForCausalLM"]}, "MoonshotKimia"),
    ({"architectures": ["XLMRobertaForSequenceClassification"]}, None),
    ({"architectures": ["BgeM3EmbeddingModel"]}, "BgeM3"),
]


@pytest.mark.parametrize(("config", "words"), CONFIGS)
def test_obstacles_to_the_config(config: object, words: str | None) -> None:
    found = obstacles_to_config(config)
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["architectures", "quantization_config", "quant_method"]), inner)
    ),
    max_leaves=5,
)


@given(JSON)
def test_any_config_is_survived(config: object) -> None:
    assert obstacles_to_config(config) == []


def architectures_that_read_more(models: Path) -> set[str]:
    """vLLM's registry entries whose class has weight files that only the default loader reads."""
    marks = {"secondary_weights", "allow_patterns_overrides"}
    classes = set()
    for path in models.glob("*.py"):
        source = path.read_text()
        if not any(mark in source for mark in marks):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(inner, ast.Assign)
                and any(getattr(target, "attr", getattr(target, "id", "")) in marks for target in inner.targets)
                for inner in ast.walk(node)
            ):
                classes.add((path.stem, node.name))
    entries = re.findall(r'"(\w+)": \(\s*"(\w+)",\s*"(\w+)",?\s*\)', (models / "registry.py").read_text())
    return {name for name, module, kind in entries if (module, kind) in classes}


def test_the_installed_vllm_has_no_other_models_that_read_more() -> None:
    """Nobody imports vLLM for this: its sources are read."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed")
    architectures = architectures_that_read_more(Path(found.origin).parent / "model_executor" / "models")
    assert "UltravoxModel" in architectures, "vLLM's sources look different now"
    assert {name for name in architectures if not obstacles_to_config({"architectures": [name]})} == set()


# Models of this container ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mode", "outcome"),
    [
        ("/mnt/models", "auto", "local"),
        ("/mnt/models", "stream", "local"),
        ("/mnt/models", "download", "download"),
        ("runai_streamer:///mnt/models", "auto", "local"),
        ("runai_streamer:///mnt/models", "download", "local"),
    ],
)
def test_local_models(text: str, mode: Mode, outcome: str) -> None:
    decision = decide_local(parse(text), Settings(mode=mode), inventory("safetensors"), ("in a registry",))
    assert decision.mode == outcome
    assert decision.reasons[0] == "in a registry"
    assert len(decision.reasons) > 1
    read_in_place = "mode stream was asked for, which they need not: they are read in place"
    assert (read_in_place in decision.reasons) == (mode == "stream")


def test_a_local_model_that_the_streamer_cannot_read() -> None:
    with pytest.raises(NotStreamable, match=r"file:///mnt/models cannot be streamed: .*PyTorch"):
        decide_local(parse("runai_streamer:///mnt/models"), Settings(), inventory("pytorch"), ())
    assert decide_local(parse("/mnt/models"), Settings(), inventory("pytorch"), ()).mode == "local"
