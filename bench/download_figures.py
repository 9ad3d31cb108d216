"""From runs to figures: medians, ratios within rounds, a Markdown table. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.download_run import Run

MIB = 1024 * 1024
_COLUMNS = (
    "way",
    "wall s, median (min-max)",
    "work s, median (min-max)",
    "work MiB/s",
    "of curl",
    "CPU s",
    "CPU s/GiB",
    "resident MiB",
    "written MiB",
    "requests",
    "other load, cores",
)

Round = Mapping[str, Run]
"""One run of each way, close together in time."""


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and largest value."""

    middle: float
    least: float
    most: float

    def show(self, digits: int) -> str:
        """Such as `1.63 (1.53-1.68)`."""
        return f"{self.middle:.{digits}f} ({self.least:.{digits}f}-{self.most:.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    found = list(values)
    return Spread(median(found), min(found), max(found))


def ratios(rounds: Sequence[Round], way: str, to: str, of: Callable[[Run], float]) -> Spread:
    """The spread of `of(way) / of(to)`, each taken within a round, so that load on the machine hits both."""
    return spread(of(each[way]) / of(each[to]) for each in rounds)


def order(ways: Sequence[str], number: int) -> list[str]:
    """The ways in the order of a round: forwards and backwards, each time beginning at another one."""
    start = (number // 2) % len(ways)
    turned = [*ways[start:], *ways[:start]]
    return turned[::-1] if number % 2 else turned


def table(rounds: Sequence[Round], size: int) -> str:
    """One row per way, as Markdown.

    Args:
        rounds: at least one, all with the same ways.
        size: bytes of all files together.
    """
    ways = list(rounds[0])
    limited = "limit" in ways
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" + "|---:" * (len(_COLUMNS) - 1) + "|"]
    for way in ways:
        runs = [each[way] for each in rounds]
        work = spread(run.work for run in runs)
        cpu = spread(run.cpu for run in runs)
        share = f"{100 / ratios(rounds, way, 'limit', _work).middle:.1f}%" if limited and way != "cp" else "-"
        cells = [
            way,
            spread(run.wall for run in runs).show(2),
            work.show(2),
            f"{size / MIB / work.middle:,.0f}",
            share,
            cpu.show(2),
            f"{cpu.middle * 1024 * MIB / size:.2f}",
            f"{max(run.resident for run in runs) / MIB:.0f}",
            f"{median(run.written for run in runs) / MIB:,.0f}",
            f"{median(run.requests for run in runs):.0f}",
            f"{max(run.other for run in runs):.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def comparison(rounds: Sequence[Round], way: str = "wellhead") -> str:
    """How many times as fast `way` is as each other one, and what share of its CPU seconds it needs, as Markdown."""
    others = [other for other in rounds[0] if other != way]
    if way not in rounds[0] or not others:
        return ""
    lines = [
        f"| {way} against | speed (work), median of ratios (min-max) | speed (wall) | CPU seconds |",
        "|---|---:|---:|---:|",
    ]
    for other in others:
        speed, whole = ratios(rounds, other, way, _work), ratios(rounds, other, way, lambda run: run.wall)
        cost = ratios(rounds, way, other, lambda run: run.cpu)
        lines.append(f"| {other} | {speed.show(2)} | {whole.show(2)} | {cost.show(2)} |")
    return "\n".join(lines) + "\n"


def _work(run: Run) -> float:
    return run.work
