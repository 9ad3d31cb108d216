"""The `wellhead` command: one entry point over the initializer and the model server."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from wellhead_storage import __version__
from wellhead_storage.cli import init, mirror
from wellhead_storage.failing import interrupt_on_signals, run_to_exit

# No rich anywhere near the start of a container: it costs more than the rest of the imports together.
app = typer.Typer(
    name="wellhead",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init)
app.command()(mirror)


@app.callback(invoke_without_command=True)
def wellhead(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Model weights from object storage straight into vLLM on KServe."""
    if version:
        typer.echo(f"wellhead {__version__}")
        raise typer.Exit


@app.command()
def serve(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[MODEL] VLLM-OPTIONS")] = None,
    print_command: Annotated[
        bool, typer.Option("--print-command", help="Print the equivalent plain `vllm serve` line and exit.")
    ] = False,
) -> None:
    """Start vLLM with the arguments that match the model's load plan, and supervise it.

    MODEL is a folder that `wellhead init` prepared, any other model folder, or a URI, which is prepared first. All
    options are vLLM's own (`vllm serve --help=all`); --load-format and --model-loader-extra-config have to agree
    with the plan.
    """
    # Reached for --help only; main() takes every real call before an option parser could touch vLLM's options.
    serve_to_exit([*(arguments or []), *(["--print-command"] if print_command else [])])


@app.command(context_settings={"ignore_unknown_options": True})
def plan(
    uri: Annotated[str, typer.Argument(metavar="URI", show_default=False)],
    options: Annotated[list[str] | None, typer.Argument(metavar="[VLLM-OPTIONS]", show_default=False)] = None,
    mode: Annotated[str, typer.Option(help="auto, stream or download, as wellhead.dev/mode would say.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what `init` and `serve` would do with a model URI, without doing it.

    Looks at the model as `init` does (listing, index, headers; no weights), with the credentials of this
    environment, and ends with the code that `init` would end with. VLLM-OPTIONS are those meant for `serve`.
    """

    def command() -> int:
        from wellhead_runtime.plan_report import make_report, print_report
        from wellhead_storage.logs import configure
        from wellhead_storage.preview import preview, preview_environment
        from wellhead_storage.settings import read_settings

        environment = preview_environment(os.environ, mode)
        settings = read_settings(environment)
        configure(settings)
        print_report(make_report(preview(uri, settings, environment), options or [], environment), as_json=as_json)
        return 0

    interrupt_on_signals()
    run_to_exit(command, os.environ)


def serve_to_exit(argv: list[str]) -> NoReturn:
    """Serve, then leave the process with the engine's exit code."""

    def command() -> int:
        from wellhead_runtime.serve import serve as run

        return run(argv, os.environ)

    run_to_exit(command, os.environ)


def main() -> None:
    """Console script."""
    if sys.argv[1:2] == ["serve"] and not {"--help", "-h"} & set(sys.argv[2:]):
        serve_to_exit(sys.argv[2:])
    app()
