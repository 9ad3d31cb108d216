"""What the code can say: its sentences as patterns, read from the source, with anything for what is filled in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.unit.manifests import REPOSITORY
from wellhead_storage import errors

PACKAGES = ("storage", "runtime", "cluster")
BLANK = "…"
_LEAST_LETTERS = 6  # of a pattern's own; fewer say nothing
_LEAST_PIECE = 4  # letters of what fills a blank that have to be somebody's words
_FORMAT = re.compile(r"%[sd]|%\.\d+f")


@dataclass(frozen=True, slots=True)
class Saying:
    """A sentence of the code.

    Attributes:
        kind: the error that carries it; empty for what only a log or a report says.
        pattern: matches the sentence, with one group for each blank.
    """

    kind: str
    pattern: re.Pattern[str]

    def is_said(self, text: str) -> bool:
        """Whether `text` is that sentence, and what it puts into the blanks are words of the code or `…`."""
        found = self.pattern.fullmatch(text)
        filled = (
            [piece.strip(" .:;") for group in found.groups() for piece in (group or "").split(BLANK)] if found else []
        )
        return found is not None and all(piece in _words() for piece in filled if len(piece) >= _LEAST_PIECE)


@cache
def sayings() -> tuple[Saying, ...]:
    """Every sentence of the three packages."""
    return tuple(each for path in _modules() for each in _of(path))


def errors_saying(text: str) -> set[str]:
    """The kinds of errors whose sentence (with its hint, or without) `text` is."""
    return {each.kind for each in sayings() if each.kind and each.is_said(text)}


def is_said(text: str) -> bool:
    """Whether any sentence of the code, of an error or not, is `text`."""
    return any(each.is_said(text) for each in sayings())


def _modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


@cache
def _words() -> str:
    """All texts of the code, in one."""
    trees = [ast.parse(path.read_text()) for path in _modules()]
    constants = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return "\n".join(node.value for node in constants if isinstance(node.value, str))


def _of(path: Path) -> Iterator[Saying]:
    tree = ast.parse(path.read_text())
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (kind := _called(node)) and node.args:
            hints = _texts(node.args[1], named) if len(node.args) > 1 else []
            for problem in _texts(node.args[0], named):
                for ending in ("", *(f" {hint}" for hint in hints)):
                    yield from _saying(kind, problem, ending)
        elif isinstance(node, ast.JoinedStr | ast.Constant):
            for text in _texts(node, named):
                yield from _saying("", text, "")


def _called(node: ast.Call) -> str:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    name = "WellheadError" if name == "PreparationFailed" else name
    known = getattr(errors, name, None)
    return name if isinstance(known, type) and issubclass(known, errors.WellheadError) else ""


def _saying(kind: str, text: str, more: str) -> Iterator[Saying]:
    if len(re.findall("[A-Za-z]", re.sub(r"\(\.\*\?\)|\\.", "", text))) >= _LEAST_LETTERS:
        yield Saying(kind, re.compile(text + more, re.DOTALL))


def _texts(node: ast.expr, named: dict[str, ast.expr]) -> list[str]:
    """A text as regular expressions: one for each branch of a condition."""
    match node:
        case ast.Constant(value=str(text)):
            return ["(.*?)".join(re.escape(part) for part in _FORMAT.split(text))]
        case ast.JoinedStr(values=values):
            parts = [_texts(each, named)[0] if isinstance(each, ast.Constant) else "(.*?)" for each in values]
            return ["".join(parts)]
        case ast.IfExp(body=body, orelse=other):
            return [*_texts(body, named), *_texts(other, named)]
        case ast.BoolOp(values=values):
            return [text for each in values for text in _texts(each, named)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [first + second for first in _texts(left, named) for second in _texts(right, named)]
        case ast.Name(id=name) if name in named:
            return _texts(named[name], {})
        case _:
            return ["(.*?)"]
