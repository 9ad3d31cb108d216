"""From starts to figures: medians, ratios within rounds, Markdown tables. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.cold_start_run import Start
from bench.cold_start_ways import WAYS
from bench.download_figures import MIB, Spread, spread
from wellhead_runtime.faststart.phases import PHASES

GIB = 1024 * MIB
# Bytes of a packet and its payload: Linux counts each segment's headers (`qdisc_pkt_len_init`), as a real link would.
# curl alone takes 1.045 x bytes / rate.
_WIRE = 1514 / 1448
_COLUMNS = (
    "way",
    "first answer s, median (min-max)",
    "of KServe's",
    "init s",
    "last byte s",
    "weights s",
    "bytes served / weights",
    "requests",
    "CPU s",
    "peak MiB",
    "shared MiB",
    "other load, cores",
)


@dataclass(frozen=True)
class Measured:
    """A start, and what the server and the machine saw of it.

    Attributes:
        last_byte: seconds from the start to the end of the last answer; 0 where nothing was fetched.
        served: bytes in answers.
        requests: how many.
    """

    start: Start
    last_byte: float
    served: int
    requests: int


Round = Mapping[str, Measured]


def table(rounds: Sequence[Round], weights: int) -> str:
    """One row per way, as Markdown.

    Args:
        rounds: at least one, all with the same ways.
        weights: bytes of the model's.
    """
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" + "|---:" * (len(_COLUMNS) - 1) + "|"]
    for way in rounds[0]:
        runs = [each[way] for each in rounds]
        share = f"{ratio(rounds, way, 'kserve').middle:.2f}" if "kserve" in rounds[0] else "-"
        cells = [
            WAYS[way].label,
            spread(run.start.total for run in runs).show(1),
            share,
            _middle(runs, lambda run: run.start.init),
            _middle(runs, lambda run: run.last_byte),
            _middle(runs, lambda run: run.start.phases.get("weights", 0.0)),
            f"{median(run.served for run in runs) / weights:.3f}",
            f"{median(run.requests for run in runs):.0f}",
            _middle(runs, lambda run: run.start.cpu),
            f"{median(run.start.peak for run in runs) / MIB:,.0f}",
            f"{median(run.start.shared for run in runs) / MIB:,.0f}",
            f"{max(run.start.other for run in runs):.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def ratio(rounds: Sequence[Round], way: str, to: str) -> Spread:
    """Time to the first answer against that of another way, each taken within a round."""
    return spread(each[way].start.total / each[to].start.total for each in rounds)


def verdicts(rounds: Sequence[Round], weights: int, gbit: float | None) -> list[str]:
    """The aims, and what came of them, a line each."""
    known, found = rounds[0].keys(), []

    def aim(what: str, value: float, most: float) -> None:
        found.append(f"{what}: {value:.2f}, aim {most:g}: {'met' if value <= most else 'MISSED'}")

    for way, floor in (("overlap", "local"), ("overlap-fast", "local-fast")):
        if way not in known or floor not in known:
            continue
        link = weights * 8 * _WIRE / (gbit * 1e9) if gbit else 0.0
        if link <= median(_loaded(each[floor].start) for each in rounds):
            aim(f"{way} / {floor}", ratio(rounds, way, floor).middle, 1.05)
        else:
            last = median(each[way].last_byte for each in rounds)
            tail = median(each[way].start.total - each[way].last_byte for each in rounds)
            aim(f"{way}, limited by the link, {tail:.1f} s behind the last byte: last byte / link", last / link, 1.05)
    if {"overlap-fast", "kserve"} <= known and gbit == 1:
        aim("overlap with fast start / KServe", ratio(rounds, "overlap-fast", "kserve").middle, 0.4)
    if {"overlap-fast", "streamer"} <= known and gbit == 1:
        aim("overlap with fast start / streamer", ratio(rounds, "overlap-fast", "streamer").middle, 0.45)
    for way in ("overlap", "overlap-fast"):
        if way in known:
            runs = [each[way] for each in rounds]
            aim(f"{way}: bytes served / weights", median(run.served for run in runs) / weights, 1.01)
            aim(f"{way}: shared memory / weights", median(run.start.shared for run in runs) / weights, 1.01)
            aim(f"{way}: fetcher, MiB resident", median(run.start.fetcher_resident for run in runs) / MIB, 100)
            cpu = median(run.start.fetcher_cpu for run in runs) * GIB / weights
            aim(f"{way}: fetcher, CPU seconds per GiB", cpu, 1.5)
            if "local" in known:
                peak = median(each[way].start.peak / each["local"].start.peak for each in rounds)
                aim(f"{way}: peak memory / local directory", peak, 1.02)
    answers = {each[way].start.answer for each in rounds for way in each}
    same = "the same" if len(answers) == 1 else f"{len(answers)} DIFFERENT ONES"
    found.append(f"answers of all starts, with log-probabilities: {same}")
    return found


def _loaded(start: Start) -> float:
    """Seconds after which a local directory is loaded: what arrives before that costs nothing."""
    names = [phase.name for phase in PHASES]
    before = names[: names.index("weights") + 1]
    return sum(start.phases.get(name, 0.0) for name in before)


def _middle(runs: Sequence[Measured], of: Callable[[Measured], float]) -> str:
    return f"{median(of(run) for run in runs):.1f}"
