"""What `wellhead init` costs in stream mode: wall and CPU seconds, requests, bytes, round trips in sequence.

    python -m bench.init [--shards 120] [--latency 0.02] [--runs 5]

Against SeaweedFS through a proxy that counts and, if asked, waits before every answer. Medians of all runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.support.checkpoint import tiny_checkpoint
from tests.support.counting_proxy import counting_proxy, round_trips
from tests.support.seaweedfs import seaweedfs


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.init", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[12, 120])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0, 0.02])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(argv)
    table = Table("shards", "latency s", "wall s", "CPU s", "requests", "bytes", "rounds")
    with tempfile.TemporaryDirectory() as name, seaweedfs(Path(name) / "store") as store:
        folder = Path(name)
        (folder / "token").write_text("token")
        store.create_bucket("models")
        for shards in options.shards:
            store.put_folder("models", f"m{shards}", tiny_checkpoint(folder / f"m{shards}", shards=shards))
            for latency in options.latency:
                with counting_proxy(store.endpoint_url, latency=latency) as proxy:
                    environment = store.environment(proxy.endpoint_url) | {
                        "PATH": os.environ["PATH"],
                        "WELLHEAD_ENGINE": "vllm",
                        "WELLHEAD_MODE": "stream",
                        "WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(folder / "token"),
                    }
                    command = [str(Path(sys.executable).with_name("wellhead")), "init", f"s3://models/m{shards}"]
                    measured = []
                    for run in range(options.runs):
                        proxy.clear()
                        used, began = _cpu(), time.monotonic()
                        done = [*command, str(folder / f"dest-{shards}-{latency}-{run}")]
                        subprocess.run(done, env=environment, check=True, stderr=subprocess.DEVNULL)
                        wall = time.monotonic() - began
                        seen = proxy.requests
                        measured.append((wall, _cpu() - used, len(seen), proxy.body_bytes, round_trips(seen)))
                wall, cpu, requests, size, chain = (statistics.median(column) for column in zip(*measured, strict=True))
                table.add_row(
                    str(shards),
                    str(latency),
                    f"{wall:.2f}",
                    f"{cpu:.2f}",
                    f"{requests:.0f}",
                    f"{size:,.0f}",
                    f"{chain:.0f}",
                )
    Console().print(table)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
