"""KServe's storage-config: the JSON of `storage.key`, with `storage.parameters` over it.

KServe gives the init container one entry of the secret as STORAGE_CONFIG and the parameters of the InferenceService
as STORAGE_OVERRIDE_CONFIG; of keys in both the parameter wins (kserve.md 4.4 and 6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from wellhead_storage.errors import InvalidConfiguration


def storage_config(environment: Mapping[str, str]) -> dict[str, str]:
    """Both in one table, without empty values; {} where there is none.

    Raises:
        InvalidConfiguration: one of them is not a JSON object.
    """
    merged: dict[str, str] = {}
    for name in ("STORAGE_CONFIG", "STORAGE_OVERRIDE_CONFIG"):
        text = environment.get(name, "").strip()
        if not text:
            continue
        try:
            part = json.loads(text)
        except (ValueError, RecursionError):
            part = None
        if not isinstance(part, dict):
            # The text may hold a secret: it is named, never shown.
            raise InvalidConfiguration(f"{name} is not a JSON object.", "Correct the storage-config secret.")
        merged.update({key: str(value) for key, value in part.items() if value not in (None, "")})
    return merged
