"""Custom properties, `{metadataType, <type>_value}`, and what the catalog server makes of wrong ones. Pure.

Every rule here was seen in answers of the real server (tests/data/model-catalog).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from wellhead_cluster.catalog.problems import Problem

INT32 = 2**31 - 1

_KINDS: dict[str, tuple[str, str, tuple[type, ...]]] = {
    "MetadataStringValue": ("string_value", "a string in quotes", (str,)),
    "MetadataIntValue": ("int_value", "a number in quotes", (str,)),
    "MetadataDoubleValue": ("double_value", "a number without quotes", (int, float)),
    "MetadataBoolValue": ("bool_value", "true or false", (bool,)),
}
# The server's interface has these too; nobody has recorded what becomes of them.
_OTHERS = {"MetadataStructValue", "MetadataProtoValue"}
_INTEGER = re.compile(r"[+-]?\d{1,18}")


def text(value: str) -> dict[str, Any]:
    """A string as custom property."""
    return {"metadataType": "MetadataStringValue", "string_value": value}


def number(value: float) -> dict[str, Any]:
    """A number as custom property, of any size: integers of the server have 32 bits."""
    return {"metadataType": "MetadataDoubleValue", "double_value": value}


def check_values(where: str, values: Mapping[str, Mapping[str, Any]] | None, *, of_model: bool) -> Iterator[Problem]:
    """The mistakes in a set of custom properties.

    Args:
        where: whose they are.
        values: the custom properties.
        of_model: they are a model's; the interface shows those only where they are strings.
    """
    for name, value in (values or {}).items():
        yield from _check(f"{where}, property {name!r}", value, of_model=of_model)


def _check(where: str, value: Mapping[str, Any], *, of_model: bool) -> Iterator[Problem]:
    kind = value.get("metadataType")
    if kind in _OTHERS:
        yield Problem(where, f"what becomes of {kind} is not known", lost=False)
        return
    if kind not in _KINDS:
        yield Problem(where, f"the metadataType {kind!r} is unknown, so the server keeps an empty string")
        return
    key, meant, types = _KINDS[kind]
    content: Any = value.get(key)
    if content is None:
        yield Problem(where, f"{kind} needs {key}, without which the server keeps an empty string")
    elif not _fits(content, types):
        yield Problem(where, f"{key} has to be {meant}, and the server refuses the whole file")
    elif kind == "MetadataIntValue" and not (_INTEGER.fullmatch(content) and abs(int(content)) <= INT32):
        yield Problem(where, f"{content!r} is no integer of 32 bits, so the server makes a string of it", lost=False)
    elif kind == "MetadataDoubleValue" and not math.isfinite(content):
        yield Problem(where, "JSON has no such number, and the server refuses the whole file")
    elif of_model and kind != "MetadataStringValue":
        yield Problem(where, "the server shows only strings of a model; numbers belong on its artifact", lost=False)


def _fits(content: object, types: tuple[type, ...]) -> bool:
    return isinstance(content, types) and not (isinstance(content, bool) and bool not in types)
