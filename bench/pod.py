"""A predictor pod of KServe as two child processes: the init container, then the engine's container.

Both get the arguments and the environment that the real pod gives them (tests/kserve holds the real one) and
nothing of the caller's but PATH: credentials go to the init container only.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import processes
from tests.support.seaweedfs import dies_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from wellhead_runtime.faststart.phases import PhaseClock

_WELLHEAD = str(Path(sys.executable).with_name("wellhead"))
SERVED_NAME = "smollm2"


class PodError(RuntimeError):
    """A container failed; carries the end of its log."""


@dataclass(frozen=True)
class InitResult:
    """What the init container cost."""

    seconds: float
    written_bytes: int


@dataclass
class Pod:
    """One pod's folder: the model's volume, the token, the logs, and the engine's writable places."""

    folder: Path
    path: str
    models: Path = field(init=False)
    token: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.models = self.folder / "models"
        self.token = self.folder / "token"
        self.token.write_text(secrets.token_urlsafe(600))
        for name in ("models", "home", "tmp"):
            (self.folder / name).mkdir()

    def init(self, uri: str, mode: str, secret: Mapping[str, str]) -> InitResult:
        """Run the init container to its end.

        Args:
            uri: the storageUri.
            mode: value of the annotation wellhead.dev/mode.
            secret: what KServe makes of the service account's S3 secret.
        """
        log = self.folder / "init.log"
        environment = {
            **self._common("init"),
            **secret,
            "WELLHEAD_MODE": mode,
            "WELLHEAD_ENGINE": "vllm",
        }
        began = time.monotonic()
        process = _start([_WELLHEAD, "init", uri, str(self.models)], environment, self.folder, log)
        try:
            written = processes.wait_and_count(process)
        finally:
            if process.returncode is None:
                processes.stop(process, 5.0)
        seconds = time.monotonic() - began
        if process.returncode:
            raise PodError(self.failure("init", f"ended with exit code {process.returncode}"))
        return InitResult(seconds, written)

    @contextmanager
    def serve(
        self,
        clock: PhaseClock,
        arguments: list[str],
        settings: Mapping[str, str] | None = None,
        program: Sequence[str] = (_WELLHEAD, "serve"),
    ) -> Iterator[Server]:
        """Run the engine's container until the block ends.

        Args:
            clock: follows the log.
            arguments: of the engine.
            settings: variables of Wellhead's own.
            program: another server than Wellhead's.
        """
        port = _free_port()
        command = [
            *program,
            f"--model={self.models}",
            f"--served-model-name={SERVED_NAME}",
            f"--port={port}",
            "--host=127.0.0.1",
            *arguments,
        ]
        home = self.folder / "home"
        # What the runtime keeps in the pod's volume under /dev/shm must end with this pod.
        with tempfile.TemporaryDirectory(prefix="wellhead-demo-", dir="/dev/shm") as memory:
            environment = {
                **self._common("serve"),
                "HOME": str(home),
                "TMPDIR": str(self.folder / "tmp"),
                "XDG_CACHE_HOME": str(home / ".cache"),
                "VLLM_NO_USAGE_STATS": "1",
                "VLLM_CPU_KVCACHE_SPACE": "1",
                "WELLHEAD_MEMORY_DIR": memory,
                **(settings or {}),
            }
            process = _start(command, environment, home, None)
            server = Server(f"http://127.0.0.1:{port}", process, self.folder / "serve.log", clock, self)
            reader = threading.Thread(target=server.follow, daemon=True)
            reader.start()
            try:
                yield server
            finally:
                processes.stop(process, 20.0 if server.ready else 2.0)
                reader.join(5)

    def init_log(self) -> str:
        """What the init container printed."""
        log = self.folder / "init.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def model_bytes(self) -> int:
        """Bytes of all files in the model's volume."""
        return sum(path.stat().st_size for path in self.models.rglob("*") if path.is_file())

    def failure(self, container: str, what: str) -> str:
        """`what`, and the sentence that KServe would show as the reason."""
        path = self.folder / f"{container}.termination"
        message = path.read_text(errors="replace").strip() if path.exists() else ""
        return f"wellhead {container} {what}; termination message: {message or 'none'}"

    def _common(self, container: str) -> dict[str, str]:
        return {
            "PATH": self.path,
            "WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(self.token),
            "WELLHEAD_TERMINATION_LOG": str(self.folder / f"{container}.termination"),
        }


@dataclass
class Server:
    """The engine's container, running."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    clock: PhaseClock
    pod: Pod
    ready: bool = False

    def follow(self) -> None:
        """Copy the output to the log, its lines to the clock; a progress bar's updates are lines too."""
        assert self.process.stdout is not None
        rest = b""
        with self.log.open("wb", buffering=0) as log, self.process.stdout as output:
            while data := output.read1(1 << 16):  # type: ignore[attr-defined]
                log.write(data)
                *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
                for line in [*lines, rest]:
                    self.clock.line(line.decode(errors="replace"))

    def check(self) -> None:
        """Raise where the engine has ended by itself."""
        code = self.process.poll()
        if code is not None:
            raise self.failure(f"ended with exit code {code}")

    def await_ready(self, seconds: float, show: Callable[[], None] = lambda: None, pause: float = 0.1) -> None:
        """Wait until it answers; `show` is called before each look.

        Raises:
            PodError: it has ended, or did not answer in time.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            show()
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                self.ready = True
                return
            time.sleep(pause)
        raise self.failure(f"vLLM was not ready after {seconds:.0f} s")

    def failure(self, what: str) -> PodError:
        """An error that carries the end of the log."""
        time.sleep(0.2)  # the last lines may still be on their way
        lines = self.log.read_text(errors="replace").splitlines()[-30:] if self.log.exists() else []
        return PodError("\n".join([*lines, self.pod.failure("serve", what)]))

    def written_bytes(self) -> int:
        """What its processes have sent to disks so far."""
        return processes.written_bytes(self.process.pid)


def _start(command: list[str], environment: dict[str, str], folder: Path, log: Path | None) -> subprocess.Popen[bytes]:
    output = subprocess.PIPE if log is None else log.open("wb")
    try:
        return subprocess.Popen(
            dies_with_parent(command, "TERM"),
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        if not isinstance(output, int):
            output.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
