"""A supervised engine whose weights arrive: small programs stand for vLLM, the fetcher and the store are real.

Every test runs a program like `wellhead serve` in a process of its own, some as in a pod that allows little.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.storage.overlapping import STARTER, settings_of
from tests.storage.pod import NOBODY, as_user, may_be_another_user
from tests.support.counting_proxy import CountingProxy, Fault, counting_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.storage.model import Model
    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

SERVE = f"""{STARTER}
fetching = fetch()
print(fetching.pid, flush=True)
engine = [sys.executable, "-c", "import os, sys, time\\n" + sys.argv[2]]
environment = dict(os.environ) | {{VARIABLE: str(fetching.path)}}
run_to_exit(Supervisor(engine, environment, fetching=fetching).run, os.environ)
"""
LOADS = """
import hashlib
from pathlib import Path
from wellhead_runtime.overlap.arrivals import VARIABLE, Arrivals
def load():
    arrivals = Arrivals(Path(os.environ[VARIABLE]))
    for file in sorted(Path(os.environ["FOLDER"]).glob("*.safetensors")):
        with arrivals.shard(file.name) as path:
            arrivals.wait(file.name, 0, path.stat().st_size)
            print(file.name, hashlib.sha256(path.read_bytes()).hexdigest(), flush=True)
"""
# The tests' Python may lie where only root looks: this much stays, so that the children can be started, too.
FINDS_PYTHON = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
USER = (*as_user(NOBODY)[:-1], *FINDS_PYTHON, "--")
READY = "print('INFO:     Application startup complete.', flush=True)"


@pytest.fixture
def proxy(store: SeaweedFS) -> Iterator[CountingProxy]:
    with counting_proxy(store.endpoint_url) as running:
        yield running


@pytest.fixture
def prepared(pod: Pod, llama: Model, store: SeaweedFS, proxy: CountingProxy) -> Pod:
    outcome = pod.init(llama.uri, **store.environment(proxy.endpoint_url, reader=True))
    assert outcome.exit_code == 0, outcome.stderr
    proxy.clear()
    return pod


def start(pod: Pod, engine: str, *before: str, program: str = SERVE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, sys.executable, "-c", program, str(pod.destination), engine],
        env=settings_of(pod, FOLDER=str(pod.destination), PATH=os.environ["PATH"]),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(pod: Pod, engine: str, *before: str, program: str = SERVE) -> tuple[int, list[str], str]:
    with start(pod, engine, *before, program=program) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err


def gone(pid: int) -> bool:
    """Not there, or only a zombie that this machine's process 1 has not collected."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}:
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def expected(model: Model) -> list[str]:
    import hashlib

    return [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in sorted(model.shards.items())]


def silent(proxy: CountingProxy) -> None:
    proxy.interfere = lambda _: Fault(after=100, ending="silence")


# It works --------------------------------------------------------------------------------------------------------


def test_the_memory_is_there_until_the_engine_is_ready_and_then_never_again(prepared: Pod, llama: Model) -> None:
    again = "\ntry: load()\nexcept Exception as error: print(error, flush=True)\n"
    wait = f"\nload(); load()\n{READY}\nwhile os.environ[VARIABLE] and not given_up(): time.sleep(0.01)\n"
    given_up = "\ndef given_up():\n    return Arrivals(Path(os.environ[VARIABLE]))._page.given_up\n"
    code, out, err = run(prepared, LOADS + given_up + wait + again + "sys.exit(3)")
    pid, *said = out
    loads = expected(llama)
    assert said[: 2 * len(loads)] == loads * 2, "a draft in the same checkpoint loads it a second time"
    assert "the weights' shared memory was given back" in said[-1].lower()
    assert code == 3, err
    assert "of shared memory given back" in err
    assert gone(int(pid))


@pytest.mark.skipif(not may_be_another_user(), reason="needs root, and a Python that others may read")
def test_a_user_without_privileges_or_a_place_to_write(prepared: Pod, llama: Model) -> None:
    """As under a read-only root: this user may write nothing but its termination log."""
    prepared.folder.chmod(0o755)
    code, out, err = run(prepared, LOADS + f"load()\n{READY}\ntime.sleep(0.2); sys.exit(3)", *USER)
    assert out[1:-1] == expected(llama), err
    assert code == 3, err


