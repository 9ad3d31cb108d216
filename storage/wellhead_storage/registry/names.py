"""Names in the registry: its lookups are SQL patterns, in which `_` and `%` stand for others. Pure.

Seen on the real server (golden/model-registry, fact 1): `?name=only_dash` answers with the model `only-dash`, and
`?name=lora_x` with 404 "multiple …" although `lora_x` exists. A backslash makes the sign literal.
"""

from __future__ import annotations

_SIGNS = ("\\", "_", "%")


def is_pattern(name: str) -> bool:
    """Whether the registry takes a name for a pattern."""
    return any(sign in name for sign in _SIGNS)


def literally(name: str) -> str:
    """The pattern that matches exactly this name."""
    for sign in _SIGNS:
        name = name.replace(sign, "\\" + sign)
    return name
