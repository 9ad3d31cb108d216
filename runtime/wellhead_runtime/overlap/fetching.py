"""The starter's side: make the memory, start the fetcher, explain its end, and give everything back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from wellhead_runtime.overlap.stubs import header_of
from wellhead_storage.control_page import ArrivingFile, ControlPage, State, hold
from wellhead_storage.credentials.kinds import Credentials
from wellhead_storage.errors import EngineFailed, InvalidConfiguration, WellheadError
from wellhead_storage.fetcher_job import make_job
from wellhead_storage.files import in_gib
from wellhead_storage.logs import log
from wellhead_storage.plan import Plan
from wellhead_storage.settings import PREFIX, Settings

_FETCHER = "wellhead_storage.fetcher"


class FetchFailed(WellheadError):
    """The fetcher failed; carries its sentence and its exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class Fetching:
    """One fetcher and the memory that it fills.

    The memory is this process's: it outlives the fetcher, which ends when all is there, and goes with this process,
    however that ends. Nothing has a name in a file system, so nothing can be left behind.

    Args:
        plan: in mode `stream`.
        folder: the model folder, with the header-only shards.
        credentials: for the store.
        settings: time-outs.
        environment: the fetcher's.
        read_once: whether the engine may give back the memory of a shard that it has loaded.

    Raises:
        InvalidConfiguration: the system refuses the memory, or the folder lacks a header.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        credentials: Credentials,
        settings: Settings,
        environment: Mapping[str, str],
        *,
        read_once: bool = False,
    ) -> None:
        self._giving_up = threading.Lock()
        self._stopped = False
        self._memory: list[int] = []
        try:
            files = [self._file(folder, plan, number) for number in range(len(plan.weights.files))]
            self._descriptor = os.memfd_create("wellhead-arrivals")
            ControlPage.write(self._descriptor, str(folder), files, _patience(settings), read_once=read_once)
            self._page = ControlPage(self._descriptor, write=True)
            self._child = self._start(plan, credentials, environment)
        except OSError as error:
            self._release()
            raise InvalidConfiguration(
                f"The weights cannot be fetched into shared memory: {error.strerror}.",
                "Set wellhead.dev/loader: runai_streamer.",
            ) from error

    @property
    def path(self) -> Path:
        """Where the engine's processes find the control page."""
        return Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")

    @property
    def pid(self) -> int:
        """The fetcher's process, which may have ended."""
        return self._child.pid

    def arrival(self) -> tuple[float, float]:
        """`time.monotonic()` of the first byte and of the last, 0 for what has not happened."""
        return self._page.first_byte, self._page.last_byte

    def ended(self, status: int) -> None:
        """Somebody reaped the fetcher; `status` is the kernel's."""
        self._child.returncode = os.waitstatus_to_exitcode(status)

    @property
    def error(self) -> WellheadError | None:
        """Why the weights will not all arrive; None while they may."""
        if self._page.state is State.FAILED:
            return FetchFailed(*self._page.failure)
        code = self._child.returncode
        if self._stopped or code is None or self._page.state is State.COMPLETE:
            return None
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        memory = code == -signal.SIGKILL
        return EngineFailed(
            f"The process that fetches the weights ended before they were there ({how})"
            + (": it was killed, most likely for memory." if memory else "."),
            "Raise resources.limits.memory, or set wellhead.dev/loader: runai_streamer."
            if memory
            else "Its log above may say more.",
        )

    def give_up(self) -> None:
        """The engine is ready: let the memory go.

        The kernel frees it once no process maps it any more, so a tensor that a model has kept stays as it is. Who
        asks from now on gets a sentence, and never a page of zeros.
        """
        with self._giving_up:
            if self._page.given_up:
                return
            self._page.give_up()
            total = sum(file.size for file in self._page.files)
            self._release()
        self.stop()
        log.info("the engine is ready: %s of shared memory given back", in_gib(total), extra={"bytes_freed": total})

    def stop(self) -> None:
        """End the fetcher, if it still runs; nothing that it says any more counts."""
        with suppress(ProcessLookupError):
            if self._child.poll() is None:
                self._stopped = True
                self._child.kill()
                self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()

    def close(self) -> None:
        """End the fetcher and let everything go."""
        self.stop()
        self._release()
        self._page.close()
        os.close(self._descriptor)

    def _file(self, folder: Path, plan: Plan, number: int) -> ArrivingFile:
        file = plan.weights.files[number]
        header = header_of(folder, file)
        if header is None:
            raise InvalidConfiguration(
                f"{folder / file.name} is not the header that the initializer left there.",
                "Delete the pod to prepare it anew.",
            )
        memory = os.memfd_create(f"wellhead-{number}")
        self._memory.append(memory)
        os.ftruncate(memory, file.size)
        os.pwrite(memory, header, 0)
        return ArrivingFile(file.name, file.size, len(header), memory)

    def _start(self, plan: Plan, credentials: Credentials, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        held = hold(self._descriptor)
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", _FETCHER],
                # This process reports; the fetcher's sentence comes through the page.
                env=dict(environment) | {f"{PREFIX}TERMINATION_LOG": os.devnull},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(held, *self._memory),
                start_new_session=True,  # a terminal's Ctrl-C is this process's affair
            )
        finally:
            os.close(held)
        job = make_job(plan.weights.uri, plan.weights.files, credentials, held)
        assert child.stdin is not None  # noqa: S101 - PIPE was asked for
        with suppress(BrokenPipeError):  # it ended at once, which shows elsewhere
            child.stdin.write(job.model_dump_json().encode() + b"\n")
            child.stdin.flush()
        return child

    def _release(self) -> None:
        for descriptor in self._memory:
            os.close(descriptor)
        self._memory.clear()


def _patience(settings: Settings) -> float:
    """Seconds without a byte after which the engine stops waiting: longer than any patience of the fetcher's own."""
    return 2 * (settings.retry_timeout + settings.stall_timeout + settings.connect_timeout)
