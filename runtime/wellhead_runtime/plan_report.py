"""What `wellhead plan` says: one model for programs, one page for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

from wellhead_runtime.arguments import parse_arguments
from wellhead_runtime.launch import plan_launch
from wellhead_runtime.machine import inspect_machine
from wellhead_runtime.printing import plain_command
from wellhead_storage.files import in_gib
from wellhead_storage.plan import Plan

if TYPE_CHECKING:
    from rich.table import Table

    from wellhead_storage.preview import Preview


class PlanReport(BaseModel):
    """Everything that `wellhead plan --json` prints.

    Attributes:
        plan: the load plan, as `init` would write it.
        objects: objects that the engine needs, weights and metadata.
        object_bytes: their bytes.
        disk_bytes: bytes that `init` would write into the model folder.
        weight_memory_bytes: bytes that the weights need on the accelerators together, or in memory on CPU.
        buffer_bytes: host memory that the streamer's buffer needs at least, 0 where nothing is streamed.
        command: the plain `vllm serve` line with its environment, as for a machine like this one.
        assumed: what was taken for granted.
    """

    plan: Plan
    objects: int
    object_bytes: int
    disk_bytes: int
    weight_memory_bytes: int
    buffer_bytes: int
    command: str
    assumed: tuple[str, ...] = ()


def make_report(found: Preview, options: list[str], environment: Mapping[str, str]) -> PlanReport:
    """Add what the engine's side would do.

    Args:
        found: of the storage side.
        options: vLLM's own, as for `wellhead serve`.
        environment: of this machine.

    Raises:
        ArgumentConflict: an option contradicts the plan, as it would for `serve`.
    """
    plan = found.plan
    folder = plan.weights.uri if plan.mode != "stream" else "/mnt/models"
    arguments = parse_arguments([folder, *options])
    launch = plan_launch(plan, arguments, folder, inspect_machine(), environment, found.credentials)
    return PlanReport(
        plan=plan,
        objects=found.objects,
        object_bytes=found.object_bytes,
        disk_bytes=found.disk_bytes,
        weight_memory_bytes=plan.weights.total_bytes,
        buffer_bytes=plan.weights.largest_tensor_bytes if plan.mode == "stream" else 0,
        command=plain_command(launch),
        assumed=found.assumed,
    )


def print_report(report: PlanReport, *, as_json: bool) -> None:
    """Write the report to stdout, as a page or as JSON."""
    if as_json:
        sys.stdout.write(report.model_dump_json(indent=2) + "\n")
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_table(report))
    console.print("\nThe plain command that does the same on a machine like this one:\n", style="bold")
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
    rows.append(("objects", f"{report.objects:,}, {in_gib(report.object_bytes)}"))
    rows.append(("weights", f"{len(weights.files):,} files, {in_gib(weights.total_bytes)}, layout {weights.layout}"))
    if weights.tensors:
        dtypes = ", ".join(f"{dtype} ({count:,})" for dtype, count in weights.dtypes.items())
        rows += [
            ("parameters", f"{weights.parameters:,} in {weights.tensors:,} tensors"),
            ("dtypes", dtypes),
            ("largest tensor", in_gib(weights.largest_tensor_bytes)),
        ]
    rows.append(("disk", f"{in_gib(report.disk_bytes)} in the model folder"))
    memory = f"{in_gib(report.weight_memory_bytes)} for the weights, on all accelerators together (or in memory on CPU)"
    if report.buffer_bytes:
        memory += f"; a streaming buffer of at least {in_gib(report.buffer_bytes)} in host memory"
    rows.append(("memory", memory))
    if plan.mode == "stream":
        rows.append(("credentials", f"{plan.credentials.identity or 'none'}, hand-over: {plan.credentials.handoff}"))
    rows += [("left in store", f"{left.name}: {left.reason}") for left in plan.left]
    rows += [("assumed", text) for text in report.assumed]
    return rows
