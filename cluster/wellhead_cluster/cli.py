"""The `wellhead` console script: what runs in pods, and the commands for people in front of a cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from wellhead_runtime.cli import app, main
from wellhead_storage.failing import interrupt_on_signals, run_to_exit

# One function a command, which imports its use case when it is called: pods start through this module, too.
__all__ = ["app", "catalog", "doctor", "main", "render"]


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


@app.command()
def catalog(
    models: Annotated[list[str], typer.Argument(metavar="[NAME=]URI", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write into this folder; printed otherwise.", show_default=False)
    ] = None,
    form: Annotated[Literal["kubeflow", "backstage", "both"], typer.Option("--format", help="For whom.")] = "kubeflow",
    source_id: Annotated[str, typer.Option(help="Kubeflow: id of the source (wellhead).", show_default=False)] = "",
    source_name: Annotated[
        str, typer.Option(help="Kubeflow: name of the source (Wellhead models).", show_default=False)
    ] = "",
    provider: Annotated[str, typer.Option(help="Kubeflow: who offers the models.", show_default=False)] = "",
    owner: Annotated[
        str, typer.Option(help="Backstage: owner of the models, group:default/team for example.", show_default=False)
    ] = "",
) -> None:
    """Write models of a bucket down for a catalog: Kubeflow Hub's (OpenShift AI's, too), or Backstage.

    Looks at each model as `wellhead plan` does and reads its README.md. A folder that an earlier run filled is added
    to; a model of the same name is replaced.
    """
    if form != "kubeflow":
        from wellhead_cluster.catalog.backstage import is_reference

        if not is_reference(owner):
            raise typer.BadParameter(
                "Backstage needs an owner, such as group:default/ml-platform", param_hint="--owner"
            )

    def command() -> int:
        from wellhead_cluster.catalog.run import Options
        from wellhead_cluster.catalog.run import catalog as run
        from wellhead_storage.logs import configure
        from wellhead_storage.preview import preview_environment
        from wellhead_storage.settings import read_settings

        environment = preview_environment(os.environ)
        settings = read_settings(environment)
        configure(settings)
        options = Options(
            output=output,
            kubeflow=form != "backstage",
            backstage=form != "kubeflow",
            source_id=source_id,
            source_name=source_name,
            provider=provider,
            owner=owner,
        )
        files = run(models, options, settings, environment)
        if output:
            typer.echo("\n".join(map(str, files)))
        else:
            typer.echo("---\n".join(f"# {path}\n{text}" for path, text in files.items()), nl=False)
        return 0

    interrupt_on_signals("the catalog was written")
    run_to_exit(command, os.environ)


@app.command()
def doctor(
    name: Annotated[str, typer.Argument(metavar="[NAME]", show_default=False)] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the service.")] = "",
    files: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="PATH", help="Manifests in place of a cluster: file, folder, or -."),
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="The files hold everything: what is not there does not exist.")
    ] = False,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")] = "",
    kserve_namespace: Annotated[str, typer.Option(help="KServe's own namespace.")] = "kserve",
    kserve: Annotated[str, typer.Option(metavar="VERSION", help="KServe's version, where it cannot be read.")] = "",
    probe: Annotated[
        bool, typer.Option("--probe", help="Also look at the model, with the secrets that the service names.")
    ] = False,
    model_size: Annotated[str, typer.Option(metavar="QUANTITY", help="Size of the model, 140Gi for example.")] = "",
    largest_tensor: Annotated[str, typer.Option(metavar="QUANTITY", help="Size of its largest tensor.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find what would go wrong with a service, before anybody waits for its pod.

    Looks at the InferenceService or LLMInferenceService NAME of a cluster and what is around it (reads only), or at
    every service of the files given with -f. Ends with 23 if there is an error.
    """

    def command() -> int:
        from wellhead_cluster.doctor.run import Options, diagnose

        diagnose(
            Options(
                name=name,
                namespace=namespace,
                files=files or (),
                complete=complete,
                context=context,
                kserve=kserve_namespace,
                release=kserve,
                probe=probe,
                model_size=model_size,
                largest_tensor=largest_tensor,
                strict=strict,
                as_json=as_json,
            )
        )
        return 0

    interrupt_on_signals("the examination was done")
    run_to_exit(command, os.environ)
