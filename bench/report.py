"""What the demo shows: progress while it runs, a table at the end.

On a terminal there is a line that moves; elsewhere every step is one plain line.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """The figures of one way from nothing to an answer."""

    mode: str
    answer: str
    init_seconds: float
    engine_seconds: float
    phases: dict[str, float]
    groups: dict[str, float]
    first_answer_seconds: float
    total_seconds: float
    init_requests: int
    init_bytes: int
    engine_requests: int
    engine_bytes: int
    model_volume_bytes: int
    init_written_bytes: int
    engine_written_bytes: int


class Screen:
    """Everything that the demo prints."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)

    def title(self, text: str) -> None:
        """A part of the demo begins."""
        self._out.print()
        self._out.print(Text(text, style="bold"))

    def done(self, text: str, seconds: float) -> None:
        """Something has been done."""
        self._out.print(Text.assemble(("  ✓ ", "green"), (f"{seconds:6.1f} s  ", "cyan"), text))

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._out.print(Text(text))

    def quote(self, text: str) -> None:
        """Lines of somebody else's log."""
        for line in text.splitlines():
            self._out.print(Text(f"             {line}", style="dim"))

    def answer(self, question: str, answer: str) -> None:
        """What the model said."""
        words = Text.assemble((question, "bold"), "\n", (answer, "bold green"))
        self._out.print(Panel(words, expand=False, border_style="green"))

    def show(self, what: Table | Text) -> None:
        """A table, or a longer text."""
        self._out.print()
        self._out.print(what)

    def failure(self, text: str) -> None:
        """What went wrong; last the sentence that says so."""
        *context, sentence = text.splitlines() or [""]
        self.quote("\n".join(context))
        self._out.print(Text(f"  ✗ {sentence}", style="bold red"))

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Something that takes a while and cannot be looked into."""
        began = time.monotonic()
        with self._out.status(Text(text)):
            yield
        self.done(text, time.monotonic() - began)

    @contextmanager
    def moving(self) -> Iterator[Callable[[str], None]]:
        """A line whose text can be changed; only terminals have it."""
        with self._out.status(Text("")) as status:
            yield lambda text: status.update(Text(text))


def table(results: list[Measured], model_bytes: int) -> Table:
    """Where time and bytes went, one column per way."""
    made = Table(title=f"Nothing to first answer, a model of {model_bytes / MIB:,.0f} MiB", title_justify="left")
    made.add_column("")
    for result in results:
        made.add_column(result.mode, justify="right")

    def row(name: str, cell: Callable[[Measured], str], *, last: bool = False, style: str | None = None) -> None:
        made.add_row(name, *(cell(result) for result in results), end_section=last, style=style)

    row("init container", lambda result: _seconds(result.init_seconds))
    for group in results[0].groups:
        row(group, lambda result, group=group: _seconds(result.groups[group]))  # type: ignore[misc]
    row("first answer", lambda result: _seconds(result.first_answer_seconds))
    row("total", lambda result: _seconds(result.total_seconds), last=True, style="bold")
    row("fetched by init", lambda result: _traffic(result.init_bytes, result.init_requests))
    row(
        "fetched by the engine",
        lambda result: _traffic(result.engine_bytes, result.engine_requests),
        last=True,
    )
    row("files in the model volume", lambda result: _mib(result.model_volume_bytes))
    row("disk writes of init", lambda result: _mib(result.init_written_bytes))
    row("disk writes of the engine", lambda result: _mib(result.engine_written_bytes))
    return made


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _mib(count: int) -> str:
    return f"{count / MIB:,.1f} MiB"


def _traffic(count: int, requests: int) -> str:
    return f"{_mib(count)}, {requests} requests"
