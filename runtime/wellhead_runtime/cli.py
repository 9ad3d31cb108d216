"""The `wellhead` command: one entry point over the initializer and the model server."""

from __future__ import annotations

from typing import Annotated

import typer

from wellhead_storage import __version__
from wellhead_storage.cli import init

# No rich anywhere near the start of a container: it costs more than the rest of the imports together.
app = typer.Typer(
    name="wellhead",
    help="Model weights from object storage straight into vLLM on KServe.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Model weights from object storage straight into vLLM on KServe."""
    if show:
        typer.echo(f"wellhead {__version__}")
        raise typer.Exit


def main() -> None:
    """Console script."""
    app()
