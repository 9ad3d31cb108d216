"""Python code in processes of its own that need not import everything again: forked by a server that already has.

For tests of signal handlers, exit codes and output. A fresh interpreter would cost a sixth of a second each time.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import BinaryIO, NamedTuple

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["wellhead_runtime.cli", "wellhead_runtime.supervisor", "wellhead_runtime.preparing", "tests.unit.forked"]
)
_LIMIT = 30.0  # seconds; everything here ends within one


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    out: bytes
    err: str


class Forked:
    """A running process.

    Attributes:
        stdout: what it writes; lines can be read as they come.
    """

    def __init__(self, code: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        (out, child_out), (err, child_err) = _SERVER.Pipe(duplex=False), _SERVER.Pipe(duplex=False)
        self._process = _SERVER.Process(
            target=_become, args=(code, arguments, dict(environment), child_out, child_err), daemon=True
        )
        self._process.start()
        for end in (child_out, child_err):
            end.close()
        self.stdout, self._stderr = _reader(out), _reader(err)

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self) -> Ended:
        """The rest of its output, and its end."""
        texts: dict[BinaryIO, bytes] = {self.stdout: b"", self._stderr: b""}
        deadline = time.monotonic() + _LIMIT
        with selectors.DefaultSelector() as selector:
            for stream in texts:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(deadline - time.monotonic())
                if not ready:
                    raise TimeoutError(f"still running, with {texts}")
                for key, _ in ready:
                    assert not isinstance(key.fileobj, int)
                    chunk = os.read(key.fd, 65536)
                    texts[key.fileobj] += chunk  # type: ignore[index]
                    if not chunk:
                        selector.unregister(key.fileobj)
        self._process.join(max(0.0, deadline - time.monotonic()))
        if self._process.exitcode is None:
            raise TimeoutError("its output is closed and it still runs")
        return Ended(self._process.exitcode, texts[self.stdout], texts[self._stderr].decode())

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self.stdout.close()
        self._stderr.close()


@contextmanager
def forked(code: str, *arguments: str, **environment: str) -> Iterator[Forked]:
    """Run `code` as `python -c` would, with nothing else in its environment; killed when the block ends."""
    process = Forked(code, arguments, environment)
    try:
        yield process
    finally:
        process.close()


def run_forked(code: str, *arguments: str, **environment: str) -> Ended:
    """Run `code` to its end."""
    with forked(code, *arguments, **environment) as process:
        return process.wait()


def _reader(end: Connection) -> BinaryIO:
    """Unbuffered, so that nothing is read ahead of `wait`."""
    with end:
        return os.fdopen(os.dup(end.fileno()), "rb", buffering=0)


def _become(
    code: str, arguments: tuple[str, ...], environment: dict[str, str], out: Connection, err: Connection
) -> None:
    for number, end in ((1, out), (2, err)):
        with end:
            os.dup2(end.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
