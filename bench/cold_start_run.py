"""One start of a pod, from nothing to the first answer, in the client's network namespace.

    python -m bench.cold_start_run WAY URI LOCAL INFOS SCRATCH     prints one JSON object

LOCAL is the model's folder for ways that fetch nothing, INFOS what our image has of inspected model classes. The store
is named by the environment, as KServe does it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.cgroup import Cgroup, entered
from bench.cold_start_ways import STOCK, WAYS, Way
from bench.download_run import busy
from bench.pod import SERVED_NAME, Pod, PodError
from wellhead_runtime.faststart.phases import PhaseClock

ARGUMENTS = ["--max-model-len=256", "--enforce-eager", "--dtype=bfloat16"]
READY_SECONDS = 400.0
_PAUSE = 0.1  # seconds between looks at the memory
_TICKS = os.sysconf("SC_CLK_TCK")
_FETCHER = "wellhead_storage.fetcher"


@dataclass(frozen=True)
class Start:
    """What one start took.

    Attributes:
        began: seconds since 1970 when the first container started.
        init: seconds of the init container.
        phases: vLLM's, by name, in seconds.
        total: seconds from `began` to the first answer.
        answer: tokens and log-probabilities, as text, to be compared between ways.
        peak: most bytes that cannot be reclaimed (anonymous and shared) of all processes together.
        shared: most bytes of shared memory.
        fetcher_resident: most bytes of the fetcher besides the shared ones.
        fetcher_cpu: its CPU seconds.
        cpu: CPU seconds of everything.
        other: cores that were busy with something else, the server among it.
    """

    began: float
    init: float
    phases: dict[str, float]
    total: float
    answer: str
    peak: int
    shared: int
    fetcher_resident: int
    fetcher_cpu: float
    cpu: float
    other: float


class Watch:
    """Looks at a control group until it is told to stop."""

    def __init__(self, group: Cgroup) -> None:
        self.peak = self.shared = self.fetcher_resident = 0
        self.fetcher_cpu = 0.0
        self._group, self._own = group, group.used()
        self._fetcher: Path | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(_PAUSE):
            used = self._group.used()
            shared = used.shared - self._own.shared
            self.shared = max(self.shared, shared)
            self.peak = max(self.peak, used.anonymous - self._own.anonymous + shared)
            self._fetcher = self._fetcher or next(filter(_is_fetcher, self._group.processes()), None)
            with contextlib.suppress(OSError):
                if self._fetcher:
                    self._look_at_the_fetcher(self._fetcher)

    def _look_at_the_fetcher(self, process: Path) -> None:
        self.fetcher_resident = max(self.fetcher_resident, _numbers(process / "status").get("RssAnon:", 0))
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        self.fetcher_cpu = (int(fields[11]) + int(fields[12])) / _TICKS


def measure(way: Way, uri: str, local: Path, infos: Path, folder: Path, group: Cgroup) -> Start:
    """Run a pod to its first answer, and end it.

    Raises:
        PodError: a container failed.
    """
    pod = Pod(folder, os.environ.get("PATH", os.defpath))
    watch = Watch(group)
    began, since, before = time.time(), time.monotonic(), busy()
    prepared = _initialize(way, pod, uri, local)
    clock = PhaseClock(time.monotonic())
    program = {"program": STOCK} if way.stock else {}
    settings = {
        **way.settings,
        "WELLHEAD_MODEL_INFOS": str(infos if way.fast else folder / "none"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder.parent / "inductor"),
    }
    with pod.serve(clock, ARGUMENTS, settings, **program) as server:
        server.await_ready(READY_SECONDS, pause=0.02)
        _ask(server.url)
        total = time.monotonic() - since
        watch.stop()
        others = busy() - before
        cpu = sum(_cpu(pid) for pid in processes.tree(os.getpid()))
        # Not timed: vLLM compiles something for the first request with log-probabilities, eleven seconds on two cores
        # (and only for that, so what is compiled is kept for the next start).
        answer = _ask(server.url, logprobs=1)
    return Start(
        began=began,
        init=prepared,
        phases=dict(clock.durations),
        total=total,
        answer=answer,
        peak=watch.peak,
        shared=watch.shared,
        fetcher_resident=watch.fetcher_resident,
        fetcher_cpu=watch.fetcher_cpu,
        cpu=cpu,
        other=max(0.0, others - cpu) / total,
    )


def _initialize(way: Way, pod: Pod, uri: str, local: Path) -> float:
    """Seconds of the init container."""
    if way.first == "nothing":
        pod.models.rmdir()
        pod.models.symlink_to(local)
        return 0.0
    store = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "S3_"))}
    if way.first != "kserve":
        return pod.init(uri, way.first, store).seconds
    began = time.monotonic()
    command = [sys.executable, "-m", "bench.download_client", "kserve", uri, str(pod.models)]
    with (pod.folder / "init.log").open("wb") as log:
        environment = {"PATH": pod.path, "HOME": str(pod.folder), **store}
        ended = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        raise PodError(f"KServe's download ended with exit code {ended.returncode}: {pod.init_log()[-2000:]}")
    return time.monotonic() - began


def _ask(url: str, **more: int) -> str:
    """The text, and with `logprobs` the tokens' probabilities."""
    body = {"model": SERVED_NAME, "prompt": "One two three", "max_tokens": 4, "temperature": 0, **more}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        (choice,) = json.load(response)["choices"]
    return json.dumps([choice["text"], (choice.get("logprobs") or {}).get("token_logprobs")])


def _numbers(path: Path) -> dict[str, int]:
    """The lines of a file of /proc → bytes."""
    with contextlib.suppress(OSError):
        lines = [line.split() for line in path.read_text().splitlines()]
        return {words[0]: 1024 * int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}
    return {}


def memory(kind: str) -> int:
    """Bytes of the whole machine's, by the kernel's name for them."""
    return _numbers(Path("/proc/meminfo"))[f"{kind}:"]


def _is_fetcher(process: Path) -> bool:
    with contextlib.suppress(OSError):
        return _FETCHER in (process / "cmdline").read_text()
    return False


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / _TICKS
    return 0.0


if __name__ == "__main__":
    processes.adopt_orphans()
    with entered() as own_group:
        try:
            local, infos, folder = map(Path, sys.argv[3:6])
            result = measure(WAYS[sys.argv[1]], sys.argv[2], local, infos, folder, own_group)
            print(json.dumps(dataclasses.asdict(result)))
        finally:
            processes.end_orphans()
