"""The table of values in the chart's README, from `# -- ` comments above keys in values.yaml, as helm-docs has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from tests.chart.rendering import CHART

README = CHART / "README.md"
_BEGIN, _END = "<!-- values: make chart-docs -->\n", "<!-- end of values -->"


class Value(NamedTuple):
    """A row.

    Attributes:
        key: dotted.
        default: the value in values.yaml.
        description: of the comment; empty where there is none.
    """

    key: str
    default: Any
    description: str


def read_values() -> list[Value]:
    """Every value that has a description, and every single one that lacks it."""
    text = (CHART / "values.yaml").read_text()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return list(_walk(root, text.splitlines(), ()))


def table() -> str:
    """In Markdown."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for key, default, description in read_values():
        rows.append(f"| `{key}` | `{json.dumps(default)}` | {description} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str) -> str:
    """The README with the table as it has to be."""
    before, _, rest = readme.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    assert after, "the README has no place for the table"
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


def write_table() -> None:
    """Brings the README up to date."""
    README.write_text(with_table(README.read_text()))


def _walk(node: yaml.MappingNode, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    for key, value in node.value:
        here = (*path, key.value)
        description = _comment(lines, key.start_mark.line)
        if not description and isinstance(value, yaml.MappingNode) and value.value:
            yield from _walk(value, lines, here)
        else:
            default = yaml.safe_load(yaml.serialize(value))
            yield Value(".".join(here), default, description)


def _comment(lines: list[str], below: int) -> str:
    """The `# -- ` comment that ends right above a line."""
    found: list[str] = []
    for line in reversed(lines[:below]):
        words = line.strip()
        if not words.startswith("# "):
            break
        found.insert(0, words.removeprefix("# "))
        if words.startswith("# -- "):
            return " ".join(found).removeprefix("-- ")
    return ""
