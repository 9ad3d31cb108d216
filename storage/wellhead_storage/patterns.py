"""Which objects of a folder are wanted at all: KServe's allow and ignore patterns.

`STORAGE_ALLOW_PATTERNS` and `STORAGE_IGNORE_PATTERNS` are set on init containers by KServe's users and by KServe's own
controller (tokenizer-only downloads). They are read as `kserve_storage.kserve_storage` 0.21 reads them: a JSON list or
comma-separated, each matched with fnmatch against the path relative to the model's folder, so that `*` crosses slashes.
Two differences: a JSON list that does not parse is refused, where KServe takes `["*.json"` for a pattern that no file
matches; and `onnx/` stands for `onnx/*`, as huggingface_hub has it, where KServe's other stores match nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.inventory import Skipped
from wellhead_storage.stores.interface import StoredObject

ALLOW = "STORAGE_ALLOW_PATTERNS"
IGNORE = "STORAGE_IGNORE_PATTERNS"

_MEANT_AS_LIST = re.compile(r"\[\s*\"")


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns on the relative names of objects.

    Attributes:
        allow: an object has to match one of these; empty for no such condition.
        ignore: an object must match none of these.
        allow_origin: what the reasons call the first: a variable or an option of the command line.
        ignore_origin: the same for the second.
    """

    allow: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_origin: str = ALLOW
    ignore_origin: str = IGNORE

    def __bool__(self) -> bool:
        return bool(self.allow or self.ignore)

    def select(self, objects: Iterable[StoredObject]) -> tuple[list[StoredObject], list[Skipped]]:
        """Part the objects into those that are wanted and those that are left, with the reason; order is kept.

        A URI that names one object itself is not to be filtered: KServe takes that as said.
        """
        kept: list[StoredObject] = []
        left: list[Skipped] = []
        for item in objects:
            reason = self._why_left(item.name)
            if reason:
                left.append(Skipped(item, reason))
            else:
                kept.append(item)
        return kept, left

    def _why_left(self, name: str) -> str:
        if self.allow and not any(_matches(name, pattern) for pattern in self.allow):
            return f"matches no pattern of {self.allow_origin}"
        for pattern in self.ignore:
            if _matches(name, pattern):
                return f"matches {pattern!r} of {self.ignore_origin}"
        return ""


def read_patterns(environment: Mapping[str, str]) -> Patterns:
    """The patterns that the environment sets.

    Raises:
        InvalidConfiguration: JSON that is no list of strings.
    """
    return Patterns(_read(environment, ALLOW), _read(environment, IGNORE))


def _read(environment: Mapping[str, str], variable: str) -> tuple[str, ...]:
    value = environment.get(variable, "").strip()
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):  # the first includes numbers of more digits than Python reads
        if _MEANT_AS_LIST.match(value):
            raise _unusable(variable, "is not valid JSON") from None
        parsed = value.split(",")
    if isinstance(parsed, str):
        parsed = [parsed]
    elif isinstance(parsed, (int, float)) or parsed is None:
        parsed = value.split(",")  # `2024`, `null` and the like are names of files
    if not isinstance(parsed, list) or not all(isinstance(each, str) for each in parsed):
        raise _unusable(variable, "is JSON, but no list of strings")
    return tuple(each.strip() for each in parsed if each.strip())


def _unusable(variable: str, why: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"{variable} {why}.", 'Write ["*.json", "*.safetensors"], or *.json,*.safetensors without quotes.'
    )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, f"{pattern}*" if pattern.endswith("/") else pattern)
