"""One run of the child process: started, listened to, watched, and ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wellhead_storage.delegated import child

_POLL = 0.1  # seconds
_LONGEST_LINE = 10_000  # characters


class Child:
    """The library at work, in a process group of its own.

    Attributes:
        heard: when it last said something, on the monotonic clock.
    """

    def __init__(self, process: subprocess.Popen[str], listen: Callable[[str], None]) -> None:
        self.heard = time.monotonic()
        self._process = process
        self._listen = listen
        self._listener = threading.Thread(target=self._hear, args=(process.stderr,), daemon=True)
        self._listener.start()

    def wait(self, meanwhile: Callable[[], None]) -> int:
        """The exit code, negative for a signal; `meanwhile` is called often, and may raise to give up."""
        while True:
            meanwhile()
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(_POLL)

    def answer(self) -> bytes:
        """What it reported, once it has ended and all that it said was heard."""
        self._listener.join(1)
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        return self._process.stdout.readline().encode()

    def _hear(self, stream: IO[str]) -> None:
        with suppress(ValueError):  # closed while being read
            # Text mode takes \r for the end of a line, too: progress bars are lines here.
            while line := stream.readline(_LONGEST_LINE):
                self.heard = time.monotonic()
                if line := line.strip():
                    self._listen(line)


@contextmanager
def running(
    errand: str, environment: Mapping[str, str], folder: Path, listen: Callable[[str], None]
) -> Iterator[Child]:
    """Start the child; when the block ends, nothing of it is left.

    Args:
        errand: the line for its stdin.
        environment: all of its variables.
        folder: its working directory.
        listen: is called with every line it says, from another thread.
    """
    process = subprocess.Popen(
        # -P: a file in the working directory must not be taken for a library.
        [sys.executable, "-P", "-m", child.__name__],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            assert process.stdin is not None  # noqa: S101 - it was opened as a pipe
            with suppress(BrokenPipeError):  # it has died already, and its exit code says so
                process.stdin.write(f"{errand}\n")
                process.stdin.flush()
            yield Child(process, listen)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
