"""Inspect every model class that this vLLM knows, for the image (`model_infos`).

    python -m wellhead_runtime.faststart.inspecting FOLDER

Seven seconds and 1 MiB for all of them, so no list of ours has to be kept. vLLM does the work and writes the files;
that it does so in one process and not in one for each is the only difference. Left out are the few classes under
`vllm.models`, which are chosen by hardware, which the machine that builds an image does not have.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wellhead_runtime.distribution import answer_for_cpu_build
from wellhead_runtime.faststart.model_infos import FOLDER, edition
from wellhead_runtime.machine import installed_engine

_LAYOUT = "vllm.model_executor.models."


def main(folder: Path) -> None:
    """Write one file for each class into the folder for the installed engine, and say what could not be inspected."""
    target = folder / edition(*installed_engine())
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"VLLM_CACHE_ROOT": scratch, "HOME": scratch, "VLLM_LOGGING_LEVEL": "CRITICAL"}
        answer_for_cpu_build()
        refused = _inspect_all()
        written = sorted(Path(scratch, FOLDER).glob("*.json"))
        target.mkdir(parents=True, exist_ok=True)
        for path in written:
            # Copied for any user to read: vLLM's own are for the one who made them.
            shutil.copyfile(path, target / path.name)
    sys.stdout.write(f"{len(written)} model classes are inspected, in {target}\n")
    for name, reason in refused.items():
        sys.stdout.write(f"not inspected: {name}: {reason}\n")


def _inspect_all() -> dict[str, str]:
    """Why, by architecture, of those that could not be inspected (an optional package is missing, mostly)."""
    from vllm.model_executor.models import registry

    def here(function: Callable[[], Any]) -> Any:
        return function()

    registry._run_in_subprocess = here
    refused = {}
    for name, model in registry.ModelRegistry.models.items():
        if not model.module_name.startswith(_LAYOUT):
            continue
        try:
            model.inspect_model_cls()
        except Exception as error:  # noqa: BLE001 - any class may fail in its own way, and none stops the others
            refused[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return refused


if __name__ == "__main__":
    main(Path(sys.argv[1]))
