"""The engine's process, with tiny real ones in its place. Each test supervises in a process of its own, whose signal
handlers disturb nobody."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.forked import Ended, Forked, forked, run_forked

# What `wellhead serve` does at its end; the engine is this interpreter with the code in argv[1].
DRIVER = """
import os, sys
from wellhead_runtime.supervisor import Supervisor
from wellhead_storage.failing import run_to_exit
from wellhead_storage.logs import configure
from wellhead_storage.settings import Settings
configure(Settings())
supervisor = Supervisor([sys.executable, "-S", "-c", "import os, signal, sys, time\\n" + sys.argv[1]], os.environ)
{before}
run_to_exit(supervisor.run, os.environ)
"""
READY = "print('INFO:     Application startup complete.', flush=True)"
SUBREAPER = "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)"  # as process 1 of a container: orphans are ours


@contextmanager
def supervised(engine: str, before: str = "", **environment: str) -> Iterator[Forked]:
    with forked(DRIVER.format(before=before), engine, **environment) as process:
        yield process


def run(engine: str, before: str = "", **environment: str) -> Ended:
    return run_forked(DRIVER.format(before=before), engine, **environment)


def sentence(err: str) -> str:
    return err.rstrip("\n").splitlines()[-1]


# How it becomes ready --------------------------------------------------------------------------------------------


def test_what_waits_for_it_is_called_once() -> None:
    before = "supervisor._when_ready = lambda: print('called', file=sys.stderr, flush=True)"
    ended = run(f"{READY}; {READY}; time.sleep(0.3)", before)
    assert ended.err.count("called") == 1
    assert "called" not in run("time.sleep(0.1)", before).err


# How it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "code", "words"),
    [
        ("sys.exit(7)", 7, "vLLM ended before it was ready (exit code 7): it gave no reason."),
        ("pass", 20, "vLLM ended before it was ready (exit code 0): it gave no reason."),
        (f"{READY}; sys.exit(3)", 3, "vLLM ended after it was ready (exit code 3): it gave no reason."),
        (f"{READY}", 20, "vLLM ended after it was ready (exit code 0): it gave no reason."),
        ("os.kill(os.getpid(), 11)", 139, "vLLM ended before it was ready (signal SIGSEGV): it gave no reason."),
        (
            "os.kill(os.getpid(), 9)",
            137,
            "vLLM ended before it was ready (signal SIGKILL): it was killed, most likely for memory.",
        ),
        ("raise KeyError('x')", 1, "vLLM ended before it was ready (exit code 1): KeyError: 'x'."),
    ],
)
def test_its_end_is_explained_and_its_code_kept(tmp_path: Path, engine: str, code: int, words: str) -> None:
    log = tmp_path / "termination-log"
    ended, _, err = run(engine, WELLHEAD_TERMINATION_LOG=str(log))
    assert ended == code, "0 would show nothing in KServe"
    assert sentence(err).startswith(words)
    assert log.read_text() == sentence(err)


def test_ready_is_noticed_in_pieces_and_on_either_stream() -> None:
    engine = (
        "w = sys.stderr.write; w('x: Application sta'); sys.stderr.flush(); time.sleep(0.1); "
        "w('rtup complete.\\n'); sys.exit(3)"
    )
    _, _, err = run(engine)
    assert "ended after it was ready" in sentence(err)


def test_a_known_cause_is_named() -> None:
    _, _, err = run("sys.exit('Exception: libstreamer due to: b\\'File access error\\'\\nhttp_status=403')")
    assert "(403)" in sentence(err)
    assert "s3:GetObject" in sentence(err)


def test_the_last_lines_are_shown_again_above_the_sentence() -> None:
    _, out, err = run("for n in range(300): print('line', n, file=sys.stderr)\nsys.exit('\\nlast word')")
    assert out == b""
    lines = err.splitlines()
    assert lines[:2] == ["line 0", "line 1"]
    again = [line for line in lines if line.startswith("  ")]
    assert len(again) == 20
    assert "  line 299" in again
    assert "  last word" in again
    assert "  " not in again, "empty lines say nothing"
    assert lines.index(again[0]) > next(n for n, line in enumerate(lines) if "the engine's last lines:" in line)


# Its surroundings ------------------------------------------------------------------------------------------------


def test_output_passes_through_byte_for_byte() -> None:
    engine = "os.write(1, b'\\xff\\x00a\\r\\n' * 3 + b'no newline'); os.write(2, b'\\x1b[31mred'); sys.exit(1)"
    _, out, err = run(engine)
    assert out == b"\xff\x00a\r\n" * 3 + b"no newline"
    assert err.startswith("\x1b[31mred")


def test_much_output_on_both_streams_blocks_nobody() -> None:
    engine = "for _ in range(300): os.write(1, b'o' * 9999 + b'\\n'); os.write(2, b'e' * 9999 + b'\\n')\nsys.exit(1)"
    _, out, err = run(engine)
    assert len(out) == 300 * 10_000
    assert err.count("e" * 9999 + "\n") >= 300


def test_output_arrives_while_it_runs() -> None:
    with supervised(f"{READY}; time.sleep(60)") as process:
        assert process.stdout.readline() == b"INFO:     Application startup complete.\n"
        assert process.running


def test_its_environment_is_exactly_what_was_given() -> None:
    engine = "import json; print(json.dumps(dict(os.environ))); sys.exit(1)"
    _, out, _ = run(engine, "supervisor._environment = {'ONLY': 'this'}")
    found = json.loads(out)
    assert {name: value for name, value in found.items() if name != "LC_CTYPE"} == {"ONLY": "this"}


def test_it_has_no_input_and_a_session_of_its_own() -> None:
    """A terminal's Ctrl-C reaches it through us, once."""
    _, out, _ = run("print(sys.stdin.read() == '', os.getsid(0) == os.getpid()); sys.exit(1)")
    assert out == b"True True\n"


