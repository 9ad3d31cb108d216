"""Everything that a fast start changes in vLLM and in Python's fork server, and what it expects to find there.

For vLLM 0.32 (`deciding.VERSIONS`) and Python 3.11 to 3.13. With any other version `missing` has to be looked at again,
and the lines named here.

- `vllm/utils/system_utils.py`, `get_mp_context`: every process of the engine is started through the context that it
  returns. vLLM has a fork server of its own in mind (`entrypoints/launchers/api_server/entry.py` line 42), but
  `envs.py` line 956 refuses the value that would switch it on, and `platforms/cpu.py` line 409 overwrites it with
  "spawn".
- `multiprocessing/forkserver.py`, `ForkServer.ensure_running`: a process that came from the server does not know its
  process number and would start a second server for its own children. And where the server is gone, a new one would
  import everything again, in silence: an error is better.
- `vllm/utils/system_utils.py`, `set_process_title`: the library behind it has to find the process's arguments before
  the environment is replaced, or a process keeps the server's name.
- `platforms/cpu.py` lines 440 to 510: libraries that vLLM puts into LD_PRELOAD for its children have to be there when
  the server starts.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

# What engine core and workers import in any case; a model's own module takes a fraction of a second.
_WORKERS = {"cpu": "vllm.v1.worker.cpu_worker", "cuda": "vllm.v1.worker.gpu_worker"}
_PRELOADED = (
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.model_executor.model_loader",
)
_SERVERS_PARTS = ("_forkserver_address", "_forkserver_alive_fd", "_forkserver_pid", "_stop", "ensure_running")


def missing() -> str:
    """What is not as expected, in words; imports a little of vLLM."""
    try:
        module = importlib.import_module("vllm.utils.system_utils")
        if inspect.signature(module.get_mp_context).parameters:
            return "vllm.utils.system_utils.get_mp_context takes arguments"
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    server = getattr(forkserver, "_forkserver", None)
    for part in _SERVERS_PARTS:
        if not hasattr(server, part):
            return f"multiprocessing's fork server has no {part}"
    return ""


def preloaded(build: str) -> tuple[str, ...]:
    """Modules that the server imports for a build of vLLM ("cpu", "cuda")."""
    return (_WORKERS[build], *_PRELOADED)


def touched_device() -> bool:
    """Whether an import has touched a GPU: a forked process cannot use it then (CUDA's rule)."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def start_processes_through(choose: Callable[[], BaseContext | None]) -> None:
    """Let vLLM start its processes through the chosen context, or through its own where there is none.

    Has to come before the modules that import the function by name.
    """
    module: Any = importlib.import_module("vllm.utils.system_utils")
    original: Callable[[], BaseContext] = module.get_mp_context

    def get_mp_context() -> BaseContext:
        return choose() or original()

    module.get_mp_context = get_mp_context


def remember_process_title() -> None:
    """Let forked processes give themselves a name; vLLM does without the library, too."""
    with suppress(ImportError):
        importlib.import_module("setproctitle").getproctitle()


def keep_to_this_server() -> None:
    """Never start another fork server."""
    server: Any = forkserver._forkserver
    server.ensure_running = resource_tracker.ensure_running


def stop_server() -> None:
    """End the fork server; nothing may be running in it."""
    server: Any = forkserver._forkserver
    server._stop()


def server_pid() -> int | None:
    """The fork server's process, where this process started one."""
    server: Any = forkserver._forkserver
    pid: int | None = server._forkserver_pid
    return pid


def preloaded_libraries(named: str) -> str:
    """LD_PRELOAD as vLLM makes it for its children.

    Args:
        named: its value now.
    """
    libraries = named
    for package, patterns in (
        # The first place that has one, as in vLLM.
        ("torch", ("../torch.libs/libgomp*.so*", "lib/libgomp*.so*")),
        ("vllm", ("libs/libtcmalloc_minimal*.so*", "libs/libtcmalloc.so*")),
    ):
        spec = find_spec(package)
        folder = Path(spec.origin).parent if spec and spec.origin else None
        found = [path for pattern in patterns if folder for path in folder.glob(pattern)]
        if found:
            # vLLM puts the allocator in front and OpenMP behind.
            pair = (libraries, str(found[0])) if package == "torch" else (str(found[0]), libraries)
            libraries = ":".join(filter(None, pair))
    return libraries
