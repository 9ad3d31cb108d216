"""Engine core and workers start from a process that imported vLLM while the front end did.

Spawned, each of them imports torch, transformers and vLLM again, one after the other: 7.8 and 8.7 of 42 s on two cores.
Python's fork server imports them once, beside the front end, and every process of the engine is a copy of it.

Before the first process is wanted the server is asked for one that says whether all went well. If not, or if no answer
comes, it is ended, and vLLM starts its processes as it always does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from wellhead_runtime.faststart import threads, upstream
from wellhead_storage.logs import log

_PRELOAD = "wellhead_runtime.faststart.preload"
# The front end needs as long for its own imports, so the server is nearly ready when it is asked.
PATIENCE = 60.0  # seconds
_FALLBACK = "fast start is off, vLLM starts as it always does: %s"


class EngineProcess(ForkServerProcess):
    """A process that has its parent's environment, as a spawned one would, and not the server's."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], dict[str, Any]]:
        # Not in `run`: what the process is to do is unpickled before that, and already looks at the environment.
        return _arrive, (type(self), dict(os.environ)), self.__dict__


class EngineContext(ForkServerContext):
    """What vLLM starts its processes through."""

    Process = EngineProcess


def begin() -> None:
    """Start the server, which imports vLLM from now on; has to come before this process does."""
    resource_tracker.ensure_running()
    forkserver.set_forkserver_preload([_PRELOAD])
    # No thread of OpenMP's may exist when a process is forked: it would wait for ever in the copy.
    with _variables(
        LD_PRELOAD=upstream.preloaded_libraries(os.environ.get("LD_PRELOAD", "")),
        OMP_NUM_THREADS="1",
    ):
        forkserver.ensure_running()


def take_over() -> None:
    """Let vLLM, which this process imports now, use the server, if all is as expected."""
    if reason := upstream.missing():
        _end()
        log.warning(_FALLBACK, reason)
        return
    upstream.keep_to_this_server()
    upstream.start_processes_through(checked_context)


@cache
def checked_context() -> EngineContext | None:
    """The way to start processes, or None where the server cannot be used."""
    if reason := _ask_server():
        _end()
        log.warning(_FALLBACK, reason)
        return None
    return EngineContext()


def _ask_server() -> str:
    """Why it cannot be used, or nothing."""
    answers: list[str] = []

    def ask() -> None:
        try:
            context = EngineContext()
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_tell, args=(writer,), daemon=True)
            process.start()  # waits for the server, which may still import, without a limit
            writer.close()
            answers.append(str(reader.recv()))
            process.join()
        except (OSError, EOFError) as error:
            answers.append(f"the fork server ended ({type(error).__name__})")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answers[0] if answers else f"the fork server did not answer within {PATIENCE:.0f} s"


def _tell(writer: Connection) -> None:
    from wellhead_runtime.faststart import preload

    writer.send(preload.FAILURE)


def _arrive(kind: type[EngineProcess], environment: Mapping[str, str]) -> EngineProcess:
    os.environ.clear()
    os.environ.update(environment)
    threads.settle(environment)
    return kind.__new__(kind)


def _end() -> None:
    if pid := upstream.server_pid():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        upstream.stop_server()


@contextmanager
def _variables(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
