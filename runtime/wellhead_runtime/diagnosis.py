"""Why did the engine die? Its last lines → one sentence and what to do. Pure.

Texts as written by vLLM 0.32, torch and the Run:ai streamer 0.17 (vllm-and-streamer.md 11). The first match in this
order wins: the most specific causes come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        (
            r"An error occurred \((?P<code>InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|ExpiredToken|403)"
            r"\) when calling"
        ),
        "the store refused to list the weights",
        "Check the credentials of the engine's container; its own win over those of the initializer.",
    ),
    (
        r"An error occurred \((?P<code>NoSuchBucket|404)\) when calling",
        "the streamer found no such bucket",
        "Check the endpoint that the engine's container uses; its own wins over the initializer's.",
    ),
    (
        r"http_status=403",
        "the store refused the streamer's requests (403)",
        "Check that the credentials may read the objects (s3:GetObject) and that session tokens have not expired.",
    ),
    (
        r"http_status=404",
        "an object vanished between the check and the load (404)",
        "Start again once the upload is finished.",
    ),
    (
        r"http_status=50[03]",
        "the store was overloaded (5xx)",
        "Raise RUNAI_STREAMER_S3_TIMEOUT, or lower RUNAI_STREAMER_CONCURRENCY.",
    ),
    (
        r"AWS_IO_DNS_INVALID_NAME|AWS_IO_DNS_QUERY",
        "the streamer could not resolve the store's host name",
        "Check the endpoint; a store without a DNS name per bucket needs S3_USER_VIRTUAL_BUCKET=false.",
    ),
    (
        r"AWS_IO_TLS|SSLCertVerificationError|CERTIFICATE_VERIFY_FAILED|CA bundle file not found",
        "the store's TLS certificate was not trusted",
        "Name the CA bundle in the storage secret (AWS_CA_BUNDLE).",
    ),
    (
        r"NoCredentialsError|Unable to locate credentials",
        "no storage credentials reached the engine",
        "Run it with a secret on the service account, or with cloud identity.",
    ),
    (
        r"AWS_ERROR_HTTP_CHANNEL_THROUGHPUT_FAILURE|socket is closed",
        "the store's connections were too slow or were closed",
        "Raise RUNAI_STREAMER_S3_REQUEST_TIMEOUT_MS, or lower RUNAI_STREAMER_CONCURRENCY.",
    ),
    (
        r"libstreamer due to: b'File access error'",
        "the streamer could not read the weights",
        "Its own lines above name the request; check endpoint, addressing style and credentials.",
    ),
    (
        r"ArrivalError: (?P<detail>[^\n]+?)\.?(?:\n|$)",
        "the weights did not arrive",
        "Its log above has the details; wellhead.dev/loader: runai_streamer is the other way.",
    ),
    (
        r"CUDA out of memory|torch\.OutOfMemoryError|OutOfMemoryError: CUDA",
        "CUDA out of memory",
        "Use more or larger GPUs (--tensor-parallel-size), a quantised model, or less --gpu-memory-utilization.",
    ),
    (
        (
            r"No available memory for the cache blocks|maximum number of tokens that can be stored in KV cache"
            r"|KV cache.{0,80}(?:is larger than|not enough|insufficient)"
        ),
        "there is no room for the KV cache",
        "Lower --max-model-len, or give the engine more memory.",
    ),
    (
        r"DefaultCPUAllocator: can't allocate memory|MemoryError",
        "the container ran out of memory",
        "Raise resources.limits.memory, or lower RUNAI_STREAMER_MEMORY_LIMIT.",
    ),
    (
        r"RunaiStreamerMemoryLimitException|Memory limit supplied",
        "the streamer's buffer is smaller than the largest tensor",
        "Raise or drop RUNAI_STREAMER_MEMORY_LIMIT.",
    ),
    (
        r"Failed to infer device type|No CUDA GPUs are available|no NVIDIA driver",
        "vLLM found no device",
        "Ask for a GPU in resources.limits, or use the CPU runtime.",
    ),
    (
        r"Address already in use",
        "the port is taken",
        "Give another --port.",
    ),
    (
        # The refusals only: vLLM's banner names the setting at every start.
        r"custom code which must be executed|`trust_remote_code=True`",
        "the model brings its own code",
        "Add --trust-remote-code if you trust the bucket.",
    ),
    (
        r"[Mm]odel architectures? \[?.*(?:not supported|failed to be inspected)",
        "this vLLM does not know the model's architecture",
        "Use a newer runtime image.",
    ),
    (
        r"Cannot find any (?:safetensors )?model weights|Could not find checkpoint files",
        "vLLM found no weights",
        "Look at the load plan: wellhead init says what it left in the store.",
    ),
    (
        r"No module named '?runai_model_streamer|vllm\[runai\]|S3 not supported|S3 files module not found",
        "this image lacks the Run:ai streamer for this kind of store",
        "Use the wellhead-runtime image.",
    ),
    (
        r"Value error, (?P<value>.+?)(?: \[type=.*)?\n",
        "vLLM refused its configuration",
        "Correct the argument, or the model's config.json.",
    ),
    (
        r"vllm: error: (?P<detail>.+)|__main__\.py: error: (?P<detail2>.+)",
        "vLLM refused its arguments",
        "Correct them.",
    ),
)
_PATTERNS = tuple((re.compile(pattern), cause, hint) for pattern, cause, hint in _CAUSES)
_LAST_WORD = re.compile(
    r"^(?:\(\w+[^)]*\) )?(?:\w+ \d\d-\d\d [\d:]+ \[[^\]]*\] )?(?P<text>[\w.]*(?:Error|Exception)\b.*)$"
)
_CONSEQUENCE = "root cause"  # vLLM's other processes end with such a pointer to the one that failed
_LONGEST_DETAIL = 300


def likely_cause(lines: Iterable[str]) -> tuple[str, str]:
    """Cause (no full stop) and hint, from the engine's last lines."""
    tail = list(lines)
    text = "\n".join(tail)
    for pattern, cause, hint in _PATTERNS:
        if match := pattern.search(text):
            detail = next((value for value in match.groupdict().values() if value), "")
            return (f"{cause}: {detail[:_LONGEST_DETAIL]}" if detail else cause), hint
    words = [match["text"] for line in tail if (match := _LAST_WORD.match(line.strip()))]
    if own := [text for text in words if _CONSEQUENCE not in text] or words:
        return own[-1][:_LONGEST_DETAIL].rstrip("."), "Its log above has the details."
    return "it gave no reason", "Its log above has the details."
