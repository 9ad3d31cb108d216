"""From starts to a table, a verdict on the aims, and a chart."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench.cold_start_chart import chart
from bench.cold_start_figures import GIB, Measured, table, verdicts
from bench.cold_start_run import Start
from bench.cold_start_ways import WAYS

START = Start(
    began=0.0,
    init=1.0,
    phases={"front end: imports": 10.0, "weights": 2.0, "routes, first /health": 4.0},
    total=30.0,
    answer="Paris",
    peak=4 * GIB,
    shared=0,
    fetcher_resident=0,
    fetcher_cpu=0.0,
    cpu=40.0,
    other=0.1,
)
SECONDS = {"kserve": 60.0, "streamer": 50.0, "overlap": 42.0, "overlap-fast": 22.0, "local": 41.0}


def measured(way: str, **changes: object) -> Measured:
    start = replace(START, total=SECONDS[way], **changes)  # type: ignore[arg-type]
    return Measured(start, last_byte=20.0, served=2 * GIB, requests=48)


ROUND = {way: measured(way) for way in SECONDS}


def test_the_table_has_a_row_for_each_way_with_medians_and_the_share_of_kserves_time() -> None:
    slower = {way: replace(run, start=replace(run.start, total=run.start.total + 2)) for way, run in ROUND.items()}
    rows = table([ROUND, ROUND, slower], 2 * GIB).splitlines()
    assert len(rows) == 2 + len(ROUND)
    (row,) = (row for row in rows if row.startswith(f"| {WAYS['overlap-fast'].label} |"))
    assert row.split(" | ")[1:3] == ["22.0 (22.0-24.0)", "0.37"]
    assert " | 1.000 | 48 | " in row


def test_every_aim_is_judged() -> None:
    said = verdicts([ROUND], GIB, 1.0)
    assert "overlap / local: 1.02, aim 1.05: met" in said
    assert "overlap with fast start / KServe: 0.37, aim 0.4: met" in said
    assert "overlap with fast start / streamer: 0.44, aim 0.45: met" in said
    assert said[-1].endswith("the same")


def test_where_the_link_is_slower_than_a_disk_the_aim_is_the_link() -> None:
    said = verdicts([ROUND], 2 * GIB, 1.0)
    assert "overlap, limited by the link, 22.0 s behind the last byte: last byte / link: 1.11, aim 1.05: MISSED" in said
    assert not any(line.startswith("overlap / local") for line in said)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shared": 3 * GIB}, "overlap: shared memory / weights: 1.50, aim 1.01: MISSED"),
        ({"fetcher_resident": GIB}, "overlap: fetcher, MiB resident: 1024.00, aim 100: MISSED"),
        ({"fetcher_cpu": 6.0}, "overlap: fetcher, CPU seconds per GiB: 3.00, aim 1.5: MISSED"),
        ({"peak": 8 * GIB}, "overlap: peak memory / local directory: 2.00, aim 1.02: MISSED"),
        ({"answer": "Rome"}, "answers of all starts, with log-probabilities: 2 DIFFERENT ONES"),
    ],
)
def test_an_aim_that_is_missed_is_said_to_be(changes: dict[str, object], words: str) -> None:
    assert words in verdicts([ROUND | {"overlap": measured("overlap", **changes)}], 2 * GIB, None)


def test_the_chart_is_an_image_whose_bars_add_up() -> None:
    svg = ET.fromstring(chart([ROUND], "2 GiB"))
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in svg.iter(f"{space}text")]
    assert {WAYS[way].label for way in ROUND} <= set(texts)
    assert {f"{seconds:.1f} s" for seconds in SECONDS.values()} <= set(texts)
    seconds = [float(str(title.text).split(": ")[-1].split()[0]) for title in svg.iter(f"{space}title")]
    assert sum(seconds) == pytest.approx(sum(SECONDS.values()))
