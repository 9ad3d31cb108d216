"""What `wellhead plan` says: one model for programs, one page for people."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from wellhead_runtime.arguments import EngineArguments, parse_arguments
from wellhead_runtime.launch import Launch, plain_launch, plan_launch
from wellhead_runtime.machine import Machine, inspect_machine
from wellhead_runtime.printing import plain_arguments, plain_command, plain_environment
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.files import in_gib
from wellhead_storage.plan import Plan
from wellhead_storage.settings import read_settings

if TYPE_CHECKING:
    from rich.table import Table

    from wellhead_storage.preview import Preview

VERSION = "1.1"
_UNKNOWN = "unknown until fetched"


class PlanReport(BaseModel):
    """Everything that `wellhead plan --json` prints; its JSON Schema is `docs/plan-report.schema.json`.

    Figures are null where they are only known once the model is fetched. Minor versions only add fields.
    """

    version: str = VERSION
    plan: Plan = Field(description="the load plan as init would write it; without files where objects is null")
    objects: int | None = Field(description="objects that the engine needs, weights and metadata")
    object_bytes: int | None = Field(description="their bytes")
    archive_bytes: int | None = Field(description="bytes of the archive that is unpacked; null also without one")
    disk_bytes: int | None = Field(description="bytes that init would write into the model folder")
    weight_memory_bytes: int | None = Field(
        description="bytes that the weights need on the accelerators together, or in memory on CPU"
    )
    buffer_bytes: int | None = Field(description="least host memory for the streamer's buffer; 0 without a streamer")
    loader: Literal["overlap", "runai_streamer", "default"] = Field(
        default="default",
        description="how the weights reach the engine on a machine like this one: fetched while it starts, streamed by "
        "itself, or read from the folder",
    )
    loader_reason: str = Field(default="", description="why, in words; empty where they are read from the folder")
    command: str = Field(description="the plain vllm serve line for a shell; after init in mode download")
    arguments: tuple[str, ...] = Field(description="the same as a list")
    environment: dict[str, str] = Field(description="what it adds to the environment; secrets as $NAME")
    assumed: tuple[str, ...] = Field(default=(), description="what was taken for granted, in sentences")
    warnings: tuple[str, ...] = Field(default=(), description="what does not work on this machine, in sentences")


def make_report(found: Preview, options: list[str], environment: Mapping[str, str]) -> PlanReport:
    """Add what the engine's side would do.

    Args:
        found: of the storage side.
        options: vLLM's own, as for `wellhead serve`.
        environment: of this machine.

    Raises:
        ArgumentConflict: an option contradicts the plan, as it would for `serve`.
    """
    figures, arguments = found.figures, parse_arguments([str(found.folder), *options])
    launch, plain, warnings = _launches(found, arguments, inspect_machine(), environment)
    by_streamer = launch.strategy in {"split", "local-streamer"}
    return PlanReport(
        plan=found.plan,
        objects=figures.objects,
        object_bytes=figures.object_bytes,
        archive_bytes=figures.archive_bytes,
        disk_bytes=figures.disk_bytes,
        weight_memory_bytes=figures.weight_bytes,
        buffer_bytes=(found.plan.weights.largest_tensor_bytes or None) if by_streamer else 0,
        loader="overlap" if launch.strategy == "overlap" else "runai_streamer" if by_streamer else "default",
        loader_reason=launch.loading,
        command=plain_command(plain),
        arguments=tuple(plain_arguments(plain)),
        environment=plain_environment(plain),
        assumed=found.assumed,
        warnings=warnings,
    )


def _launches(
    found: Preview, arguments: EngineArguments, machine: Machine, environment: Mapping[str, str]
) -> tuple[Launch, Launch, tuple[str, ...]]:
    """The launch here, and the plain one that is shown; what this machine is too small for is a warning.

    `init` asks nothing of the machine, either, so the plain one is then that of a machine which is just large enough.
    """
    plan, folder = found.plan, str(found.folder)
    larger = replace(machine, memory=max(machine.memory, plan.weights.largest_tensor_bytes))
    plain = plain_launch(plan, arguments, folder, larger, environment, found.credentials)
    loader = read_settings(environment).loader
    try:
        return plan_launch(plan, arguments, folder, machine, environment, found.credentials, loader=loader), plain, ()
    except InvalidConfiguration as error:
        return plain, plain, (f"On this machine `wellhead serve` would end: {error}",)


def print_report(report: PlanReport, *, as_json: bool) -> None:
    """Write the report to stdout, as a page or as JSON."""
    if as_json:
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(_table(report))
    title = "The plain command that does the same on a machine like this one"
    if report.plan.mode == "download":
        title += f", after `wellhead init {shlex.quote(report.plan.uri)} {report.plan.weights.uri}`"
    console.print(Text(f"\n{title}:\n", style="bold"), soft_wrap=True)
    sys.stdout.write(report.command + "\n")


def _table(report: PlanReport) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(report):
        table.add_row(name, Text(value))  # not markup: names in a bucket may hold brackets
    return table


def _rows(report: PlanReport) -> list[tuple[str, str]]:
    plan, weights = report.plan, report.plan.weights
    rows = [("URI", plan.uri)]
    if plan.resolved != plan.uri:
        rows.append(("resolved", plan.resolved))
    rows += [
        ("mode", plan.mode),
        *(("" if number else "because", reason) for number, reason in enumerate(plan.reasons)),
    ]
    if report.objects is None:
        rows += [("objects", _UNKNOWN), ("weights", _UNKNOWN)]
    else:
        rows += [
            ("objects", f"{report.objects:,}, {_size(report.object_bytes)}"),
            ("weights", f"{len(weights.files):,} files, {_size(report.weight_memory_bytes)}, layout {weights.layout}"),
        ]
    if weights.tensors:
        dtypes = ", ".join(f"{dtype} ({count:,})" for dtype, count in weights.dtypes.items())
        rows += [
            ("parameters", f"{weights.parameters:,} in {weights.tensors:,} tensors"),
            ("dtypes", dtypes),
            ("largest tensor", in_gib(weights.largest_tensor_bytes)),
        ]
    rows += [("disk", _disk(report)), ("memory", _memory(report))]
    if report.loader_reason:
        rows.append(("loader", f"{report.loader} ({report.loader_reason})"))
    if plan.mode == "stream":
        rows.append(("credentials", f"{plan.credentials.identity or 'none'}, hand-over: {plan.credentials.handoff}"))
    rows += [("left in store", f"{left.name}: {left.reason}") for left in plan.left]
    rows += [("assumed", text) for text in report.assumed]
    rows += [("warning", text) for text in report.warnings]
    return rows


def _disk(report: PlanReport) -> str:
    if report.archive_bytes is not None:
        return f"{in_gib(report.archive_bytes)} for the archive, and what is in it: {_UNKNOWN}"
    return _UNKNOWN if report.disk_bytes is None else f"{in_gib(report.disk_bytes)} in the model folder"


def _memory(report: PlanReport) -> str:
    if report.weight_memory_bytes is None:
        return _UNKNOWN
    text = f"{in_gib(report.weight_memory_bytes)} for the weights, on all accelerators together (or in memory on CPU)"
    if report.buffer_bytes:
        text += f"; a streaming buffer of at least {in_gib(report.buffer_bytes)} in host memory"
    if report.loader == "overlap":
        text += "; as much in host memory until the engine is ready"
    return text


def _size(count: int | None) -> str:
    return _UNKNOWN if count is None else in_gib(count)