def may_mount() -> bool:
    tried = ["unshare", "--mount", "sh", "-c", "mount -t proc -o hidepid=2 proc /proc"]
    return bool(shutil.which("unshare")) and subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not (may_be_another_user() and may_mount()), reason="needs root that may mount /proc")
@pytest.mark.parametrize("options", ["hidepid=1", "hidepid=2", "hidepid=4,subset=pid"])
def test_a_proc_that_hides_the_processes_of_others(prepared: Pod, llama: Model, options: str) -> None:
    hardened = ("unshare", "--mount", "sh", "-c", f'mount -t proc -o {options} proc /proc && exec "$@"', "sh")
    engine = LOADS + f"load()\n{READY}\ntime.sleep(0.2); sys.exit(3)"
    code, out, err = run(prepared, engine, *hardened, *USER)
    assert out[1:-1] == expected(llama), err
    assert code == 3, err


@pytest.mark.skipif(not may_be_another_user(), reason="needs root, and a Python that others may read")
def test_where_no_process_may_open_anothers_memory_that_is_known_beforehand(prepared: Pod) -> None:
    """A process that is not dumpable stands for whatever profile or kernel refuses it."""
    look = f"{STARTER}\nprint(missing_here(plan, folder))\nctypes_off\nprint(missing_here(plan, folder))"
    program = look.replace("ctypes_off", "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)")
    code, out, err = run(prepared, "", *USER, program=program)
    assert (code, out) == (0, ["[]", '["no other process here may open this one\'s memory through /proc"]']), err


# It does not -----------------------------------------------------------------------------------------------------


def test_a_failure_of_the_fetcher_ends_the_engine_at_once(prepared: Pod, llama: Model, proxy: CountingProxy) -> None:
    proxy.interfere = lambda _: Fault(status=403, code="AccessDenied")
    began = time.monotonic()
    code, out, err = run(prepared, "print(os.getpid(), flush=True); time.sleep(60)")
    assert time.monotonic() - began < 15, "forty seconds of imports need not be waited for"
    sentence = err.splitlines()[-1]
    assert code == 12
    assert sentence.startswith(f"The store refuses access to {llama.uri}/model-0000")
    assert prepared.termination_log.read_text() == sentence
    assert all(gone(int(pid)) for pid in out)


def test_a_fetcher_that_is_killed_ends_the_engine(prepared: Pod, proxy: CountingProxy) -> None:
    silent(proxy)
    with start(prepared, LOADS + "load()") as process:
        assert process.stdout
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 20
    assert "was killed, most likely for memory" in err.splitlines()[-1]


def test_an_engine_that_waits_in_vain_ends_with_the_fetchers_sentence(prepared: Pod, proxy: CountingProxy) -> None:
    silent(proxy)
    code, _, err = run(prepared, LOADS + "load()")
    assert code == 16, err
    assert "cannot be re" in err.splitlines()[-1]


def test_an_engine_that_fails_leaves_nothing(prepared: Pod, proxy: CountingProxy) -> None:
    silent(proxy)
    code, out, err = run(prepared, "time.sleep(0.5); sys.exit('ValueError: no such layer')")
    assert code == 1
    assert err.splitlines()[-1].startswith("vLLM ended before it was ready (exit code 1)")
    assert gone(int(out[0]))


def test_the_container_can_be_started_again_after_that(prepared: Pod, llama: Model) -> None:
    """The kubelet does so in the same pod, with the same folder."""
    assert run(prepared, "sys.exit(1)")[0] == 1
    _, out, err = run(prepared, LOADS + "load(); sys.exit(1)")
    assert out[1:] == expected(llama), err


def test_a_stop_while_loading_leaves_nothing(prepared: Pod, proxy: CountingProxy) -> None:
    silent(proxy)
    with start(prepared, LOADS + "print(os.getpid(), flush=True); load()") as process:
        assert process.stdout
        pids = [int(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143
    assert all(gone(pid) for pid in pids)


def test_a_fetcher_does_not_outlive_a_starter_that_is_killed(prepared: Pod, proxy: CountingProxy) -> None:
    silent(proxy)
    program = f"{STARTER}\nfetching = fetch(); print(fetching.pid, flush=True); time.sleep(60)"
    with start(prepared, "", program=program) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        process.kill()
    assert gone(pid)
