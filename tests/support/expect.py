"""Assertions that also tell the type checker."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def a(kind: type[T], value: object) -> T:
    """The value, which is of this kind."""
    assert isinstance(value, kind), value
    return value
