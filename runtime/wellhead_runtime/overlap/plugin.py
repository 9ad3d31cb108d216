"""The entry point of vLLM's plugins (group `vllm.general_plugins`), called in every one of its processes."""

from __future__ import annotations

import os

from wellhead_runtime.overlap.after_import import after_import
from wellhead_runtime.overlap.arrivals import VARIABLE

NAME = "wellhead"
"""Of the entry point, and of the load format."""


def register() -> None:
    """Make `--load-format wellhead` known where weights arrive; elsewhere this costs nothing.

    Front end, engine core and the process that looks at a model's class load no weights, and would import the loaders
    for nothing: 0.4 to 1.2 s each. So the format is made known once vLLM imports them.
    """
    if os.environ.get(VARIABLE):
        after_import("vllm.model_executor.model_loader", _register)


def _register() -> None:
    from vllm.model_executor.model_loader import register_model_loader

    from wellhead_runtime.overlap.loader import OverlapLoader

    register_model_loader(NAME)(OverlapLoader)
