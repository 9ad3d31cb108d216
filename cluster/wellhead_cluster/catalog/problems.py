"""What is wrong with a file for a catalog."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        where: the place in the document.
        reason: what the catalog makes of it, a clause.
        lost: a source, a model, an artifact or a value would be missing; else it is there in another form than meant.
    """

    where: str
    reason: str
    lost: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"
