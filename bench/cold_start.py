"""How long a pod takes from nothing to its first answer, in every way there is.

    python -m bench.cold_start [--rounds 3] [--rates unshaped 2.5 1] [--size 2GiB] [--ways …] [--json FILE] [--svg FILE]

Real vLLM on CPU, weights from a static S3 look-alike in another network namespace behind a link of known speed. Every
round starts every way once, in alternating order. Prints Markdown. Needs root, nginx and curl (`make bench-tools`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import processes
from bench.cold_start_chart import chart
from bench.cold_start_figures import Measured, Round, table, verdicts
from bench.cold_start_run import Start, memory
from bench.cold_start_ways import WAYS
from bench.download import rate
from bench.download_figures import order
from bench.download_run import await_quiet
from bench.model_infos import model_infos
from bench.netns import Link, NetworkError, linked_namespaces
from bench.page_cache import fill
from bench.random_llama import SHAPES, random_llama
from bench.static_s3 import ServerError, StaticS3, static_s3

BUCKET, FOLDER = "models", "llama"
_LEFT = 7 * 2**29  # bytes of memory for what is in the page cache anyway: Python, torch, vLLM
_ROOT = Path(__file__).resolve().parent.parent
_WARM = "import vllm.entrypoints.openai.api_server, vllm.v1.worker.cpu_worker, runai_model_streamer, kserve_storage"


class StartFailed(RuntimeError):
    """A pod did not come to an answer."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    options = _arguments(argv)
    return processes.run_and_tidy(lambda: _measure_all(options), NetworkError, ServerError, StartFailed)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="starts of every way at every rate")
    parser.add_argument("--rates", type=rate, nargs="+", default=[None, 2.5, 1.0], metavar="RATE")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--size", choices=list(SHAPES), default="2GiB")
    parser.add_argument("--data", type=Path, default=Path("/dev/shm"), help="where the server keeps the model")
    parser.add_argument("--wait-quiet", action="store_true", help="before each start wait until nothing else runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single start")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the phases at the last rate")
    return parser.parse_args(argv)


def _measure_all(options: argparse.Namespace) -> int:
    log: list[dict[str, object]] = []
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellhead-bench-", dir=options.data)))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wellhead-bench-")))
        _note(f"writing {options.size}")
        weights = random_llama(SHAPES[options.size], data / BUCKET / FOLDER)
        # A way that fetches nothing has the model on its disk, in the page cache.
        local = scratch / "local"
        shutil.copytree(data / BUCKET / FOLDER, local)
        model_infos()
        subprocess.run([sys.executable, "-c", _WARM], check=True, capture_output=True)
        link = stack.enter_context(linked_namespaces())
        server = stack.enter_context(static_s3(data, scratch / "server", link))
        for gbit in options.rates:
            link.shape(gbit)
            rounds: list[Round] = []
            for number in range(options.rounds):
                done = {way: _start(way, options, server, link, local, scratch) for way in order(options.ways, number)}
                log += [{"gbit": gbit, "round": number, "way": way, **_flat(run)} for way, run in done.items()]
                rounds.append({way: done[way] for way in options.ways})
                if options.json:
                    options.json.write_text(json.dumps(log, indent=2) + "\n")
            speed = "unshaped" if gbit is None else f"{gbit:g} Gbit/s"
            print(f"\n### {options.size}, {speed}\n\n{table(rounds, weights)}")
            print("\n".join(f"- {line}" for line in verdicts(rounds, weights, gbit)), flush=True)
            if options.svg:
                options.svg.write_text(chart(rounds, f"{weights / 2**30:.1f} GiB, {speed}"))
    return 0


def _start(way: str, options: argparse.Namespace, server: StaticS3, link: Link, local: Path, scratch: Path) -> Measured:
    if options.wait_quiet:
        await_quiet()
    fill(scratch / "filling", max(0, memory("MemFree") + memory("Cached") - memory("Shmem") - _LEFT))
    if WAYS[way].first == "nothing":
        for path in local.iterdir():
            path.read_bytes()
    folder = scratch / "pod"
    environment = {"PATH": os.environ.get("PATH", os.defpath), **server.environment}
    command = link.in_client(sys.executable, "-m", "bench.cold_start_run", way, f"s3://{BUCKET}/{FOLDER}")
    server.new_requests()
    try:
        ended = subprocess.run(
            [*command, str(local), str(model_infos()), str(folder)],
            env=environment,
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise StartFailed(f"{way}: {ended.stderr.strip()[-3000:]}")
        start = Start(**json.loads(ended.stdout))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    requests = server.new_requests()
    last = max((each.arrived + each.took for each in requests), default=start.began) - start.began
    _note(f"{way}: {start.total:.1f} s, other load {start.other:.2f} cores")
    return Measured(start, last, sum(each.size for each in requests), len(requests))


def _flat(run: Measured) -> dict[str, object]:
    return {**dataclasses.asdict(run.start), "last_byte": run.last_byte, "served": run.served}


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
