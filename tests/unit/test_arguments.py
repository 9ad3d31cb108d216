"""vLLM's command line as far as Wellhead has a say in it; everything else passes through untouched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_runtime.arguments import EXTRA_CONFIG, EngineArguments, is_uri, looks_like_path_or_uri, parse_arguments
from wellhead_storage.errors import ArgumentConflict

# How KServe and llm-d really call it: the lines of the golden Deployments behind `vllm`/`wellhead serve`, evaluated
# by the shell with empty variables.
KSERVE_ISVC = ["--port=8080", "--served-model-name=s3-secret-full", "--model=/mnt/models"]
KSERVE_HTML = [
    *KSERVE_ISVC,
    "--a={&#39;k&#39;: &#39;a&#43;b&amp;c&#39;}",
    "--b=",
    "--c=",
    '--d={"x": 1}',
    "--e=<a>&b",
]
LLM_S3 = [
    "/mnt/models",
    "--served-model-name",
    "llama",
    "publishers/team-a/models/llama",
    "--port",
    "8000",
    "--tensor-parallel-size",
    "2",
    "--max-model-len=8192",
]
LLM_SELF = ["/mnt/models", "--served-model-name", "llama", "publishers/team-a/models/llama", "--port", "8000"]
LLM_PREFILL = ["/mnt/models", "--served-model-name", "llama", "--port", "8000"]
LLM_LEADER = [
    *LLM_SELF,
    "--api-server-count",
    "8",
    "--tensor-parallel-size",
    "1",
    "--data-parallel-size",
    "4",
    "--data-parallel-size-local",
    "2",
    "--data-parallel-address",
    "10.0.0.1",
    "--data-parallel-rpc-port",
    "5555",
    "--data-parallel-start-rank",
    "0",
]
LLM_WORKER = [
    *LLM_SELF,
    "--tensor-parallel-size",
    "1",
    "--data-parallel-size",
    "4",
    "--data-parallel-size-local",
    "2",
    "--data-parallel-address",
    "10.0.0.1",
    "--data-parallel-rpc-port",
    "5555",
    "--data-parallel-start-rank",
    "2",
    "--headless",
]
GOLDEN: dict[str, tuple[list[str], int]] = {
    "InferenceService": (KSERVE_ISVC, 1),
    "InferenceService, escaped": (KSERVE_HTML, 1),
    "LLMInferenceService": (LLM_S3, 2),
    "LLMInferenceService, gs": (LLM_SELF, 1),
    "LLMInferenceService, prefill": (LLM_PREFILL, 1),
    "LeaderWorkerSet, leader": (LLM_LEADER, 1),
    "LeaderWorkerSet, worker": (LLM_WORKER, 1),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_the_calls_of_kserve_and_llm_d(case: str) -> None:
    argv, ranks = GOLDEN[case]
    found = parse_arguments(argv)
    assert found.model == "/mnt/models"
    assert (found.load_format, found.extra_config) == (None, {})
    assert found.rest == tuple(word for word in argv if word not in {"/mnt/models", "--model=/mnt/models"})
    assert found.tensor_parallel == ranks
    assert found.has("--headless") == (case == "LeaderWorkerSet, worker")
    assert found.has("--served-model-name")


@pytest.mark.parametrize(
    "argv",
    [
        ["/mnt/models"],
        ["--model", "/mnt/models"],
        ["--model=/mnt/models"],
        ["/mnt/models", "--model=/mnt/models"],
        ["/mnt/models", "--model", "/mnt/models/"],
        ["--model=/mnt/models", "--model=/mnt/models"],
    ],
)
def test_the_model_in_every_spelling(argv: list[str]) -> None:
    found = parse_arguments([*argv, "--port", "8080"])
    assert found.model is not None
    assert found.model.rstrip("/") == "/mnt/models"
    assert found.rest == ("--port", "8080")


POSITIONS: dict[str, tuple[list[str], str | None]] = {
    "a Hugging Face id first": (["org/model", "--port", "8080"], "org/model"),
    "a URI first": (["s3://models/llama", "--port", "8080"], "s3://models/llama"),
    "a path behind --option=value": (["--port=8080", "/mnt/models"], "/mnt/models"),
    "a path behind a value": (["--port", "8080", "/mnt/models", "--headless"], "/mnt/models"),
    "a URI behind --option=value": (["--port=8080", "s3://models/llama"], "s3://models/llama"),
    "a path that is an option's value": (["--chat-template", "/templates/x.jinja"], None),
    "a word behind options": (["--served-model-name=x", "org/model"], None),
    "nothing": ([], None),
    "only options": (["--port=8080"], None),
}


@pytest.mark.parametrize("case", POSITIONS)
def test_a_positional_model(case: str) -> None:
    argv, model = POSITIONS[case]
    found = parse_arguments(argv)
    assert found.model == model
    assert [*found.rest].count(model or "") == 0, "it is taken out"
    assert len(found.rest) == len(argv) - (model is not None)


def test_a_path_in_the_rest_is_no_second_model() -> None:
    found = parse_arguments(["--model=/mnt/models", "--allowed-origins=a", "/elsewhere"])
    assert found.model == "/mnt/models"
    assert found.rest == ("--allowed-origins=a", "/elsewhere")


@pytest.mark.parametrize(
    "argv",
    [
        ["/mnt/models", "--model=/mnt/other"],
        ["--model=/mnt/models", "--model", "/mnt/other"],
        ["org/model", "--model=/mnt/models"],
    ],
)
def test_two_models(argv: list[str]) -> None:
    with pytest.raises(ArgumentConflict, match="The model is named twice") as caught:
        parse_arguments(argv)
    assert caught.value.exit_code == 18


# --load-format ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["--load-format", "runai_streamer"],
        ["--load-format=runai_streamer"],
        ["--load_format=runai_streamer"],
        ["--load_format", "RUNAI_STREAMER"],
        ["--load-format", "auto", "--load-format=runai_streamer"],
    ],
)
def test_load_format_in_every_spelling(argv: list[str]) -> None:
    found = parse_arguments(["/mnt/models", *argv, "--port=1"])
    assert (found.load_format, found.rest) == ("runai_streamer", ("--port=1",))


# The extra config ------------------------------------------------------------------------------------------------

EXTRA: dict[str, tuple[list[str], dict[str, object]]] = {
    "behind": ([EXTRA_CONFIG, '{"concurrency": 8}'], {"concurrency": 8}),
    "inline": ([f'{EXTRA_CONFIG}={{"concurrency": 8}}'], {"concurrency": 8}),
    "underscores": (['--model_loader_extra_config={"concurrency": 8}'], {"concurrency": 8}),
    "dotted": ([f"{EXTRA_CONFIG}.concurrency", "8"], {"concurrency": 8}),
    "dotted inline": ([f"{EXTRA_CONFIG}.concurrency=8"], {"concurrency": 8}),
    "dotted with underscores": (["--model_loader_extra_config.memory_limit=8"], {"memory_limit": 8}),
    "dotted with a dash in the key": ([f"{EXTRA_CONFIG}.memory-limit=8"], {"memory_limit": 8}),
    "dotted, true": ([f"{EXTRA_CONFIG}.distributed=true"], {"distributed": True}),
    "dotted, text": ([f"{EXTRA_CONFIG}.pattern=model-{{rank}}"], {"pattern": "model-{rank}"}),
    "several merge, the last one wins": (
        [f'{EXTRA_CONFIG}={{"concurrency": 8, "distributed": true}}', f"{EXTRA_CONFIG}.concurrency", "4"],
        {"concurrency": 4, "distributed": True},
    ),
    "empty": ([f"{EXTRA_CONFIG}={{}}"], {}),
}


@pytest.mark.parametrize("case", EXTRA)
def test_extra_config(case: str) -> None:
    argv, expected = EXTRA[case]
    found = parse_arguments(["/mnt/models", *argv, "--port=1"])
    assert (found.extra_config, found.rest) == (expected, ("--port=1",))


@pytest.mark.parametrize("value", ["", "8", "[]", "null", "{concurrency: 8}", "text"])
def test_an_extra_config_that_is_no_object(value: str) -> None:
    with pytest.raises(ArgumentConflict, match="is not a JSON object"):
        parse_arguments(["/mnt/models", f"{EXTRA_CONFIG}={value}"])


@pytest.mark.parametrize("option", ["--model", "--load-format", "--load_format", EXTRA_CONFIG, f"{EXTRA_CONFIG}.x"])
def test_an_option_without_its_value(option: str) -> None:
    with pytest.raises(ArgumentConflict, match=f"^{option} has no value"):
        parse_arguments(["--port=1", option])


# Questions about the rest ----------------------------------------------------------------------------------------

RANKS: list[tuple[list[str], int]] = [
    ([], 1),
    (["--tensor-parallel-size", "4"], 4),
    (["--tensor-parallel-size=4"], 4),
    (["--tensor_parallel_size=4"], 4),
    (["-tp", "4"], 4),
    (["-tp=4"], 4),
    (["-tp", "2", "--tensor-parallel-size=4"], 4),
    (["--tensor-parallel-size", "auto"], 1),
    (["--tensor-parallel-size", "0"], 1),
    (["--tensor-parallel-size", "-2"], 1),
    (["--tensor-parallel-size="], 1),
    (["--tensor-parallel-size"], 1),
    (["--pipeline-parallel-size", "4"], 1),
]


@pytest.mark.parametrize(("argv", "ranks"), RANKS)
def test_tensor_parallel(argv: list[str], ranks: int) -> None:
    found = parse_arguments(["/mnt/models", *argv])
    assert found.tensor_parallel == ranks
    assert found.rest == tuple(argv)


def test_values_and_presence() -> None:
    found = parse_arguments(["/mnt/models", "--served-model-name", "llama", "b", "--max_num_seqs=8", "--headless"])
    assert found.value("--served-model-name") == "llama"
    assert found.value("--max-num-seqs") == "8"
    assert found.value("--port") is None
    assert found.has("--headless")
    assert found.has("--max-num-seqs")
    assert not found.has("--served")


@pytest.mark.parametrize(
    ("text", "ours", "uri"),
    [
        ("/mnt/models", True, False),
        ("./model", True, False),
        ("../model", True, False),
        ("s3://models/llama", True, True),
        ("runai_streamer:///mnt/models", True, True),
        ("HF://org/model", True, True),
        ("file:///mnt/models", True, False),
        ("FILE:///mnt/models", True, False),
        ("org/model", False, False),
        ("model", False, False),
        ("", False, False),
    ],
)
def test_whose_business_a_model_is(text: str, ours: bool, uri: bool) -> None:
    assert looks_like_path_or_uri(text) is ours
    assert is_uri(text) is uri


# Any command line ------------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(
        ["--port", "--headless", "-tp", "--a=b", "--a.b", "/x", "s3://a/b", "--", "-", "=", "--=", "--model_x"]
    ),
    st.text(max_size=6),
)
OURS = ("--model", "--load-format", EXTRA_CONFIG)


def is_ours(word: str) -> bool:
    return word.replace("_", "-").partition("=")[0].partition(".")[0] in OURS


@given(st.lists(WORDS, max_size=8))
def test_everything_else_passes_through_in_order(words: list[str]) -> None:
    words = [word for word in words if not is_ours(word)]
    found = parse_arguments(["--model=/mnt/models", *words])
    assert found == EngineArguments("/mnt/models", None, {}, tuple(words))


@given(
    st.lists(WORDS | st.sampled_from([*OURS, "--model=/x", f"{EXTRA_CONFIG}.k=1", f"{EXTRA_CONFIG}={{}}"]), max_size=8)
)
def test_any_command_line_is_understood_or_refused(words: list[str]) -> None:
    try:
        found = parse_arguments(words)
    except ArgumentConflict as error:
        assert error.hint
    else:
        assert not [word for word in found.rest if is_ours(word) and word.startswith("--")]
        json.dumps(found.extra_config)
