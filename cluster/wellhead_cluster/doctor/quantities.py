"""Kubernetes quantities: `16Gi`, `500M`, `1e9`. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d+)|([KMGTPE]i|[mkMGTPE]))?")
_DECIMAL = {"m": Decimal("0.001"), **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}}
_BINARY = {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}
_UNITS = {**_DECIMAL, **_BINARY}


def quantity(value: object) -> int | None:
    """The number behind a quantity, whole; None where it is none."""
    match = _QUANTITY.fullmatch(str(value).strip()) if value is not None else None
    if match is None:
        return None
    number = Decimal(match[1] + (match[2] or "")) * _UNITS.get(match[3] or "", Decimal(1))
    return int(number)
