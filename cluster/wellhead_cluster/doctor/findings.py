"""What a check says: one finding; and all of them together, as `wellhead doctor --json` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = "1.0"

Level = Literal["ok", "unknown", "warning", "error"]
LEVELS: tuple[Level, ...] = ("ok", "unknown", "warning", "error")


class Finding(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True)

    topic: str = Field(default="", description="the check's name")
    level: Level = Field(description="unknown: it could not be looked at, and `why` says what was in the way")
    seen: str = Field(description="what was found, in a sentence")
    why: str = Field(default="", description="why it matters, or why it is not known")
    fix: str = Field(default="", description="what to do about it")
    snippet: str = Field(default="", description="the same as YAML, where it is a change of a manifest")


class Report(BaseModel):
    """Everything that `wellhead doctor --json` prints; its JSON Schema is `docs/doctor-report.schema.json`.

    Minor versions only add fields.
    """

    version: str = VERSION
    kind: str = Field(description="InferenceService or LLMInferenceService")
    name: str
    namespace: str
    assumed: tuple[str, ...] = Field(default=(), description="what was taken for granted, in sentences")
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Level:
        """The worst level of all findings."""
        return max((finding.level for finding in self.findings), key=LEVELS.index, default="ok")

    def count(self, level: Level) -> int:
        """How many findings have that level."""
        return sum(finding.level == level for finding in self.findings)


class Reports(BaseModel):
    """The reports of one call, one for each service."""

    version: str = VERSION
    reports: tuple[Report, ...]


def ok(seen: str) -> Finding:
    """As it should be."""
    return Finding(level="ok", seen=seen)


def unknown(seen: str, why: str, fix: str = "") -> Finding:
    """Could not be looked at."""
    return Finding(level="unknown", seen=seen, why=why[:1].upper() + why[1:], fix=fix)


def warning(seen: str, why: str, fix: str = "", snippet: str = "") -> Finding:
    """Works, though perhaps not as meant."""
    return Finding(level="warning", seen=seen, why=why, fix=fix, snippet=snippet)


def error(seen: str, why: str, fix: str = "", snippet: str = "") -> Finding:
    """Will not work."""
    return Finding(level="error", seen=seen, why=why, fix=fix, snippet=snippet)


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