# Signals ---------------------------------------------------------------------------------------------------------

# These engines wait for signals with sigwait: Python runs a handler late where the signal comes just before a sleep.
POLITE = """
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM, signal.SIGINT}})
print('up', flush=True)
print('stopped by', int(signal.sigwait({{signal.SIGTERM, signal.SIGINT}})), flush=True)
sys.exit({code})
"""
STUBBORN = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
print('up', flush=True)
while True:
    signal.sigwait({signal.SIGTERM, signal.SIGINT}); print('no', flush=True)
"""
DRAINING = f"""
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
{READY}
signal.sigwait({{signal.SIGTERM}}); time.sleep(0.5); print('drained', flush=True)
"""
IMPATIENT = "import wellhead_runtime.supervisor as module; module._PATIENCE_WHILE_LOADING = 0.1"
SAYS_READY = """
import threading
threading.Thread(target=lambda: (supervisor._ready.wait(), os.write(1, b"up\\n")), daemon=True).start()
"""


def stop(process: Forked, *numbers: int) -> tuple[int, bytes, str, float]:
    """Wait until it is up, send the signals, wait for the end."""
    assert process.stdout.readline() == b"up\n"
    asked, read = time.monotonic(), b""
    process.send_signal(numbers[0])
    for number in numbers[1:]:
        read += process.stdout.readline()
        process.send_signal(number)
    ended = process.wait()
    return ended.code, read + ended.out, ended.err, time.monotonic() - asked


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGTERM, 5), (signal.SIGINT, 0)])
def test_a_stop_is_forwarded_and_is_no_failure(number: signal.Signals, code: int) -> None:
    with supervised(POLITE.format(code=code)) as process:
        ended, out, err, _ = stop(process, number)
    assert ended == code
    assert out == f"stopped by {int(number)}\n".encode()
    assert "vLLM ended" not in err
    assert re.search(rf"the engine stopped with code {code}$", err.strip())


def test_an_engine_without_handlers_stops_as_shells_say_it() -> None:
    with supervised("print('up', flush=True); time.sleep(60)") as process:
        ended, _, err, _ = stop(process, signal.SIGTERM)
    assert ended == 143
    assert "vLLM ended" not in err


def test_a_second_signal_kills_an_engine_that_ignores_the_first() -> None:
    with supervised(STUBBORN) as process:
        ended, out, _, took = stop(process, signal.SIGTERM, signal.SIGTERM)
    assert (ended, out) == (137, b"no\n")
    assert took < 4, "the second signal itself kills, not the patience with an engine that loads"


def test_an_engine_that_still_loads_is_not_waited_for() -> None:
    """There is no request to drain, and vLLM's loading workers listen to nothing."""
    with supervised(STUBBORN, IMPATIENT) as process:
        ended, _, err, _ = stop(process, signal.SIGTERM)
    assert ended == 137
    assert "vLLM ended" not in err


def test_an_engine_that_serves_may_finish_its_requests() -> None:
    with supervised(DRAINING, IMPATIENT + SAYS_READY) as process:
        assert b"startup complete" in process.stdout.readline()
        ended, out, _, _ = stop(process, signal.SIGTERM)
    assert (ended, out) == (0, b"drained\n")


def test_a_signal_before_there_is_an_engine_is_not_lost() -> None:
    ended, _, err = run("time.sleep(60)", "supervisor._forward(15, None)")
    assert ended == 143
    assert "vLLM ended" not in err


