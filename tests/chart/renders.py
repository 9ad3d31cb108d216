"""The committed renders: what the chart makes of each `*.values.yaml` in servingruntimes/chart/renders."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.chart.rendering import CHART, Rendered, render

RENDERS = CHART.parent / "renders"
SUFFIX = ".values.yaml"


def names() -> list[str]:
    """Of the renders."""
    return sorted(path.name.removesuffix(SUFFIX) for path in RENDERS.glob(f"*{SUFFIX}"))


def path_of(name: str) -> Path:
    """Of the committed text."""
    return RENDERS / f"{name}.yaml"


def release(name: str) -> Rendered:
    """What it has to be made from."""
    return render(yaml.safe_load((RENDERS / f"{name}{SUFFIX}").read_text()))


def current(name: str) -> str:
    """What has to be committed."""
    head = f"# {name}{SUFFIX}, release wellhead in the namespace team-a. Written by: make chart-renders\n"
    return head + release(name).text


def write_renders() -> None:
    """Brings them up to date."""
    for name in names():
        path_of(name).write_text(current(name))
