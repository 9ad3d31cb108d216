"""The use case: check what was asked, look at the model, size the pod, write the object."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from wellhead_cluster.render.engine_options import check_options
from wellhead_cluster.render.gpus import GIB, Gpus, choose_gpus
from wellhead_cluster.render.manifest import Service, inference_service, llm_inference_service
from wellhead_cluster.render.names import check_namespace, check_object_name, check_service_name, read_labels
from wellhead_cluster.render.places import Place, place_of
from wellhead_cluster.render.sizing import Load, Sizes, size
from wellhead_runtime.plan_report import PlanReport, make_report
from wellhead_storage import __version__
from wellhead_storage.errors import AccessDenied, InvalidConfiguration, StoreUnavailable
from wellhead_storage.logs import configure
from wellhead_storage.preview import preview, preview_environment
from wellhead_storage.settings import read_settings

_RUNTIME, _CPU_RUNTIME = "wellhead-vllm", "wellhead-vllm-cpu"
_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for; what is left out is empty or None.

    Attributes:
        uri: of the model.
        name: of the service.
        options: vLLM's.
        llm: an LLMInferenceService in place of an InferenceService.
        mode: auto, stream or download.
        namespace: of the object.
        service_account: of the pod.
        runtime: in place of ours.
        gpus: of the pod; 0 for vLLM's CPU build.
        gpu_gib: memory of one GPU in GiB.
        labels: `KEY=VALUE`, of the object and its pod.
        probe: look at the model.
    """

    uri: str
    name: str
    options: Sequence[str] = ()
    llm: bool = False
    mode: str = ""
    namespace: str = ""
    service_account: str = ""
    runtime: str = ""
    gpus: int | None = None
    gpu_gib: float | None = None
    labels: Sequence[str] = ()
    probe: bool = True


@dataclass(frozen=True, slots=True)
class Rendered:
    """What came of it.

    Attributes:
        text: YAML, with a comment that says where its numbers come from.
        notes: sentences for the person who asked.
    """

    text: str
    notes: tuple[str, ...]


def render(request: Request, environment: Mapping[str, str]) -> Rendered:
    """Make the object.

    Raises:
        InvalidConfiguration: a name, label or setting is none; the model is too large for a node of such GPUs.
        InvalidUri: KServe cannot take the URI, or it is none.
        ArgumentConflict: vLLM's options contradict the plan, `--gpus`, or KServe.
        WellheadError: what `wellhead init` would say of the model, except that it cannot be reached from here.
    """
    place = _check(request)
    report, why_not = _look(request, place, environment)
    return compose(request, place, report, why_not)


def compose(request: Request, place: Place, report: PlanReport | None, why_not: str = "") -> Rendered:
    """The object from what is known. Pure.

    Args:
        request: checked.
        place: of its model.
        report: of a look at the model, or None.
        why_not: why there is none, in a sentence.
    """
    arguments = check_options(request.options)
    load = _load(report) if report else None
    if report and load is None:
        why_not = "How large the model is shows only once it is fetched."
    gpu_bytes = int(request.gpu_gib * GIB) if request.gpu_gib is not None else None
    gpus = choose_gpus(arguments, request.gpus, load.weight_bytes if load else None, gpu_bytes)
    sizes = size(load, arguments, gpus.count) if load else None
    service = Service(
        name=request.name,
        place=place,
        options=(*gpus.options, *request.options),
        gpus=gpus.count,
        sizes=sizes,
        runtime=request.runtime or (_RUNTIME if gpus.count else _CPU_RUNTIME),
        mode=request.mode,
        namespace=request.namespace,
        service_account=request.service_account,
        labels=read_labels(request.labels),
    )
    manifest = llm_inference_service(service) if request.llm else inference_service(service)
    body = yaml.safe_dump(manifest, sort_keys=False, width=_WIDTH, allow_unicode=True)
    unsized = (f"{why_not} So the service states no sizes.",) if load is None else ()
    assumed = (f"It is taken for granted that {what}." for what in (report.assumed if report else ()))
    notes = (*unsized, *assumed, *([gpus.doubt] if gpus.doubt else ()))
    return Rendered(_comment(place, report, gpus, sizes) + body, notes)


def write(rendered: Rendered, output: Path | None) -> None:
    """The object to a file or to stdout, notes to stderr.

    Raises:
        InvalidConfiguration: the file cannot be written.
    """
    for note in rendered.notes:
        sys.stderr.write(f"note: {note}\n")
    if output is None:
        sys.stdout.write(rendered.text)
        return
    try:
        output.write_text(rendered.text, encoding="utf-8")  # not renamed into place: it may be a device
    except OSError as error:
        raise InvalidConfiguration(
            f"{output} cannot be written: {error.strerror}.", "Name a file in a folder that exists and can be written."
        ) from error


def _check(request: Request) -> Place:
    """Everything that needs no look at the model."""
    if request.llm and (request.runtime or request.gpus == 0):
        raise InvalidConfiguration(
            "An LLMInferenceService has no serving runtime, and our configs for it run on GPUs.",
            "Leave out --runtime and --gpus 0, or render an InferenceService.",
        )
    check_service_name(request.name, llm=request.llm)
    if request.namespace:
        check_namespace(request.namespace)
    if request.service_account:
        check_object_name(request.service_account, "service account")
    if request.runtime:
        check_object_name(request.runtime, "serving runtime")
    read_labels(request.labels)
    check_options(request.options)
    return place_of(request.uri, llm=request.llm)


def _look(request: Request, place: Place, environment: Mapping[str, str]) -> tuple[PlanReport | None, str]:
    """What `wellhead plan` would say; or None, and why."""
    environment = preview_environment(environment, request.mode)
    settings = read_settings(environment)
    if not request.probe:
        return None, "The model was not looked at."
    if place.mounted:
        return None, f"KServe mounts {place.uri.scheme}://, and nobody can look into it from here."
    configure(settings)
    try:
        return make_report(preview(request.uri, settings, environment), list(request.options), environment), ""
    except (AccessDenied, StoreUnavailable) as error:
        return None, f"The model cannot be looked at from here: {error}"


def _load(report: PlanReport) -> Load | None:
    if report.weight_memory_bytes is None or report.disk_bytes is None:
        return None
    return Load(
        weights=report.plan.weights,
        weight_bytes=report.weight_memory_bytes,
        disk_bytes=report.disk_bytes,
        streamed=report.buffer_bytes != 0,
    )


def _comment(place: Place, report: PlanReport | None, gpus: Gpus, sizes: Sizes | None) -> str:
    """Where the numbers come from, for whoever reads the file later."""
    mode = f", mode {report.plan.mode}" if report else ""
    lines = [f"Rendered by wellhead {__version__} for {place.text}{mode}."]
    if gpus.count:
        lines.append(f"  nvidia.com/gpu {gpus.count}: {gpus.why}")
    lines += [f"  {figure.name} {figure.value}: {figure.why}" for figure in (sizes.figures if sizes else ())]
    lines.append("Estimates on the safe side; docs/render.md has the rules." if sizes else "Without sizes of its own.")
    return "".join(f"# {line}\n" for line in lines)
