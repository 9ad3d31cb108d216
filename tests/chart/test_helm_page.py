"""The commands and values on docs/helm.md are real: commands name this chart and known values, values render."""

from __future__ import annotations

import itertools
import re
import shlex
from typing import Any

import pytest
import yaml

from tests.chart.rendering import RefusedValues, render
from tests.chart.values_table import read_values
from tests.unit.manifests import REPOSITORY

PAGES = ("docs/helm.md", "servingruntimes/chart/wellhead/README.md")
# Of Helm 3.17 and 4.
OPTIONS = {
    "install": {"namespace", "create-namespace", "set", "take-ownership"},
    "upgrade": {"namespace", "install", "values", "set", "take-ownership"},
    "template": {"namespace"},
    "package": set(),
    "push": set(),
    "history": {"namespace"},
    "rollback": {"namespace"},
    "uninstall": {"namespace"},
}


def blocks() -> list[str]:
    """The indented blocks of the pages, without their indentation."""
    found = []
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        found += re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    return ["\n".join(line[4:] for line in block.splitlines()).strip() for block in found]


COMMANDS = [line for block in blocks() for line in block.splitlines() if line.startswith("helm ")]
VALUES = [block for block in blocks() if not block.startswith(("helm ", "- at "))]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one_that_helm_has(line: str) -> None:
    _, verb, *words = shlex.split(line)
    assert {word[2:] for word in words if word.startswith("--")} <= OPTIONS[verb]
    if verb in {"install", "upgrade", "template", "package"}:
        assert "servingruntimes/chart/wellhead" in words
    names = {value.key for value in read_values()}
    for option, value in itertools.pairwise(words):
        assert option != "--set" or value.partition("=")[0] in names


@pytest.mark.parametrize("text", VALUES, ids=lambda text: text.splitlines()[0])
def test_values_render(text: str) -> None:
    values: dict[str, Any] = yaml.safe_load(text)
    assert render(values).objects != render().objects, "they change something"


def test_the_page_has_both() -> None:
    assert len(COMMANDS) > 5
    assert len(VALUES) > 5


def test_the_refusals_on_the_page_are_helms() -> None:
    (shown,) = [block for block in blocks() if block.startswith("- at ")]
    said = ""
    for values in ({"loadFormat": "runai-streamer"}, {"mode": "download", "loadFormat": "runai_streamer"}):
        with pytest.raises(RefusedValues) as caught:
            render(values)
        said += str(caught.value)
    for line in shown.splitlines():
        assert line.removesuffix(" …") in said
