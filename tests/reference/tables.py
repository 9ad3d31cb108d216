"""Tables of variables, exit codes and annotations, in Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from wellhead_cluster.catalog.backstage import ANNOTATIONS as OF_ENTITIES
from wellhead_storage import errors
from wellhead_storage.errors import OTHER_CODES, WellheadError
from wellhead_storage.mirror.places import DESTINATION_PREFIX, destination_environment
from wellhead_storage.settings import PREFIX, Settings

DOMAIN = "wellhead.dev/"
# In manifests only.
_FOR_PEOPLE = {f"{DOMAIN}needs": "on our storage containers: the KServe that they need. Nothing reads it"}
_NO_ERROR = "\N{EN DASH}"
_FEEDS = re.compile(rf"annotation ({re.escape(DOMAIN)}[\w-]+)")
_OF_DOCSTRINGS = re.compile(r"\n\n(?:Args|Attributes|Raises):\n.*", re.DOTALL)


def variables() -> str:
    """Every variable of Wellhead's own; what holds without it is in bold."""
    rows = [[f"`{PREFIX}{name.upper()}`", *described(field)] for name, field in Settings.model_fields.items()]
    rows.append([f"`{DESTINATION_PREFIX}*`", "", said(destination_environment)])
    return table(["variable", "values", "meaning"], rows)


def exit_codes() -> str:
    """Every exit code."""
    others = [(code, _NO_ERROR, meaning) for code, meaning in OTHER_CODES.items()]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, WellheadError)]
    own = [(kind.exit_code, f"`{kind.__name__}`", said(kind)) for kind in kinds if kind is not WellheadError]
    return table(["code", "error", "what happened"], ([str(code), *rest] for code, *rest in sorted([*others, *own])))


def stated_annotations() -> str:
    """Every annotation that is stated by people or manifests."""
    feeding = {
        found[1]: [_values(field), f"feeds `{PREFIX}{name.upper()}`"]
        for name, field in Settings.model_fields.items()
        if (found := _FEEDS.search(field.description or ""))
    }
    rows = feeding | {name: ["", meaning] for name, meaning in _FOR_PEOPLE.items()}
    return table(["annotation", "values", "meaning"], ([f"`{name}`", *rest] for name, rest in rows.items()))


def entity_annotations() -> str:
    """Those that `wellhead catalog` writes for Backstage."""
    return table(["annotation", "meaning"], ([f"`{name}`", meaning] for name, (meaning, _) in OF_ENTITIES.items()))


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def said(documented: object) -> str:
    """What a docstring says, up to its sections, in one line."""
    return " ".join(_OF_DOCSTRINGS.sub("", inspect.getdoc(documented) or "").split())


def described(field: FieldInfo) -> list[str]:
    """The values that a setting can have, and its meaning."""
    return [_values(field), field.description or ""]


def _values(field: FieldInfo) -> str:
    if field.annotation is bool:
        return _choices(["true", "false"], str(field.default).lower())
    if get_origin(field.annotation) is Literal:
        return _choices([choice for choice in get_args(field.annotation) if choice], field.default)
    kind = field.title or _kind(field)
    if isinstance(field.default, float | int):
        return f"{kind} (**{field.default:g}**)"
    return f"{kind} (**{field.default}**)" if isinstance(field.default, Path) else kind


def _choices(choices: Iterable[str], default: str) -> str:
    return ", ".join(f"**{choice}**" if choice == default else choice for choice in choices)


def _kind(field: FieldInfo) -> str:
    """What the values of a type are; every number with a fraction is a time."""
    if field.annotation is int:
        least = next(limit.ge for limit in field.metadata if isinstance(limit, Ge))
        return f"{least} to {next(limit.le for limit in field.metadata if isinstance(limit, Le))}"
    if field.annotation is Path or Path in get_args(field.annotation):
        return "path"
    if field.annotation is float:
        return "seconds"
    raise LookupError(f"say with a title what the values of {field.annotation} are")
