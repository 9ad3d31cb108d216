"""The code blocks of every page, fenced or indented, and which of them show something instead of asking for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.unit.docs_shell import is_shell
from tests.unit.manifests import REPOSITORY


class Kind(Enum):
    """What is done with a block."""

    SHELL = "shell"
    YAML = "yaml"
    JSON = "json"
    SHOWN = "shown"


class Shown(NamedTuple):
    """Blocks that show something: how the first line of one begins, and why it is not exercised as a block."""

    name: str
    beginning: str
    reason: str


SHOWN = (
    Shown("picture", r"flowchart |.*─▶ ", "drawn for people"),
    Shown("modules", r"wellhead_cluster$", "tests/unit/test_architecture.py compares it with the contracts"),
    Shown("doctor's report", r"InferenceService \w+/\w+$", "tests/unit/test_doctor_command.py prints it"),
    Shown("plan's report", r"URI  ", "test_docs_blocks.py reads its labels and its command"),
    Shown("log", r'\d\d:\d\d:\d\d wellhead |\{"time": |weights: \w+ \(', "what containers wrote in one run"),
    Shown("Helm's refusals", r"- at '/", "tests/chart/test_helm_page.py makes Helm say them"),
    Shown("formula", r"weights x ", "tests/unit/test_render_sizing.py calculates the page's tables"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One code block.

    Attributes:
        page: path of its page in the repository.
        line: where it begins there.
        language: what stands behind its fence.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def kind(self) -> Kind | None:
        """What is done with it; None where nobody knows."""
        if self.shown:
            return Kind.SHOWN
        if self.language in {"yaml", "json"}:
            return Kind(self.language)
        if self.language:
            return None
        if is_shell(self.text):
            return Kind.SHELL
        return Kind.YAML if re.match(r"(#.*\n)*\w+:( |\n)", self.text) else None

    @property
    def shown(self) -> Shown | None:
        """The entry of the list that it falls under."""
        return next((each for each in SHOWN if re.match(each.beginning, self.text, re.MULTILINE)), None)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    """Every page for readers."""
    own = (REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md"))
    below = (REPOSITORY / "docs").rglob("*.md"), (REPOSITORY / "servingruntimes").rglob("README.md")
    return (*own, *(page for found in below for page in sorted(found)))


def tokens(text: str) -> list[Token]:
    """A page's Markdown, taken apart; with GitHub's tables."""
    return MarkdownIt("commonmark").enable("table").parse(text)


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """Every code block of a text, those in lists too."""
    for token in tokens(text):
        if token.type in {"fence", "code_block"}:
            line = token.map[0] + 1 if token.map else 0
            yield Block(page, line, token.info.strip(), token.content.strip("\n"))


@cache
def all_blocks() -> tuple[Block, ...]:
    """Every block of every page."""
    found = ((page.relative_to(REPOSITORY).as_posix(), page.read_text()) for page in pages())
    return tuple(block for name, text in found for block in blocks_of(name, text))
