"""Own the engine's process: pass its output on, forward signals, reap children, explain its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from wellhead_runtime.diagnosis import likely_cause
from wellhead_runtime.faststart.report import StartReport
from wellhead_runtime.overlap.fetching import Fetching
from wellhead_runtime.process_group import kill_group
from wellhead_storage.errors import EngineFailed
from wellhead_storage.logs import log

_READY = b"Application startup complete"  # uvicorn's line, written once vLLM listens
# vLLM waits for its workers on SIGTERM, and a worker that loads does not listen (60 s and more on a slow link, seen).
# Before it is ready there is no request to drain, so nothing is lost by not waiting.
_PATIENCE_WHILE_LOADING = 5.0  # seconds
# What vLLM's inner processes log when they fail. The outer ones should end soon after that, and do not always: with a
# failed worker they were seen to wait for ever (no C++ compiler for torch.compile, vLLM 0.32 on CPU).
_FATAL = (b"WorkerProc failed to start", b"EngineCore failed to start", b"Engine core initialization failed")
_PATIENCE_AFTER_FATAL = 30.0  # seconds
_TAIL_LINES = 400  # three processes write a traceback each, the innermost first
_LAST_LINES = 20  # of these, shown again behind the failure


class Supervisor:
    """One engine process.

    Args:
        command: its argument list.
        environment: its whole environment.
        report: follows its start.
        fetching: what brings its weights meanwhile; its memory is given up when the engine is ready, and its failure
            ends the engine.
        when_ready: called once, in a thread of its own.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        report: StartReport | None = None,
        fetching: Fetching | None = None,
        when_ready: Callable[[], None] | None = None,
    ) -> None:
        self._when_ready = when_ready
        self._report = report
        self._fetching = fetching
        self._command = list(command)
        self._environment = dict(environment)
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._ready = threading.Event()
        self._asked_to_stop = 0
        self._hangs = threading.Event()
        self._fatal_seen = False
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Start the engine and wait for its end; SIGTERM and SIGINT are forwarded, a second one kills.

        Returns:
            The exit code after a stop that was asked for.

        Raises:
            EngineFailed: it ended by itself, code 0 included: KServe would show nothing for that.
        """
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        # A session of its own: Ctrl-C reaches it through us, once, and its whole group can be killed.
        self._child = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if self._report:
            self._report.begin()
        pumps = [
            threading.Thread(target=self._pump, args=(pipe.fileno(), target), daemon=True)
            for pipe, target in ((self._child.stdout, sys.stdout), (self._child.stderr, sys.stderr))
            if pipe is not None
        ]
        for pump in pumps:
            pump.start()
        if self._asked_to_stop:  # a signal that arrived before there was a child
            self._child.send_signal(signal.SIGTERM)
        code = self._wait(self._child, woken)
        self._kill_group()  # workers of a crashed engine must not outlive it
        if self._fetching:
            self._fetching.stop()
        for pump in pumps:
            pump.join(timeout=5)
        return self._judge(code)

    def _wait(self, child: subprocess.Popen[bytes], woken: int) -> int:
        """Wait for the engine while reaping every orphan: as process 1 of a container they are all ours.

        A signal that arrives just before a blocking `waitid` would not interrupt it, and its handler would run only
        after the engine's end (seen with two signals in a row); every signal writes a byte to `woken` as well.
        """
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            except ChildProcessError:
                return child.wait()
            if ended is None:
                select.select([woken], [], [])
                os.read(woken, 4096)
            elif ended.si_pid == child.pid:
                return child.wait()
            else:
                self._reap(ended.si_pid)

    def _reap(self, pid: int) -> None:
        """An engine without its weights need not be waited for."""
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return  # the thread that saw the engine get ready was quicker, with the fetcher
        if self._fetching and pid == self._fetching.pid:
            self._fetching.ended(status)
            if self._fetching.error:
                self._kill_group()

    def _judge(self, code: int) -> int:
        shell_code = code if code >= 0 else 128 - code
        if self._asked_to_stop:
            log.info("the engine stopped with code %d", shell_code)
            return shell_code
        if self._fetching and not self._ready.is_set() and (error := self._fetching.error):
            raise error
        when = "after it was ready" if self._ready.is_set() else "before it was ready"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        cause, hint = likely_cause(self._tail)
        if self._hangs.is_set():
            how, shell_code = "it failed and did not exit", EngineFailed.exit_code
        elif code == -signal.SIGKILL:
            cause, hint = "it was killed, most likely for memory", "Raise resources.limits.memory."
        self._show_last_lines()
        raise EngineFailed(f"vLLM ended {when} ({how}): {cause}.", hint, exit_code=shell_code or EngineFailed.exit_code)

    def _show_last_lines(self) -> None:
        sys.stdout.flush()
        lines = [line for line in self._tail if line.strip()][-_LAST_LINES:]
        log.error("the engine's last lines:")
        for line in lines:
            sys.stderr.write(f"  {line}\n")

    def _is_ready(self) -> None:
        if self._ready.is_set():
            return
        self._ready.set()
        if self._fetching:
            self._fetching.give_up()
        if self._when_ready:
            threading.Thread(target=self._when_ready, daemon=True).start()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop += 1
        if self._child is None:
            return
        if self._asked_to_stop > 1:
            self._kill_group()
        elif self._child.poll() is None:
            self._child.send_signal(number)
            if not self._ready.is_set():
                self._kill_later()

    def _end_later(self) -> None:
        """An engine that has failed gets a moment to end by itself."""
        if self._fatal_seen:
            return
        self._fatal_seen = True

        def end() -> None:
            self._hangs.set()
            self._kill_group()

        timer = threading.Timer(_PATIENCE_AFTER_FATAL, end)
        timer.daemon = True
        timer.start()

    def _kill_later(self) -> None:
        timer = threading.Timer(_PATIENCE_WHILE_LOADING, self._kill_group)
        timer.daemon = True
        timer.start()

    def _kill_group(self) -> None:
        if self._child is not None:
            kill_group(self._child.pid)

    def _pump(self, source: int, target: object) -> None:
        """Copy bytes as they come, and remember the last lines of both streams."""
        sink = target.fileno()  # type: ignore[attr-defined]
        rest = b""
        while chunk := os.read(source, 65536):
            view = memoryview(chunk)
            while view:
                view = view[os.write(sink, view) :]
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-65536:]
            for line in lines:
                text = line.decode(errors="replace")
                self._tail.append(text)
                if self._report:
                    self._report.line(text)
                if _READY in line:
                    self._is_ready()
                elif not self._ready.is_set() and any(fatal in line for fatal in _FATAL):
                    self._end_later()
        if rest:
            self._tail.append(rest.decode(errors="replace"))
