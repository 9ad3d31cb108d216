"""Runs a parsed Go template over data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tests.kserve.errors import NotModelledError
from tests.kserve.template_parser import Branch, Node, Operand, Pipeline, TemplateError, Text, parse_template


class Missing:
    """A map has no such key; false, and no argument of a function can tell it from an empty string."""

    def __str__(self) -> str:
        """As text/template prints it."""
        return "<no value>"


MISSING = Missing()


class Struct(Protocol):
    """A value with fields of its own instead of keys."""

    def field(self, name: str) -> object:
        """The field's value; raises `TemplateError` where there is none."""


@dataclass(frozen=True)
class Options:
    """What sets html/template and text/template apart.

    Attributes:
        show: how the result of an action is written.
        functions: beyond Go's own.
    """

    show: Callable[[object], str]
    functions: Mapping[str, Callable[..., object]]


def run_template(name: str, template: str, data: object, options: Options) -> str:
    """The rendered template, which is JSON and so a single line.

    Raises:
        TemplateError: with Go's words, the template's name and place included.
        NotModelledError: a part of the language that this does not know.
    """
    functions = {**_FUNCTIONS, **options.functions}
    try:
        nodes = parse_template(template, {*functions, *_UNKNOWN, "and", "or"})
    except TemplateError as error:
        raise TemplateError(f"template: {name}:1: {error}") from None
    return _Run(name, template, data, options.show, functions).nodes(nodes, data)


@dataclass(frozen=True)
class _Run:
    name: str
    template: str
    root: object
    show: Callable[[object], str]
    functions: Mapping[str, Callable[..., object]]

    def nodes(self, nodes: tuple[Node, ...], dot: object) -> str:
        return "".join(self._node(node, dot) for node in nodes)

    def _node(self, node: Node, dot: object) -> str:
        if isinstance(node, Text):
            return node.text
        if isinstance(node, Pipeline):
            return self.show(self._pipeline(node, dot))
        return self._branch(node, dot)

    def _branch(self, branch: Branch, dot: object) -> str:
        value = self._pipeline(branch.pipeline, dot)
        if not _true(value):
            return self.nodes(branch.otherwise, dot)
        if branch.keyword == "range":
            items = [value[key] for key in sorted(value)] if isinstance(value, dict) else value
            if not isinstance(items, list):
                raise NotModelledError("a range over something that is neither a list nor a map")
            return "".join(self.nodes(branch.body, item) for item in items)
        return self.nodes(branch.body, value if branch.keyword == "with" else dot)

    def _pipeline(self, pipeline: Pipeline, dot: object) -> object:
        piped: list[object] = []
        for command in pipeline.commands:
            piped = [self._command(command, dot, piped)]
        return piped[0]

    def _command(self, command: tuple[Operand, ...], dot: object, piped: list[object]) -> object:
        first, *rest = command
        if first.kind != "function":
            if rest or piped:
                self._fail(first, f"can't give argument to non-function {first.source}")
            return self._value(first, dot)
        if first.value in {"and", "or"}:
            return self._short_circuit(str(first.value), rest, dot, piped)
        arguments = [*(self._value(operand, dot) for operand in rest), *piped]
        if first.value not in self.functions:
            raise NotModelledError(f"the function {first.value} in a template")
        try:
            value = self.functions[str(first.value)](*("" if each is MISSING else each for each in arguments))
        except TypeError:
            self._fail(first, f"wrong number of args for {first.value}: got {len(arguments)}")
        except TemplateError as error:
            self._fail(first, f"error calling {first.value}: {error}")
        return self._fields(first, value)

    def _short_circuit(self, name: str, operands: list[Operand], dot: object, piped: list[object]) -> object:
        value: object = MISSING
        for operand in operands:
            value = self._value(operand, dot)
            if _true(value) == (name == "or"):
                return value
        return piped[0] if piped else value

    def _value(self, operand: Operand, dot: object) -> object:
        if operand.kind == "pipeline":
            assert isinstance(operand.value, Pipeline)
            return self._fields(operand, self._pipeline(operand.value, dot))
        if operand.kind == "function":
            return self._command((operand,), dot, [])
        sources = {"dot": dot, "root": self.root}
        return self._fields(operand, sources.get(operand.kind, operand.value))

    def _fields(self, operand: Operand, value: Any) -> object:
        for name in operand.fields:
            if isinstance(value, dict):
                value = value.get(name, MISSING)
            elif hasattr(value, "field"):
                try:
                    value = value.field(name)
                except TemplateError as error:
                    self._fail(operand, str(error))
            elif value is MISSING or value is None:
                value = MISSING
            else:
                kinds = {str: "string", bool: "bool", int: "int"}
                self._fail(operand, f"can't evaluate field {name} in type {kinds.get(type(value), 'interface {}')}")
        return value

    def _fail(self, operand: Operand, message: str) -> Any:
        before = self.template[: operand.position]
        line, column = before.count("\n") + 1, len(before.encode()) - len(before[: before.rfind("\n") + 1].encode())
        place = f"template: {self.name}:{line}:{column}"
        raise TemplateError(f'{place}: executing "{self.name}" at <{operand.source}>: {message}')


def text_of(value: object) -> str:
    """A value as Go's fmt prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "<nil>"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{text_of(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(text_of, value)) + "]"
    return str(value)


def _true(value: object) -> bool:
    return value is not MISSING and bool(value)


def _index(value: Any, *keys: Any) -> object:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "")
        elif isinstance(value, list):
            if not 0 <= key < len(value):
                raise TemplateError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TemplateError(f"can't index item of type {type(value).__name__}")
    return value


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict | list):
        return len(value)
    raise TemplateError(f"len of type {type(value).__name__}")


def _print(*values: object) -> str:
    """Go's Sprint: a space between two operands where neither is a string."""
    printed = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            printed += " "
        printed += text_of(value)
    return printed


def _printf(form: str, *values: object) -> str:
    try:
        return form.replace("%v", "%s") % tuple(value if isinstance(value, int) else text_of(value) for value in values)
    except (TypeError, ValueError):
        raise NotModelledError(f"printf {form!r} in a template") from None


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "not": lambda value: not _true(value),
    "index": _index,
    "len": _length,
    "print": _print,
    "printf": _printf,
    "eq": lambda value, *others: any(value == other for other in others),
    "ne": lambda value, other: value != other,
    "lt": lambda value, other: value < other,
    "le": lambda value, other: value <= other,
    "gt": lambda value, other: value > other,
    "ge": lambda value, other: value >= other,
}
_UNKNOWN = ("call", "html", "js", "println", "slice", "urlquery")
