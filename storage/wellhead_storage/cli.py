"""The command line of the initializer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from wellhead_storage.failing import interrupt_on_signals, run_to_exit


def init(
    pairs: Annotated[list[str], typer.Argument(metavar="SRC DEST [SRC DEST …]", show_default=False)],
) -> None:
    """Prepare a model: decide to stream or to download, check it, fetch what is needed, write the load plan.

    SRC is a model URI (s3://bucket/path, a path, runai_streamer://…), DEST the folder to prepare. Settings come
    from WELLHEAD_* variables, credentials from the variables that KServe injects.
    """
    if len(pairs) % 2:
        raise typer.BadParameter("give SRC DEST in pairs", param_hint="SRC DEST")

    def command() -> int:
        from wellhead_storage.initialize import initialize
        from wellhead_storage.logs import configure, log
        from wellhead_storage.settings import read_settings, unknown_variables

        os.umask(0o022)  # the engine's container reads these files as another user
        settings = read_settings(os.environ)
        configure(settings)
        for name in unknown_variables(os.environ):
            log.warning("%s is no setting of Wellhead and has no effect", name)
        sources, folders = pairs[0::2], [Path(folder) for folder in pairs[1::2]]
        initialize(list(zip(sources, folders, strict=True)), settings, os.environ)
        return 0

    interrupt_on_signals()
    run_to_exit(command, os.environ)
