"""What `wellhead mirror` tells at its end, to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from wellhead_storage.files import in_gib


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Copied(_Part):
    """One object; of a dry run `bytes` is 0 where a length is not known in advance."""

    name: str
    bytes: int


class LeftOut(_Part):
    """One object of the source that is not mirrored."""

    name: str
    reason: str


class Result(_Part):
    """What a run did, or with `dry_run` would do.

    Attributes:
        source: what was copied; a Hugging Face revision as a commit.
        asked: the source as it was asked for.
        destination: the folder with the copy.
        copied: objects written.
        kept: names of copies that were there already.
        deleted: names of copies of an older edition that were removed.
        left: objects of the source that are not mirrored.
        bytes: of the whole mirror.
        seconds: wall time.
    """

    source: str
    asked: str
    destination: str
    dry_run: bool
    copied: tuple[Copied, ...]
    kept: tuple[str, ...]
    deleted: tuple[str, ...]
    left: tuple[LeftOut, ...]
    bytes: int
    seconds: float

    def lines(self) -> Iterator[str]:
        """For people: every change, where nothing was changed yet, and one sentence."""
        if self.dry_run:
            yield from (f"copy    {item.name}  {in_gib(item.bytes)}" for item in self.copied)
            yield from (f"keep    {name}" for name in self.kept)
            yield from (f"delete  {name}" for name in self.deleted)
            yield from (f"leave   {item.name}  ({item.reason})" for item in self.left)
        copied = in_gib(sum(item.bytes for item in self.copied))
        verb = "Would copy" if self.dry_run else "Copied"
        removal = "would delete" if self.dry_run else "deleted"
        yield (
            f"{verb} {len(self.copied)} objects ({copied}) from {self.source} to {self.destination}; "
            f"{len(self.kept)} were there already, {removal} {len(self.deleted)}; {len(self.left)} are left out."
        )
