"""The tables of variables, exit codes, annotations and commands are those of the code, and nothing is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from tests.reference.commands import commands
from tests.reference.pages import PAGES, SECTIONS, sections_of, with_sections
from tests.reference.tables import DOMAIN, described, entity_annotations, said, stated_annotations, table, variables
from tests.unit.manifests import REPOSITORY
from wellhead_cluster.doctor.manifests import ENGINE, MODE
from wellhead_storage.errors import IntegrityError
from wellhead_storage.mirror.places import DESTINATION_PREFIX
from wellhead_storage.settings import PREFIX

CODE = ("storage", "runtime", "cluster")
# Names in the code that nobody sets.
INTERNAL = {
    "WELLHEAD_X_SERVICE_HOST": "an example of what Kubernetes adds for a Service called wellhead-x",
    "WELLHEAD_X_PORT": "the same",
    "WELLHEAD_ARRIVALS": "from the model server to the loader in vLLM's processes",
}

_NAME = rf"(?:{PREFIX}|\{{PREFIX\}})([A-Z0-9_]*[A-Z0-9])"


class Example(BaseModel):
    """Settings of every type that there is."""

    choice: Literal["", "a", "b"] = Field(default="a", description="one of them")
    none: Literal["", "a"] = ""
    count: int = Field(default_factory=lambda: 4, ge=1, le=9)
    patience: float = Field(default=2.5, gt=0)
    folder: Path = Path("/tmp")
    maybe: Path | None = None
    where: str = Field(default="", title="URI")
    flag: bool = False
    text: str = ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_up_to_date(page: Path) -> None:
    assert page.read_text() == with_sections(page.read_text()), "run make reference"


def test_every_part_is_on_one_page() -> None:
    assert sorted(name for page in PAGES for name in sections_of(page.read_text())) == sorted(SECTIONS)


def test_a_part_that_nobody_knows_is_no_part() -> None:
    with pytest.raises(KeyError, match="colours"):
        with_sections("<!-- colours: make reference -->\n<!-- end of colours -->\n")


def test_what_stands_between_the_markers_is_replaced_and_nothing_else() -> None:
    page = "Before.\n\n<!-- variables: make reference -->\noutdated\n<!-- end of variables -->\n\nAfter.\n"
    assert with_sections(page).startswith("Before.\n\n<!-- variables: make reference -->\n\n| variable |")
    assert with_sections(page).endswith("|\n\n<!-- end of variables -->\n\nAfter.\n")
    assert "outdated" not in with_sections(page)
    assert with_sections(with_sections(page)) == with_sections(page)


def test_every_variable_in_the_code_is_there() -> None:
    named = {f"{PREFIX}{found[1]}" for text in texts(*CODE) for found in re.finditer(_NAME, text)}
    own = {name for name in named - INTERNAL.keys() if not f"{name}_".startswith(DESTINATION_PREFIX)}
    assert own >= {"WELLHEAD_CACHE_DIR", "WELLHEAD_ENGINE"}, "whole names, and those put together from the prefix"
    assert {name for name in own if f"| `{name}` |" not in variables()} == set()
    assert named >= INTERNAL.keys(), "an exception that is none any more"


def test_every_annotation_in_the_code_and_the_manifests_is_there() -> None:
    pattern = rf"{re.escape(DOMAIN)}([a-z][\w-]*)"
    named = {found[0] for text in texts(*CODE, "servingruntimes") for found in re.finditer(pattern, text)}
    assert named >= {MODE, ENGINE}
    assert {name for name in named if f"| `{name}` |" not in stated_annotations() + entity_annotations()} == set()


def test_every_variable_and_every_option_has_a_meaning() -> None:
    assert [line for line in (variables() + commands()).splitlines() if line.endswith("| |")] == []


def test_a_command_has_its_usage_its_words_and_its_options() -> None:
    section = commands().partition("### wellhead mirror\n")[2].partition("\n### ")[0]
    assert "`wellhead mirror [OPTIONS] SRC [DST]`" in section
    assert "Copy a model to where it can be streamed from" in section
    assert "| `--exclude PATTERN` | Do not copy what matches" in section
    assert "`wellhead catalog [OPTIONS] [NAME=]URI …`" in commands()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("choice", "**a**, b"),
        ("none", "a"),
        ("count", "1 to 9"),
        ("patience", "seconds (**2.5**)"),
        ("folder", "path (**/tmp**)"),
        ("maybe", "path"),
        ("where", "URI"),
        ("flag", "true, **false**"),
    ],
)
def test_the_values_of_a_setting(field: str, values: str) -> None:
    assert described(Example.model_fields[field])[0] == values


def test_a_type_that_nobody_knows_needs_a_title() -> None:
    with pytest.raises(LookupError, match="title"):
        described(Example.model_fields["text"])


def test_a_docstring_in_one_line_without_its_attributes() -> None:
    assert said(IntegrityError).endswith("in the model's folder, and an archive with a way out of it.")
    assert "passing" in (IntegrityError.__doc__ or "")


def test_a_bar_does_not_end_a_cell() -> None:
    assert table(["a"], [["b|c"]]) == "| a |\n| --- |\n| b\\|c |\n"


def texts(*folders: str) -> Iterator[str]:
    """The files of folders that people write."""
    for folder in folders:
        for path in (REPOSITORY / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".tpl"}:
                yield path.read_text()
