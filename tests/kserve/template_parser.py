"""The tree of a Go template: text, pipelines, if, with and range."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from tests.kserve.errors import NotModelledError
from tests.kserve.template_lexer import Lexer, Token


class TemplateError(Exception):
    """What Go's parser or executor says of a template, without its name and place in front."""


@dataclass(frozen=True)
class Text:
    """Copied as it is."""

    text: str


@dataclass(frozen=True)
class Operand:
    """An argument: a constant, a function, a value with fields.

    Attributes:
        kind: constant, function, dot, root or pipeline.
        fields: read one after the other from what `kind` gives.
        source: as it stands in the template, for error messages.
    """

    kind: str
    value: object
    fields: tuple[str, ...]
    source: str
    position: int


@dataclass(frozen=True)
class Pipeline:
    """Commands, each a list of operands; the result of one is the last argument of the next."""

    commands: tuple[tuple[Operand, ...], ...]


@dataclass(frozen=True)
class Branch:
    """`if`, `with` or `range`."""

    keyword: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node = Text | Pipeline | Branch


def parse_template(template: str, functions: Collection[str]) -> tuple[Node, ...]:
    """The nodes of a template.

    Args:
        functions: the names that a template may call.

    Raises:
        TemplateError: it is none.
        NotModelledError: it has variables, or templates inside.
    """
    nodes, end = _Parser(template, functions).nodes()
    if end is not None:
        raise TemplateError(f"unexpected {{{{{end}}}}}")
    return nodes


class _Parser:
    def __init__(self, template: str, functions: Collection[str]) -> None:
        self._tokens = iter(Lexer(template))
        self._waiting: list[Token] = []
        self._functions = functions

    def nodes(self) -> tuple[tuple[Node, ...], str | None]:
        """The nodes up to `else`, `end` or the end of the template, and which of them it was."""
        nodes: list[Node] = []
        while True:
            token = self._take()
            if token.kind == "eof":
                return tuple(nodes), None
            if token.kind == "text":
                nodes.append(Text(token.value))
                continue
            if token.kind == "error":
                raise TemplateError(token.value)
            keyword = self._peek_word()
            if keyword.kind != "keyword":
                nodes.append(self._pipeline("command", "right"))
            elif keyword.value in {"else", "end"}:
                self._take_word()
                if keyword.value == "end" or self._peek_word().value not in {"if", "with"}:
                    self._expect_right(keyword.value)
                return tuple(nodes), keyword.value
            else:
                nodes.append(self._branch())

    def _branch(self) -> Branch:
        keyword = self._take_word().value
        if keyword not in {"if", "with", "range"}:
            raise NotModelledError(f"{{{{{keyword}}}}} in a template")
        pipeline = self._pipeline(keyword, "right")
        body, end = self.nodes()
        otherwise: tuple[Node, ...] = ()
        if end == "else" and self._peek_word().value in {"if", "with"}:
            return Branch(keyword, pipeline, body, (self._branch(),))
        if end == "else":
            otherwise, end = self.nodes()
        if end != "end":
            raise TemplateError("unexpected EOF" if end is None else f"expected end; found {{{{{end}}}}}")
        return Branch(keyword, pipeline, body, otherwise)

    def _pipeline(self, context: str, end: str) -> Pipeline:
        commands: list[tuple[Operand, ...]] = []
        while True:
            token = self._peek_word()
            if token.kind == end:
                self._take_word()
                if not commands:
                    raise TemplateError(f"missing value for {context}")
                return Pipeline(tuple(commands))
            if token.kind == "variable" and token.value != "$":
                raise NotModelledError("variables in a template")
            if token.kind in {"bool", "quoted", "dot", "field", "word", "number", "nil", "string", "variable", "open"}:
                commands.append(self._command())
            else:
                self._unexpected(token, context)

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while True:
            operand = self._operand()
            if operand is not None:
                operands.append(operand)
            token = self._take()
            if token.kind == "space":
                continue
            if token.kind in {"right", "close"}:
                self._waiting.insert(0, token)
            elif token.kind != "pipe":
                self._unexpected(token, "operand")
            if not operands:
                raise TemplateError("empty command")
            return tuple(operands)

    def _operand(self) -> Operand | None:
        token = self._take_word()
        kind, value, fields, source = "constant", object(), [], token.value
        if token.kind == "word":
            if token.value not in self._functions:
                raise TemplateError(f'function "{token.value}" not defined')
            kind, value = "function", token.value
        elif token.kind in {"dot", "field", "variable"}:
            kind = "root" if token.kind == "variable" else "dot"
            fields = [token.value[1:]] if token.kind == "field" else []
        elif token.kind == "open":
            kind, value = "pipeline", self._pipeline("parenthesized pipeline", "close")
        elif token.kind in {"bool", "nil", "number", "string", "quoted"}:
            value = _constant(token)
        else:
            self._waiting.insert(0, token)
            return None
        position = token.position
        while (following := self._peek()).kind == "field":
            self._take()
            # Go gives a chain of fields the place where it begins to be one.
            position = following.position if source == token.value else position
            fields.append(following.value[1:])
            source += following.value
        return Operand(kind, value, tuple(fields), source, position)

    def _expect_right(self, context: str) -> None:
        token = self._take_word()
        if token.kind != "right":
            self._unexpected(token, context)

    def _unexpected(self, token: Token, context: str) -> NoReturn:
        raise TemplateError(str(token) if token.kind == "error" else f"unexpected {token} in {context}")

    def _take(self) -> Token:
        return self._waiting.pop(0) if self._waiting else next(self._tokens)

    def _peek(self) -> Token:
        token = self._take()
        self._waiting.insert(0, token)
        return token

    def _take_word(self) -> Token:
        token = self._take()
        return self._take() if token.kind == "space" else token

    def _peek_word(self) -> Token:
        token = self._take_word()
        self._waiting.insert(0, token)
        return token


def _constant(token: Token) -> object:
    if token.kind == "bool":
        return token.value == "true"
    if token.kind == "nil":
        return None
    if token.kind == "string" and token.value.startswith("`"):
        return token.value[1:-1]
    try:
        value = ast.literal_eval(token.value)
    except (SyntaxError, ValueError):
        what = "malformed character constant: " if token.kind == "quoted" else f'illegal number syntax: "{token.value}"'
        raise TemplateError(what + (token.value if token.kind == "quoted" else "")) from None
    if token.kind == "quoted":
        if len(value) != 1:
            raise TemplateError(f"malformed character constant: {token.value}")
        return ord(value)
    return value
