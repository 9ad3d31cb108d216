"""The tokens of Go's text/template, with its words for what is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_SPACES = " \t\r\n"
_ENDS_A_WORD = " \t\r\n.,|:)("
KEYWORDS = frozenset({"block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"})


@dataclass(frozen=True)
class Token:
    """A piece of a template.

    Attributes:
        kind: text, left, right, space, char, pipe, open, close, word, keyword, bool, nil, field, dot, variable, number,
            string, quoted (a character constant), declare, assign, comment, eof or error.
        value: its characters; the message of an error.
        position: offset in the template.
    """

    kind: str
    value: str
    position: int

    def __str__(self) -> str:
        """As Go's error messages show it."""
        if self.kind == "eof":
            return "EOF"
        if self.kind == "error":
            return self.value
        if self.kind in {"keyword", "dot", "nil"}:
            return f"<{self.value}>"
        shown = self.value[:10].replace("\\", "\\\\").replace('"', '\\"')
        return f'"{shown}"...' if len(self.value) > 10 else f'"{shown}"'


class Lexer:
    """Cuts a template into tokens. Iterating ends with the token `eof` or `error`."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._at = 0
        self._depth = 0

    def __iter__(self) -> Iterator[Token]:
        while True:
            start = self._template.find("{{", self._at)
            trims = start >= 0 and self._template[start + 2 : start + 3] == "-" and self._space(start + 3)
            text = self._template[self._at : start if start >= 0 else None]
            if trims:
                text = text.rstrip(_SPACES)
            if text:
                yield Token("text", text, self._at)
            if start < 0:
                yield Token("eof", "", len(self._template))
                return
            self._at = start + (4 if trims else 2)
            if self._template.startswith("/*", self._at):
                wrong = self._skip_comment()
                if wrong is not None:
                    yield wrong
                    return
                continue
            yield Token("left", "{{", start)
            for token in self._action():
                yield token
                if token.kind == "error":
                    return

    def _action(self) -> Iterator[Token]:
        while True:
            if self._at_right():
                if self._depth:
                    yield self._error("unclosed left paren")
                else:
                    yield self._right()
                return
            token = self._next()
            yield token
            if token.kind == "error":
                return

    def _at_right(self) -> bool:
        rest = self._template[self._at : self._at + 4]
        return rest.startswith("}}") or (rest[:1] in set(_SPACES) and rest[1:] == "-}}")

    def _right(self) -> Token:
        start, trims = self._at, not self._template.startswith("}}", self._at)
        self._at += 4 if trims else 2
        while trims and self._space(self._at):
            self._at += 1
        return Token("right", "}}", start)

    def _next(self) -> Token:
        start = self._at
        character = self._template[start : start + 1]
        single = {"=": "assign", "|": "pipe", "(": "open", ")": "close"}
        if not character:
            return self._error("unclosed action")
        if character in _SPACES:
            while self._space(self._at) and not self._at_right():
                self._at += 1
            return self._token("space", start)
        if character in single:
            self._at += 1
            self._depth += {"(": 1, ")": -1}.get(character, 0)
            return self._error("unexpected right paren") if self._depth < 0 else self._token(single[character], start)
        if character == ":":
            self._at += 2
            declares = self._template.startswith("=", start + 1)
            return self._token("declare", start) if declares else self._error("expected :=")
        if character in "\"`'":
            return self._quoted(character)
        if character == "$" or (character == "." and not self._template[start + 1 : start + 2].isdigit()):
            return self._field_or_variable(start)
        if character in "+-." or character.isdigit():
            return self._number(start)
        if character.isalnum() or character == "_":
            return self._word(start)
        self._at += 1
        if character.isascii() and character.isprintable():
            return self._token("char", start)
        return self._error(f"unrecognized character in action: {_named(character)}")

    def _quoted(self, quote: str) -> Token:
        start, self._at = self._at, self._at + 1
        names = {'"': "unterminated quoted string", "`": "unterminated raw quoted string"}
        while (character := self._template[self._at : self._at + 1]) != quote:
            if not character or (character == "\n" and quote != "`"):
                return self._error(names.get(quote, "unterminated character constant"))
            self._at += 2 if character == "\\" and quote != "`" else 1
        self._at += 1
        return self._token("quoted" if quote == "'" else "string", start)

    def _field_or_variable(self, start: int) -> Token:
        self._at += 1
        self._skip_word()
        if not self._ends_a_word():
            return self._error(f"bad character {_named(self._template[self._at])}")
        if self._template[start] == "$":
            return self._token("variable", start)
        return self._token("dot" if self._at == start + 1 else "field", start)

    def _number(self, start: int) -> Token:
        self._at += 1
        while self._template[self._at : self._at + 1].isdigit() or self._template[self._at : self._at + 1] == ".":
            self._at += 1
        character = self._template[self._at : self._at + 1]
        if character.isalnum() or character == "_":
            self._at += 1
            return self._error(f'bad number syntax: "{self._template[start : self._at]}"')
        return self._token("number", start)

    def _word(self, start: int) -> Token:
        self._skip_word()
        if not self._ends_a_word():
            return self._error(f"bad character {_named(self._template[self._at])}")
        word = self._template[start : self._at]
        if word in KEYWORDS:
            return self._token("keyword", start)
        return self._token({"true": "bool", "false": "bool", "nil": "nil"}.get(word, "word"), start)

    def _skip_word(self) -> None:
        while self._template[self._at : self._at + 1].isalnum() or self._template[self._at : self._at + 1] == "_":
            self._at += 1

    def _ends_a_word(self) -> bool:
        rest = self._template[self._at : self._at + 2]
        return not rest or rest[0] in _ENDS_A_WORD or rest == "}}"

    def _skip_comment(self) -> Token | None:
        end = self._template.find("*/", self._at)
        if end < 0:
            return self._error("unclosed comment")
        self._at = end + 2
        if not self._at_right():
            return self._error("comment ends before closing delimiter")
        self._right()
        return None

    def _space(self, at: int) -> bool:
        return self._template[at : at + 1] in set(_SPACES)

    def _token(self, kind: str, start: int) -> Token:
        return Token(kind, self._template[start : self._at], start)

    def _error(self, message: str) -> Token:
        return Token("error", message, self._at)


def _named(character: str) -> str:
    return f"U+{ord(character):04X} '{character}'"
