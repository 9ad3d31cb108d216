"""The main job, live: a real model out of a real object store into real vLLM, without KServe's cluster.

    python -m bench.demo [--keep] [--compare] [--json FILE]

Starts SeaweedFS, uploads SmolLM2-135M-Instruct, runs `wellhead init` and `wellhead serve` as a pod would,
asks the model a question, and shows where the time went. Everything lies in one temporary folder and ends
with it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench import processes
from bench.model_infos import model_infos
from bench.pod import SERVED_NAME, Pod, PodError, Server
from bench.report import MIB, Measured, Screen, table
from bench.smollm import smollm
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.seaweedfs import SeaweedFSError, seaweedfs
from wellhead_runtime.faststart.phases import PhaseClock

if TYPE_CHECKING:
    from tests.support.seaweedfs import SeaweedFS

BUCKET, PREFIX = "models", "smollm2"
URI = f"s3://{BUCKET}/{PREFIX}"
QUESTION, EXPECTED = "What is the capital of France?", "Paris"
VLLM_ARGUMENTS = ["--max-model-len=1024", "--enforce-eager", "--dtype=bfloat16"]
VLLM_SERVER = "vllm.entrypoints.openai.api_server"
READY_SECONDS = 600.0


def main() -> int:
    """Run the demo; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--compare", action="store_true", help="afterwards the same with mode download")
    parser.add_argument("--keep", action="store_true", help="leave server and store running until Ctrl-C")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measured figures")
    options = parser.parse_args()
    if options.keep and options.compare:
        parser.error("--keep and --compare exclude each other")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    screen = Screen()
    try:
        return _run(screen, options)
    except KeyboardInterrupt:
        screen.note("Interrupted; everything is stopped and removed.")
        return 130
    except (PodError, SeaweedFSError) as error:
        screen.failure(str(error))
        return 1


def _run(screen: Screen, options: argparse.Namespace) -> int:
    modes = ["stream", "download"] if options.compare else ["stream"]
    results: list[Measured] = []
    processes.adopt_orphans()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellhead-demo-")))
        stack.callback(processes.end_orphans)
        with screen.step("SmolLM2-135M-Instruct as a safetensors checkpoint"):
            checkpoint = smollm()
        with screen.step("SeaweedFS, an S3 server"):
            store = stack.enter_context(seaweedfs(folder / "store"))
        with screen.step(f"upload to {URI}"):
            store.create_bucket(BUCKET)
            size = store.put_folder(BUCKET, PREFIX, checkpoint)
        with screen.step("vLLM's model classes, inspected once, as in our images"):
            model_infos()
        proxy = stack.enter_context(counting_proxy(store.endpoint_url))
        if options.compare:  # else the first way alone would pay for reading them from disk
            with screen.step("vLLM's own files into the page cache"):
                subprocess.run([sys.executable, "-c", f"import {VLLM_SERVER}"], check=True, capture_output=True)
        for mode in modes:
            screen.title(f"mode {mode}")
            pod = Pod(folder / mode, os.environ.get("PATH", os.defpath))
            with ExitStack() as running:
                measured, server = _start(screen, running, pod, mode, store, proxy)
                results.append(measured)
                if mode == modes[-1]:
                    screen.show(table(results, size))
                    _write(options.json, results, size)
                    if options.keep:
                        _keep(screen, server, store)
    wrong = [result.mode for result in results if EXPECTED not in result.answer]
    if wrong:
        screen.failure(f"The answer in mode {wrong[0]} should contain {EXPECTED!r}.")
    return 1 if wrong else 0


def _start(
    screen: Screen, running: ExitStack, pod: Pod, mode: str, store: SeaweedFS, proxy: CountingProxy
) -> tuple[Measured, Server]:
    """Run a pod up to its first answer; `running` keeps the engine afterwards."""
    proxy.clear()
    try:
        with screen.step(f"wellhead init {URI} DEST"):
            prepared = pod.init(URI, mode, store.environment(proxy.endpoint_url))
    finally:
        screen.quote(pod.init_log())
    by_init = proxy.requests
    proxy.clear()
    began = time.monotonic()
    clock = PhaseClock(began, on_end=lambda phase, seconds: screen.done(f"vLLM, {phase.name}", seconds))
    server = running.enter_context(pod.serve(clock, VLLM_ARGUMENTS, {"WELLHEAD_MODEL_INFOS": str(model_infos())}))
    _wait_until_ready(screen, server, proxy)
    ready = time.monotonic()
    by_engine = proxy.requests
    answer = _ask(server.url)
    answered = time.monotonic()
    screen.done("first answer", answered - ready)
    screen.answer(QUESTION, answer)
    measured = Measured(
        mode=mode,
        answer=answer,
        init_seconds=prepared.seconds,
        engine_seconds=ready - began,
        phases=dict(clock.durations),
        groups=clock.by_group(),
        first_answer_seconds=answered - ready,
        total_seconds=prepared.seconds + answered - began,
        init_requests=len(by_init),
        init_bytes=sum(request.body_bytes for request in by_init),
        engine_requests=len(by_engine),
        engine_bytes=sum(request.body_bytes for request in by_engine),
        model_volume_bytes=pod.model_bytes(),
        init_written_bytes=prepared.written_bytes,
        engine_written_bytes=server.written_bytes(),
    )
    return measured, server


def _wait_until_ready(screen: Screen, server: Server, proxy: CountingProxy) -> None:
    with screen.moving() as show:

        def progress() -> None:
            seconds = time.monotonic() - server.clock.started
            fetched = f", {proxy.body_bytes / MIB:,.0f} MiB from the store" if proxy.requests else ""
            show(f"{seconds:6.1f} s  vLLM, {server.clock.current}{fetched}")

        server.await_ready(READY_SECONDS, progress)


def _ask(url: str) -> str:
    body = {
        "model": SERVED_NAME,
        "temperature": 0,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: dict[str, Any] = json.load(response)
    return str(answer["choices"][0]["message"]["content"])


def _write(path: Path | None, results: list[Measured], size: int) -> None:
    if path:
        figures = {"model_bytes": size, "runs": [dataclasses.asdict(result) for result in results]}
        path.write_text(json.dumps(figures, indent=2) + "\n")


def _keep(screen: Screen, server: Server, store: SeaweedFS) -> None:
    body = {"model": SERVED_NAME, "messages": [{"role": "user", "content": "Who are you?"}]}
    screen.title("Running until Ctrl-C. Talk to it with")
    for line in (
        f"curl {server.url}/v1/models",
        f"curl {server.url}/v1/chat/completions -H 'Content-Type: application/json' -d '{json.dumps(body)}'",
        f"tail -f {server.log}",
        "",
        "and to the store with",
        *(f"export {name}={value}" for name, value in store.environment().items() if name.startswith("AWS_")),
        f"wellhead plan {URI}",
    ):
        screen.note(f"  {line}" if line else "")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            server.check()
            time.sleep(0.5)


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