# Processes that it leaves ----------------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    """Running, and not merely a zombie that this machine's process 1 has not collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def test_workers_do_not_outlive_a_crashed_engine() -> None:
    """Nor does their hold on the pipes delay the end."""
    engine = "pid = os.fork()\nif not pid: time.sleep(60)\nprint(pid, flush=True); os._exit(3)"
    began = time.monotonic()
    ended, out, _ = run(engine)
    assert ended == 3
    assert time.monotonic() - began < 4, "the pipes of a living worker would keep us for five seconds each"
    deadline = time.monotonic() + 10
    while alive(int(out)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(int(out))


def test_workers_do_not_outlive_an_engine_that_is_killed() -> None:
    engine = "pid = os.fork()\nif not pid:\n    signal.signal(15, signal.SIG_IGN); time.sleep(60)\n" + STUBBORN.replace(
        "print('up'", "print(pid, flush=True); print('up'"
    )
    with supervised(engine) as process:
        worker = int(process.stdout.readline())
        ended, _, err, _ = stop(process, signal.SIGTERM, signal.SIGTERM)
    assert ended == 137, err
    deadline = time.monotonic() + 10
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(worker)


def test_orphans_are_collected_while_the_engine_runs() -> None:
    engine = """
read, write = os.pipe()
if not os.fork():
    orphan = os.fork()
    if orphan:
        os.write(write, str(orphan).encode())
    os._exit(0)
os.wait()
orphan = int(os.read(read, 99))
deadline = time.monotonic() + 10
while os.path.exists(f'/proc/{orphan}') and time.monotonic() < deadline:
    time.sleep(0.01)
print('collected' if not os.path.exists(f'/proc/{orphan}') else 'a zombie')
sys.exit(1)
"""
    ended, out, _ = run(engine, SUBREAPER)
    assert (ended, out) == (1, b"collected\n")


def test_an_orphan_that_ends_is_not_taken_for_the_engine() -> None:
    engine = f"""
if not os.fork():
    if not os.fork():
        time.sleep(0.1)
        os._exit(9)
    os._exit(8)
os.wait(); time.sleep(0.3)
{READY}; sys.exit(4)
"""
    ended, _, err = run(engine, SUBREAPER)
    assert ended == 4
    assert "after it was ready (exit code 4)" in err


def test_an_orphan_that_another_thread_collects_first_is_no_failure() -> None:
    """As the fetcher is, where the last byte has just come when the engine gets ready."""
    quicker = """
import time
look = os.waitid
def waitid(*arguments):
    ended = look(*arguments)
    if ended and ended.si_pid != supervisor._child.pid:
        os.waitpid(ended.si_pid, 0)
    return ended
os.waitid = waitid
"""
    engine = f"""
if not os.fork():
    if not os.fork():
        time.sleep(0.1)
    os._exit(0)
os.wait(); time.sleep(0.3)
{READY}; sys.exit(4)
"""
    ended, _, err = run(engine, SUBREAPER + quicker)
    assert ended == 4, err


def test_this_machine_can_show_what_the_tests_above_look_for() -> None:
    assert alive(os.getpid())
    assert not alive(2**22 + 1)


# A failed engine that hangs ----------------------------------------------------------------------------------------


def test_an_engine_that_failed_and_does_not_exit_is_ended() -> None:
    """vLLM's outer processes were seen to wait for ever after a worker had failed."""
    prefix = "(Worker pid=1) ERROR 11-23 10:47:07 [multiproc_executor.py:953]"
    engine = (
        f"print('{prefix} WorkerProc failed to start.', flush=True)\n"
        f"print('{prefix} RuntimeError: no compiler', flush=True)\n"
        "time.sleep(60)"
    )
    code, _, err = run(engine, "import wellhead_runtime.supervisor as module; module._PATIENCE_AFTER_FATAL = 0.2")
    assert code == 20
    assert sentence(err).startswith(
        "vLLM ended before it was ready (it failed and did not exit): RuntimeError: no compiler."
    )


def test_an_ordinary_line_ends_nothing() -> None:
    engine = "print('ERROR: failed to start a coffee machine', flush=True); time.sleep(0.5); sys.exit(5)"
    code, _, _ = run(engine, "import wellhead_runtime.supervisor as module; module._PATIENCE_AFTER_FATAL = 0.1")
    assert code == 5


def test_a_fatal_line_of_an_engine_that_serves_ends_nothing() -> None:
    engine = f"{READY}; time.sleep(0.3); print('EngineCore failed to start', flush=True); time.sleep(0.8); sys.exit(5)"
    code, _, _ = run(engine, "import wellhead_runtime.supervisor as module; module._PATIENCE_AFTER_FATAL = 0.1")
    assert code == 5


def test_the_start_is_reported_between_the_engines_own_lines() -> None:
    before = """
from wellhead_runtime.faststart.report import StartReport
supervisor._report = StartReport(0.0, as_json=False)
"""
    _, _, err = run(f"print('Loading weights took 1 s', flush=True); {READY}; sys.exit(3)", before)
    assert "wellhead INFO the engine is ready after" in err
    assert "\n  weights " in err
