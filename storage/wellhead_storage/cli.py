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

    SRC is a model URI (s3://, gs://, az://, hf://, https://, model-registry://, a path, …; runai_streamer:// in front
    of one demands streaming), DEST the folder to prepare. Settings come from WELLHEAD_* variables, credentials from
    the variables that KServe injects.
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


def mirror(
    source: Annotated[str, typer.Argument(metavar="SRC", show_default=False)],
    destination: Annotated[str | None, typer.Argument(metavar="DST", show_default=False)] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Copy what matches only, of any layout: fnmatch on the name, repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Do not copy what matches: fnmatch on the name, repeatable."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Copy every layout of weights, and not only what an engine needs.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Copy a model to where it can be streamed from: s3://, gs://, az:// or a directory.

    SRC is any model URI. Without DST a Hugging Face model goes to its place in WELLHEAD_MIRROR. Nothing is written to
    this machine's disk; a second run copies nothing, an interrupted one is gone on with. WELLHEAD_DST_* variables
    (WELLHEAD_DST_AWS_ACCESS_KEY_ID, …) give the destination credentials of its own.
    """

    def command() -> int:
        from wellhead_storage.logs import configure, log
        from wellhead_storage.mirror.places import DESTINATION_PREFIX
        from wellhead_storage.mirror.run import Options
        from wellhead_storage.mirror.run import mirror as run
        from wellhead_storage.patterns import Patterns
        from wellhead_storage.settings import read_settings, unknown_variables

        os.umask(0o022)
        settings = read_settings(os.environ)
        configure(settings)
        for name in unknown_variables(os.environ):
            if not name.startswith(DESTINATION_PREFIX):
                log.warning("%s is no setting of Wellhead and has no effect", name)
        patterns = Patterns(tuple(include or ()), tuple(exclude or ()), "--include", "--exclude")
        result = run(source, destination, Options(everything, patterns, dry_run), settings, os.environ)
        if as_json:
            typer.echo(result.model_dump_json(indent=2))
        else:
            for line in result.lines():
                typer.echo(line)
        return 0

    interrupt_on_signals("the mirror was complete")
    run_to_exit(command, os.environ)
