"""Shards that have been loaded, and whose memory can go: where they are read once, and nothing of them lives."""

from __future__ import annotations

from pathlib import Path

from wellhead_runtime.overlap.arrivals import Arrivals

_MEMORY_FILE = "/memfd:"


class LoadedShards:
    """Gives memory back shard by shard.

    Whether a tensor lives is the kernel's knowledge: all tensors of a shard are views of one mapping, which goes with
    the last of them. References from Python would not tell, for another view of the same storage may live on.

    Args:
        arrivals: of the folder. Where its page does not say that it is read once, nothing is given back.
        here: whether this process, too, will not ask again.
    """

    def __init__(self, arrivals: Arrivals, *, here: bool) -> None:
        self._arrivals = arrivals
        self._once = here and arrivals.read_once
        self._names: list[str] = []
        self._more = False

    def add(self, name: str) -> None:
        """A shard has been read to its end."""
        if self._once:
            self._names.append(name)
            self._more = True

    def give_back(self) -> None:
        """Free the memory of those of which nothing is mapped any more; the others are asked about after the next."""
        if self._more:
            self._more = False
            mapped = _mapped()
            self._names = [name for name in self._names if not self._arrivals.give_back(name, mapped)]


def _mapped() -> set[int]:
    """Inodes of all memory files that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {int(line.split(None, 5)[4]) for line in lines if _MEMORY_FILE in line}
