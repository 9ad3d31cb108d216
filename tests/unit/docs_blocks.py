"""The code blocks, commands and links of every page, found as Markdown's own parser finds them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.unit.builders import REPOSITORY


@dataclass(frozen=True)
class Block:
    """A fenced or indented block; `language` is empty for the latter."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Everything that people read."""
    found = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
    found += [*(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "servingruntimes").rglob("README.md")]
    return sorted(found)


@cache
def tokens(page: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(page.read_text()))


def blocks() -> list[Block]:
    """Of all pages."""
    return [
        Block(page.relative_to(REPOSITORY).as_posix(), (token.map or [0])[0] + 1, token.info.strip(), token.content)
        for page in pages()
        for token in tokens(page)
        if token.type in {"fence", "code_block"}
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in a shell's text, without comments and variables in front."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for part in re.split(r"\s(?:\||&&|;)\s", line.strip().removeprefix("$ ")):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue  # not a shell's
            while words and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", words[0]):
                words.pop(0)
            if words:
                yield words


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    found = set()
    for token, following in pairwise(tokens(page)):
        if token.type == "heading_open":
            shown = "".join(each.content for each in following.children or ())
            found.add(re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-"))
    return found


def links(page: Path) -> Iterator[str]:
    """Targets that are not on the web."""
    for token in tokens(page):
        for child in token.children or ():
            target = str(child.attrs.get("href") or child.attrs.get("src") or "")
            if target and not urlsplit(target).scheme:
                yield target


def dead(page: Path, target: str) -> bool:
    """Whether nothing is there."""
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.exists():
        return True
    return bool(anchor) and there.suffix == ".md" and anchor not in anchors(there)
