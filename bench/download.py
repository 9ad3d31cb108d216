"""What downloading a checkpoint costs, beside every peer: time, share of the link, CPU, memory, requests.

    python -m bench.download [--rounds 5] [--rates unshaped 1 2.5] [--ways wellhead kserve rclone limit] [--json FILE]

A static S3 look-alike in one network namespace, the clients in another, a link of known speed between them. Every
round runs every way once, each in a fresh process into an empty folder; the order alternates. Prints Markdown.
Needs root, nginx and curl (`make bench` installs them).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import processes
from bench.download_figures import MIB, Round, comparison, order, table
from bench.download_run import RunError, await_quiet, measure
from bench.download_ways import WAYS, Case
from bench.netns import Link, NetworkError, linked_namespaces
from bench.static_s3 import ServerError, static_s3

BUCKET, FOLDER = "models", "bench"
_PREFIX = "wellhead-bench-"
_TENSORS = 32  # in each shard


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    options = arguments(argv)
    return processes.run_and_tidy(lambda: _measure_all(options), NetworkError, RunError, ServerError)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m bench.download", description=summary)
    parser.add_argument("--rounds", type=_positive, default=5, help="runs of every way at every rate")
    parser.add_argument("--rates", type=rate, nargs="+", default=[None], metavar="RATE", help="unshaped, or Gbit/s")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), help="default: all that are installed")
    parser.add_argument("--size", type=_positive, default=2048, metavar="MIB", help="of all weights together")
    parser.add_argument("--shards", type=_positive, default=8)
    parser.add_argument("--many", action="store_true", help="short for --size 512 --shards 120")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="before every answer")
    parser.add_argument("--data", type=Path, default=Path("/dev/shm"), help="where the server keeps the files")
    parser.add_argument("--dest", type=Path, default=Path(tempfile.gettempdir()), help="where the clients write")
    parser.add_argument("--wait-quiet", action="store_true", help="before each run wait until nothing else runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single run")
    options = parser.parse_args(argv)
    if options.many:
        options.size, options.shards = 512, 120
    if options.ways is None:
        options.ways = [name for name, way in WAYS.items() if way.found()]
    missing = [name for name in options.ways if not WAYS[name].found()]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}")
    options.rates = list(dict.fromkeys(options.rates))
    options.ways = list(dict.fromkeys(options.ways))
    return options


def rate(text: str) -> float | None:
    """Gbit/s of the link, None for `unshaped`."""
    if text == "unshaped":
        return None
    value = float(text)
    if not 0.01 <= value <= 100:
        raise ValueError
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _measure_all(options: argparse.Namespace) -> int:
    figures = {"conditions": _conditions(options), "runs": []}
    with ExitStack() as stack:
        data = stack.enter_context(_folder(options.data))
        scratch = stack.enter_context(_folder(options.dest))
        source = data / BUCKET / FOLDER
        _note(f"writing {options.size} MiB in {options.shards} shards")
        _make_checkpoint(source, options)
        link = stack.enter_context(linked_namespaces())
        server = stack.enter_context(static_s3(data, scratch / "server", link, options.latency))
        size = sum(path.stat().st_size for path in source.rglob("*"))
        case = Case(server, BUCKET, FOLDER, source, scratch / "dest", scratch / "scratch")
        for gbit in options.rates:
            rounds = _rounds(options, gbit, case, link, figures["runs"])  # type: ignore[arg-type]
            print(f"\n### {_title(options, gbit, size)}\n\n{table(rounds, size)}\n{comparison(rounds)}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A temporary folder; first of all those of runs that were killed outright are removed."""
    for left in parent.glob(f"{_PREFIX}*-*"):
        if not Path("/proc", left.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent) as name:
        yield Path(name)


def _make_checkpoint(folder: Path, options: argparse.Namespace) -> None:
    """In a process of its own: what it needs in memory for a moment would be this one's from then on."""
    tensor = options.size * MIB // options.shards // _TENSORS // 128 * 128
    code = "import sys; from pathlib import Path; from tests.support.checkpoint import tiny_checkpoint as make; "
    code += "make(Path(sys.argv[1]), shards=int(sys.argv[2]), tensors_per_shard=int(sys.argv[3]), "
    code += "tensor_bytes=int(sys.argv[4]))"
    numbers = [str(number) for number in (options.shards, _TENSORS, tensor)]
    subprocess.run([sys.executable, "-c", code, str(folder), *numbers], check=True)


def _rounds(
    options: argparse.Namespace, gbit: float | None, case: Case, link: Link, log: list[dict[str, object]]
) -> list[Round]:
    link.shape(gbit)
    rounds: list[Round] = []
    for number in range(options.rounds):
        done = {}
        for name in order(options.ways, number):
            quiet = await_quiet() if options.wait_quiet else None
            run = done[name] = measure(name, WAYS[name], case, link)
            log.append({"gbit": gbit, "round": number, "quiet": quiet, **dataclasses.asdict(run)})
            _note(f"{_speed(gbit)}, round {number + 1}: {name} {run.work:.2f} s, CPU {run.cpu:.2f} s", run.other)
        rounds.append({name: done[name] for name in options.ways})
    return rounds


def _title(options: argparse.Namespace, gbit: float | None, size: int) -> str:
    latency = f", {options.latency * 1000:.0f} ms before every answer" if options.latency else ""
    return f"{size / MIB:,.0f} MiB in {options.shards} shards, {_speed(gbit)}{latency}"


def _speed(gbit: float | None) -> str:
    return "unshaped" if gbit is None else f"{gbit:g} Gbit/s"


def _conditions(options: argparse.Namespace) -> dict[str, object]:
    return {
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rounds": options.rounds,
        "shards": options.shards,
        "size_mib": options.size,
        "latency": options.latency,
        "free_on_dest": shutil.disk_usage(options.dest).free,
    }


def _note(text: str, other: float = 0.0) -> None:
    disturbed = f" (other load: {other:.1f} cores)" if other > 0.2 else ""
    print(f"{text}{disturbed}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
