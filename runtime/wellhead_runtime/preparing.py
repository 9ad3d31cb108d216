"""A model given as a URI: run `wellhead init` as a child first, then go on as with any plan.

For everything without an initializer: llm-d's chart, a plain Deployment, `docker run`. No sealing is needed, since
the credentials are in this container's environment anyway.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from wellhead_storage.errors import Interrupted, WellheadError
from wellhead_storage.settings import PREFIX, Settings


class PreparationFailed(WellheadError):
    """`wellhead init` failed; carries its sentence and its exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def model_folder(uri: str, settings: Settings) -> Path:
    """Where a URI's model is prepared: WELLHEAD_MODEL_DIR, else the temporary folder."""
    if settings.model_dir:
        return settings.model_dir
    return Path(tempfile.gettempdir()) / f"wellhead-{os.getuid()}" / hashlib.sha256(uri.encode()).hexdigest()[:16]


def prepare_uri(uri: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Prepare `uri` in `folder` with the decisions an init container would take.

    Raises:
        PreparationFailed: with the child's own sentence and exit code.
        Interrupted: a signal arrived meanwhile.
    """
    variables = dict(environment) | {
        f"{PREFIX}ENGINE": "vllm",
        f"{PREFIX}HANDOFF": "shared",
        f"{PREFIX}TERMINATION_LOG": os.devnull,  # this process reports
    }
    stopped: list[int] = []
    children: list[subprocess.Popen[str]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        for started in children:
            started.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    child = subprocess.Popen(
        [sys.executable, "-m", "wellhead_runtime", "init", uri, str(folder)],
        env=variables,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    children.append(child)
    if stopped:  # by a signal that arrived before there was a child
        child.send_signal(signal.SIGTERM)
    last = ""
    assert child.stderr is not None  # noqa: S101 - PIPE was asked for
    with child.stderr:
        for line in child.stderr:
            # The sentence of a failure is the last line; it is held back, because this process says it.
            if last:
                sys.stderr.write(last)
            last = line
    code = child.wait()
    if stopped:
        raise Interrupted(f"Stopped by {signal.Signals(stopped[0]).name} before the model was ready.")
    if code == 0:
        sys.stderr.write(last)
        return
    raise PreparationFailed(last.strip() or f"wellhead init ended with code {code}.", code if code > 0 else 1)
