"""The report, for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wellhead_cluster.doctor.findings import Finding, Level, Report, Reports

if TYPE_CHECKING:
    from rich.table import Table

_MARKS: dict[Level, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "unknown": ("unknown", "cyan"),
    "warning": ("WARNING", "yellow"),
    "error": ("ERROR", "bold red"),
}


def print_reports(reports: Sequence[Report], *, as_json: bool) -> None:
    """Write them to stdout."""
    if as_json:
        sys.stdout.write(Reports(reports=tuple(reports)).model_dump_json(indent=2) + "\n")
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for report in reports:
        console.print(Text(f"{report.kind} {report.namespace}/{report.name}", style="bold"))
        console.print(_table(report))
        console.print(Text(summary(report), style="bold"))


def _table(report: Report) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for sentence in report.assumed:
        table.add_row("assumed", Text(sentence))
    for finding in report.findings:
        mark, style = _MARKS[finding.level]
        # Not markup: names may hold brackets.
        table.add_row(Text(mark, style=style), Text.assemble((f"{finding.topic}: ", "bold"), finding.seen))
        for text in _details(finding):
            table.add_row("", Text(text))
    return table


def summary(report: Report) -> str:
    """The last line."""
    counts = [
        (report.count("error"), "error", "errors"),
        (report.count("warning"), "warning", "warnings"),
        (report.count("unknown"), "thing not known", "things not known"),
    ]
    return ", ".join(f"{count} {one if count == 1 else more}" for count, one, more in counts)


def _details(finding: Finding) -> list[str]:
    details = [finding.why] if finding.why else []
    if finding.fix:
        details.append(f"→ {finding.fix}")
    return [*details, *(f"    {line}" for line in finding.snippet.splitlines())]
