"""The `wellhead` console script: what runs in pods, and the commands for people in front of a cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from wellhead_runtime.cli import app, main
from wellhead_storage.failing import interrupt_on_signals, run_to_exit

# One function a command, which imports its use case when it is called: pods start through this module, too.
__all__ = ["app", "main"]


@app.command()
def render(
    uri: Annotated[str, typer.Option(help="Where the model lies, as in storageUri.", show_default=False)],
    name: Annotated[str, typer.Option(help="Of the service, and of the model it serves.", show_default=False)],
    options: Annotated[list[str] | None, typer.Argument(metavar="-- VLLM-OPTIONS", show_default=False)] = None,
    kind: Annotated[Literal["isvc", "llm"], typer.Option(help="InferenceService or LLMInferenceService.")] = "isvc",
    mode: Annotated[str, typer.Option(help="auto, stream or download: the annotation wellhead.dev/mode.")] = "",
    namespace: Annotated[str, typer.Option(help="Of the service.")] = "",
    service_account: Annotated[str, typer.Option(help="With the credentials for the store.")] = "",
    runtime: Annotated[str, typer.Option(help="In place of wellhead-vllm; isvc only.")] = "",
    gpus: Annotated[int | None, typer.Option(min=0, help="Of one pod; 0 for vLLM's CPU build.")] = None,
    gpu_memory: Annotated[
        float | None, typer.Option(min=1, help="GiB of one GPU: then their number is chosen.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of service and pod; repeatable.")
    ] = None,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Do not look at the model: no sizes.")] = False,
    output: Annotated[Path | None, typer.Option(help="A file in place of stdout.")] = None,
) -> None:
    """Print an InferenceService (or LLMInferenceService) for a model, with sizes taken from its load plan.

    Looks at the model as `plan` does, with the credentials of this environment. Behind -- stand options for vLLM.
    """

    def command() -> int:
        from wellhead_cluster.render.run import Request, render, write

        request = Request(
            uri=uri,
            name=name,
            options=options or (),
            llm=kind == "llm",
            mode=mode,
            namespace=namespace,
            service_account=service_account,
            runtime=runtime,
            gpus=gpus,
            gpu_gib=gpu_memory,
            labels=label or (),
            probe=not no_probe,
        )
        write(render(request, os.environ), output)
        return 0

    interrupt_on_signals("the manifest was written")
    run_to_exit(command, os.environ)
