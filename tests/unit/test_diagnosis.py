"""Why did the engine die? Texts of vLLM 0.32, torch and the streamer 0.17, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_runtime.diagnosis import likely_cause

FILE_ACCESS = "Exception: Could not receive response from libstreamer due to: b'File access error'"
WORKER = "(EngineCore pid=211) ERROR 09-21 10:00:00 [core.py:900] "
# vLLM's own banners: written at every start, before anything went wrong.
BANNERS = (
    "(APIServer pid=1) INFO 09-21 10:00:00 [utils.py:233] non-default args: {'model': '/mnt/models', 'port': 8080, "
    "'trust_remote_code': True, 'load_format': 'runai_streamer'}",
    "(EngineCore pid=211) INFO 09-21 10:00:01 [core.py:97] Initializing a V1 LLM engine (v0.32.0) with config: "
    "model='/mnt/models', tokenizer='/mnt/models', skip_tokenizer_init=False, tokenizer_mode=auto, "
    "trust_remote_code=False, dtype=torch.bfloat16, max_seq_len=2048, load_format=runai_streamer, "
    "kv_cache_dtype=auto, device_config=cuda",
    "(EngineCore pid=211) INFO 09-21 10:00:09 [gpu_worker.py:298] Available KV cache memory: 12.34 GiB",
    "(EngineCore pid=211) INFO 09-21 10:00:09 [kv_cache_utils.py:1087] GPU KV cache size: 101,024 tokens",
    "(EngineCore pid=211) INFO 09-21 10:00:09 [kv_cache_utils.py:1091] Maximum concurrency for 2,048 tokens per "
    "request: 49.33x",
)

CAUSES: dict[str, tuple[str, str]] = {
    # Weights that arrive
    "no arrival": (
        "wellhead_runtime.overlap.arrivals.ArrivalError: The weights have stopped arriving: nothing for 190 s.",
        "the weights did not arrive: The weights have stopped arriving: nothing for 190 s",
    ),
    # The streamer
    "403": (f"[2026] ERROR http_status=403\n{FILE_ACCESS}", "the store refused the streamer's requests (403)"),
    "404": (f"http_status=404 retryable=0\n{FILE_ACCESS}", "an object vanished"),
    "503": (f"http_status=503\n{FILE_ACCESS}", "the store was overloaded"),
    "500": (f"http_status=500\n{FILE_ACCESS}", "the store was overloaded"),
    "virtual addressing": (f"AWS_IO_DNS_INVALID_NAME\n{FILE_ACCESS}", "could not resolve the store's host name"),
    "no such host": (f"aws error AWS_IO_DNS_QUERY_FAILED\n{FILE_ACCESS}", "could not resolve the store's host name"),
    "untrusted, C++": (f"AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE\n{FILE_ACCESS}", "TLS certificate was not trusted"),
    "untrusted, Python": (
        "botocore.exceptions.SSLError: SSL validation failed [SSL: CERTIFICATE_VERIFY_FAILED]",
        "TLS certificate was not trusted",
    ),
    "no CA file": ("Exception: … due to: b'CA bundle file not found'", "TLS certificate was not trusted"),
    "no credentials": (
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "no storage credentials reached the engine",
    ),
    "too slow": (f"AWS_ERROR_HTTP_CHANNEL_THROUGHPUT_FAILURE\n{FILE_ACCESS}", "too slow or were closed"),
    "closed": (f"aws-c-io: socket is closed\n{FILE_ACCESS}", "too slow or were closed"),
    "unexplained": (FILE_ACCESS, "the streamer could not read the weights"),
    "buffer": (
        "runai_model_streamer.…RunaiStreamerMemoryLimitException: Memory limit supplied: 1 cannot be smaller than: 2",
        "buffer is smaller than the largest tensor",
    ),
    "no streamer": ("ImportError: Please install vllm[runai] for runai support", "lacks the Run:ai streamer"),
    "no module": ("ModuleNotFoundError: No module named 'runai_model_streamer'", "lacks the Run:ai streamer"),
    "no plugin": ("ImportError: S3 files module not found. Please install the required package.", "lacks the Run:ai"),
    "no S3": ("Exception: … due to: b'S3 not supported'", "lacks the Run:ai streamer"),
    # Memory
    "CUDA memory": (
        f"{WORKER}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA out of memory",
    ),
    "KV cache, nothing left": (
        f"{WORKER}ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when",
        "no room for the KV cache",
    ),
    "KV cache, too little": (
        f"{WORKER}ValueError: To serve at least one request with the model's max seq len (131072), (16.00 GiB KV cache "
        "is needed, which is larger than the available KV cache memory (4.12 GiB). Based on the available memory, …",
        "no room for the KV cache",
    ),
    "memory, torch": (
        "RuntimeError: [enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 99 bytes.",
        "the container ran out of memory",
    ),
    "memory, Python": ("Traceback (most recent call last):\nMemoryError", "the container ran out of memory"),
    # vLLM
    "no device": ("RuntimeError: Failed to infer device type, please set the environment …", "vLLM found no device"),
    "no GPU": ("RuntimeError: No CUDA GPUs are available", "vLLM found no device"),
    "no driver": (
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "vLLM found no device",
    ),
    "port": ("OSError: [Errno 98] Address already in use", "the port is taken"),
    "own code, config": (
        "RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the "
        "HuggingFace transformers library, consider setting `trust_remote_code=True` in LLM or using the "
        "`--trust-remote-code` flag in the CLI.",
        "the model brings its own code",
    ),
    "own code, tokenizer": (
        "ValueError: The repository /mnt/models contains custom code which must be executed to "
        "correctly load the model. "
        "You can inspect the repository content at /mnt/models .\n"
        "Please pass the argument `trust_remote_code=True` to allow custom code to be run.",
        "the model brings its own code",
    ),
    "unknown architecture": (
        "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: …",
        "does not know the model's architecture",
    ),
    "broken architecture": (
        "ValueError: Model architectures ['FooForCausalLM'] failed to be inspected. Please check the logs for details.",
        "does not know the model's architecture",
    ),
    "old architecture": (
        "ValueError: Model architecture Foo was supported in vLLM until v0.9, and is not supported anymore.",
        "does not know the model's architecture",
    ),
    "no weights, streamer": (
        "RuntimeError: Cannot find any safetensors model weights with `s3://models/llama`",
        "vLLM found no weights",
    ),
    "no weights, directory": (
        "RuntimeError: Cannot find any model weights with `/mnt/models`",
        "vLLM found no weights",
    ),
    "bad option": (
        "usage: vllm [-h]\nvllm: error: unrecognized arguments: --nonsense",
        "vLLM refused its arguments: unrecognized arguments: --nonsense",
    ),
}


@pytest.mark.parametrize("case", CAUSES)
def test_causes(case: str) -> None:
    text, expected = CAUSES[case]
    cause, hint = likely_cause(text.splitlines())
    assert expected in cause
    assert not cause.endswith("."), "the sentence goes on"
    assert hint.endswith(".")


@pytest.mark.parametrize("case", CAUSES)
def test_banners_of_the_start_change_nothing(case: str) -> None:
    text, _ = CAUSES[case]
    assert likely_cause([*BANNERS, *text.splitlines()]) == likely_cause(text.splitlines())


def test_causes_have_different_hints() -> None:
    found = {likely_cause(text.splitlines()) for text, _ in CAUSES.values()}
    assert len({hint for _, hint in found}) == len({cause for cause, _ in found})


LAST_WORDS = {
    "ValueError: something odd.": "ValueError: something odd",
    f"{WORKER}AssertionError: 3 != 4": "AssertionError: 3 != 4",
    "(APIServer pid=1) RuntimeError: Engine core initialization failed.": (
        "RuntimeError: Engine core initialization failed"
    ),
    "Exception": "Exception",
    "(APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig": (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig"
    ),
    "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name'": (
        "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name'"
    ),
    "ERROR 09-21 10:00:00 [core.py:9] KeyError: 'x'": "KeyError: 'x'",
}


@pytest.mark.parametrize(("line", "words"), LAST_WORDS.items())
def test_the_last_exception_is_quoted_where_the_cause_is_unknown(line: str, words: str) -> None:
    lines = [*BANNERS, "TypeError: an earlier one", line, "  File x.py", "[rank0]: bye"]
    assert likely_cause(lines) == (words, "Its log above has the details.")


POINTER = (
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)


def test_the_root_cause_is_quoted_and_not_the_pointer_to_it() -> None:
    """vLLM's API server always has the last word, and it says nothing."""
    root = f"{WORKER}KeyError: 'model.layers.0.weight'"
    assert likely_cause([root, POINTER])[0] == "KeyError: 'model.layers.0.weight'"
    dead = (
        "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. "
        "See stack trace (above) for the root cause."
    )
    assert likely_cause([root, dead])[0] == "KeyError: 'model.layers.0.weight'"
    assert likely_cause([POINTER])[0].startswith("RuntimeError: Engine core initialization failed")


def test_no_reason() -> None:
    for lines in ([], [""], ["hello", "NoErrorHere: x"], list(BANNERS)):
        assert likely_cause(lines) == ("it gave no reason", "Its log above has the details.")


def test_the_specific_cause_wins_over_what_it_leads_to() -> None:
    lines = ["http_status=403", FILE_ACCESS, "RuntimeError: Engine core initialization failed. See root cause above."]
    assert "(403)" in likely_cause(lines)[0]


def test_long_texts_are_cut() -> None:
    assert len(likely_cause([f"ValueError: {'x' * 5000}"])[0]) <= 300
    assert len(likely_cause([f"vllm: error: {'x' * 5000}"])[0]) <= 350


@given(st.lists(st.text()))
def test_any_output_has_an_answer(lines: list[str]) -> None:
    cause, hint = likely_cause(lines)
    assert cause
    assert hint
