"""A running model server: started as a container would start it, asked over HTTP, stopped with certainty."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import tree
from bench.smollm import smollm

__all__ = ["PROMPTS", "SETTINGS", "Engine", "free_environment", "running", "smollm", "wellhead"]

SETTINGS = ("--host=127.0.0.1", "--max-model-len=1024", "--enforce-eager", "--dtype=bfloat16")
PROMPTS = ("The capital of France is", "def fibonacci(n):", "Water boils at", "Once upon a time")
_STARTS_WITHIN = 240.0  # seconds; about 40 on two idle cores


@dataclass
class Engine:
    """A server process and its base URL."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (
                f"the server ended with {self.process.returncode}:\n{self.output[-4000:]}"
            )
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.5)
        raise AssertionError(f"not ready after {_STARTS_WITHIN} s:\n{self.output[-4000:]}")

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            result: dict[str, Any] = json.load(answer)
        return result

    def log_probabilities(self, model: str) -> list[list[float]]:
        """Of the first tokens that follow each prompt: on CPU the only sure sign that all weights are right."""
        return [
            self.post(
                "/v1/completions",
                {"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0, "logprobs": 1},
            )["choices"][0]["logprobs"]["token_logprobs"]
            for prompt in PROMPTS
        ]

    def chat(self, model: str, question: str) -> str:
        answer = self.post(
            "/v1/chat/completions",
            {"model": model, "temperature": 0, "messages": [{"role": "user", "content": question}]},
        )
        return str(answer["choices"][0]["message"]["content"])

    def says(self, text: str) -> bool:
        """Whether its log has this; lines of inner processes may come after the answer that they belong to."""
        deadline = time.monotonic() + 10
        while text not in self.output and time.monotonic() < deadline:
            time.sleep(0.1)
        return text in self.output

    def members(self) -> list[int]:
        """The process and all its descendants."""
        return tree(self.process.pid)

    def stop(self, number: int = signal.SIGTERM, patience: float = 60.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(patience)


def wellhead(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wellhead_runtime", *arguments]


def free_environment(folder: Path, **variables: str) -> dict[str, str]:
    """What a container has: nothing of this machine's but PATH, and its own writable folders."""
    for name in ("home", "tmp", "memory"):
        (folder / name).mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "WELLHEAD_MEMORY_DIR": str(folder / "memory"),
        "WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(folder / "token"),
        "WELLHEAD_TERMINATION_LOG": str(folder / "termination-log"),
    } | variables


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], folder: Path, port: int) -> Iterator[Engine]:
    """Start a server; at the end nothing of it is left."""
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    engine = Engine(f"http://127.0.0.1:{port}", process, log)
    try:
        yield engine
    finally:
        members = engine.members()
        if process.poll() is None:
            process.kill()
            process.wait()
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
