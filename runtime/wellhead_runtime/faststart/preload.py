"""What the fork server imports. Only for it: importing this module does the work.

Attributes:
    FAILURE: why it cannot be used, or nothing.
"""

from __future__ import annotations

import gc
import importlib

from wellhead_runtime.distribution import answer_for_cpu_build
from wellhead_runtime.faststart import upstream
from wellhead_runtime.faststart.fork_server import EngineContext
from wellhead_runtime.machine import installed_engine


def _load() -> str:
    upstream.remember_process_title()
    answer_for_cpu_build()
    if reason := upstream.missing():
        return reason
    upstream.keep_to_this_server()
    upstream.start_processes_through(EngineContext)
    try:
        for name in upstream.preloaded(installed_engine()[0]):
            importlib.import_module(name)
        if upstream.touched_device():
            return "an import of vLLM's has touched the GPU already"
    except Exception as error:  # noqa: BLE001 - whatever it is, the front end has to hear of it
        return f"the fork server cannot import vLLM ({type(error).__name__}: {error})"
    # Collections would touch, and so copy, every page that the processes share.
    gc.collect()
    gc.freeze()
    return ""


FAILURE = _load()
