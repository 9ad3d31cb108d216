"""What our image has beside its code: inspected model classes, made once for the installed engine, in nine seconds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.smollm import cache_folder
from wellhead_runtime.faststart.model_infos import edition
from wellhead_runtime.machine import installed_engine


def model_infos() -> Path:
    """The value of WELLHEAD_MODEL_INFOS."""
    folder = cache_folder() / "modelinfos"
    made = folder / edition(*installed_engine())
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as scratch:
            command = [sys.executable, "-m", "wellhead_runtime.faststart.inspecting", scratch]
            subprocess.run(command, check=True, capture_output=True)
            Path(scratch, made.name).rename(made)
    return folder
