"""The child process: vLLM's own command line, started through this module.

Two reasons not to start `vllm` itself. Split mode (metadata from a folder, weights from a URI) has no flag, only the
field `EngineArgs.model_weights`, which is copied from the parsed arguments (`vllm/engine/arg_utils.py`); so the
`serve` command is wrapped to add it. And vLLM's console script asks for the version of a distribution called "vllm",
which the CPU build's wheel is not.

Worker processes are spawned and import this module again: nothing may happen at import.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from wellhead_runtime.distribution import answer_for_cpu_build

WEIGHTS_OPTION = "--wellhead-weights"
FORK_SERVER_OPTION = "--wellhead-fork-server"


def command(model: str, options: Sequence[str], weights: str | None, *, fork_server: bool = False) -> list[str]:
    """The child's argument list for `vllm serve`."""
    split = [f"{WEIGHTS_OPTION}={weights}"] if weights else []
    fork = [FORK_SERVER_OPTION] if fork_server else []
    return [*module(), *fork, *split, "serve", *([model] if model else []), *options]


def module() -> list[str]:
    """The child's argument list up to vLLM's own arguments."""
    return [sys.executable, "-m", "wellhead_runtime.engine"]


def main(argv: list[str]) -> None:
    """Run vLLM's command line in this process."""
    weights = None
    fork_server = argv[:1] == [FORK_SERVER_OPTION]
    if fork_server:
        argv.pop(0)
    if argv and argv[0].startswith(f"{WEIGHTS_OPTION}="):
        weights = argv.pop(0).partition("=")[2]
    sys.argv = ["vllm", *argv]
    answer_for_cpu_build()
    if fork_server:
        _start_fork_server()
    if weights:
        _stream_weights_from(weights)
    from vllm.entrypoints.cli.main import main as vllm_main

    vllm_main()


def _start_fork_server() -> None:
    from wellhead_runtime.faststart.fork_server import begin, take_over
    from wellhead_storage.logs import configure
    from wellhead_storage.settings import read_settings

    configure(read_settings(os.environ))
    begin()
    take_over()


def _stream_weights_from(uri: str) -> None:
    from vllm.entrypoints.cli.serve import ServeSubcommand

    original: Callable[[argparse.Namespace], None] = ServeSubcommand.cmd

    def serve(args: argparse.Namespace) -> None:
        args.model_weights = uri
        original(args)

    ServeSubcommand.cmd = staticmethod(serve)


if __name__ == "__main__":
    main(sys.argv[1:])
