"""The phases of each way as a chart: horizontal bars, an SVG that reads in a light and a dark page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from bench.cold_start_ways import WAYS
from wellhead_runtime.faststart.phases import GROUPS, PHASES

if TYPE_CHECKING:
    from bench.cold_start_figures import Round

_INIT, _ANSWER = "init container", "first answer"
_COLOURS = {_INIT: "#e69f00", GROUPS[0]: "#9aa5b1", GROUPS[1]: "#0072b2", GROUPS[2]: "#56b4e9", _ANSWER: "#009e73"}
_WIDTH, _LEFT, _ROW, _TOP = 860, 230, 30, 56


def chart(rounds: Sequence[Round], title: str) -> str:
    """The medians of all rounds.

    Args:
        rounds: at least one, all with the same ways.
        title: what was started, and over which link.
    """
    rows = {way: _parts(rounds, way) for way in rounds[0]}
    longest = max(sum(parts.values()) for parts in rows.values())
    scale = (_WIDTH - _LEFT - 60) / longest
    height = _TOP + _ROW * len(rows) + 34
    size = {"width": str(_WIDTH), "height": str(height), "viewBox": f"0 0 {_WIDTH} {height}"}
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", **size})
    ET.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    _text(svg, 12, 22, f"From nothing to the first answer: {title}", 15)
    for number, (way, parts) in enumerate(rows.items()):
        y = _TOP + _ROW * number
        _text(svg, 12, y + 15, WAYS[way].label, 12)
        for (name, seconds), end in zip(parts.items(), accumulate(parts.values()), strict=True):
            x, width = _LEFT + (end - seconds) * scale, max(0.0, seconds * scale)
            place = {"x": f"{x:.1f}", "y": str(y), "width": f"{width:.1f}", "height": str(_ROW - 10)}
            bar = ET.SubElement(svg, "rect", {**place, "fill": _COLOURS[name]})
            ET.SubElement(bar, "title").text = f"{name}: {seconds:.1f} s"
        total = sum(parts.values())
        _text(svg, int(_LEFT + total * scale) + 6, y + 15, f"{total:.1f} s", 12)
    for number, (name, colour) in enumerate(_COLOURS.items()):
        x = 12 + number * 168
        ET.SubElement(svg, "rect", {"x": str(x), "y": str(height - 24), "width": "12", "height": "12", "fill": colour})
        _text(svg, x + 18, height - 14, name, 11)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def _parts(rounds: Sequence[Round], way: str) -> dict[str, float]:
    """Seconds by part, which add up to the median of the whole."""
    starts = [each[way].start for each in rounds]
    parts = {_INIT: median(start.init for start in starts)}
    for group in GROUPS:
        names = [phase.name for phase in PHASES if phase.group == group]
        parts[group] = median(sum(start.phases.get(name, 0.0) for name in names) for start in starts)
    total = median(start.total for start in starts)
    return {**parts, _ANSWER: max(0.0, total - sum(parts.values()))}


def _text(svg: ET.Element, x: int, y: int, text: str, size: int) -> None:
    place = {"x": str(x), "y": str(y), "font-size": str(size), "fill": "#24292f"}
    ET.SubElement(svg, "text", place).text = text
