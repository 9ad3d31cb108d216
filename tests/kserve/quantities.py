"""Kubernetes' quantities in the one form that the API server gives them back in ("1000m" → "1", "0.5" → "500m")."""

from __future__ import annotations

import re
from decimal import Decimal

from tests.kserve.manifests import Manifest

_QUANTITY = re.compile(r"^([+-]?[0-9.]+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?[0-9]+)?$")
_BINARY = {suffix: 1024**power for power, suffix in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}
_DECIMAL = {
    suffix: 3 * power for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), start=-3)
}


def amount(quantity: object) -> Decimal:
    """The number that a quantity stands for.

    Raises:
        ValueError: it is none.
    """
    matched = _QUANTITY.match(str(quantity).strip())
    if matched is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    digits, suffix = Decimal(matched[1]), matched[2] or ""
    if suffix and suffix in _BINARY:
        return digits * Decimal(_BINARY[suffix])
    if suffix in _DECIMAL:
        return digits.scaleb(_DECIMAL[suffix])
    return digits.scaleb(int(suffix[1:]))


def canonical(quantity: object) -> str:
    """No fraction, the largest suffix that leaves none, in the family that the author chose."""
    text, number = str(quantity).strip(), amount(quantity)
    if number == 0:
        return "0"
    if text.endswith("i") and abs(number) >= 1024:
        suffix, unit = next((s, u) for s, u in reversed(_BINARY.items()) if number % u == 0)
        return f"{int(number / unit)}{suffix}"
    for suffix, exponent in reversed(_DECIMAL.items()):
        scaled = number.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return text


def canonical_resources(resources: Manifest) -> None:
    """Rewrites the limits and requests of a container in place."""
    for kind in ("limits", "requests"):
        if resources.get(kind):
            resources[kind] = {name: canonical(value) for name, value in resources[kind].items()}
