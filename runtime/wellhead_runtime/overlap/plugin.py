"""The entry point of vLLM's plugins (group `vllm.general_plugins`), called in every one of its processes."""

from __future__ import annotations

import os

from wellhead_runtime.overlap.arrivals import VARIABLE

NAME = "wellhead"
"""Of the entry point, and of the load format."""


def register() -> None:
    """Make `--load-format wellhead` known where weights arrive; elsewhere this costs nothing."""
    if not os.environ.get(VARIABLE):
        return
    from vllm.model_executor.model_loader import register_model_loader

    from wellhead_runtime.overlap.loader import OverlapLoader

    register_model_loader(NAME)(OverlapLoader)
