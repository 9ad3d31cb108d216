"""What the child process tells about a failure: the chain of exceptions, as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

_LONGEST_CHAIN, _LONGEST_MESSAGE = 8, 1000  # together less than a pipe holds, so that the child never waits


@dataclass(frozen=True, slots=True)
class Link:
    """One exception of a chain.

    Attributes:
        type: name of its class, without the module.
        message: its text.
        status: HTTP status that it carries, or 0.
        errno: of an operating system's error, or 0.
        file: the file of an operating system's error, else empty.
        module: the top-level module that could not be imported, else empty.
    """

    type: str
    message: str
    status: int = 0
    errno: int = 0
    file: str = ""
    module: str = ""


def chain(error: BaseException) -> list[Link]:
    """The exception and those it came from, the outermost first."""
    links: list[Link] = []
    current: BaseException | None = error
    while current is not None and len(links) < _LONGEST_CHAIN:
        links.append(_link(current))
        current = current.__cause__ or current.__context__
    return links


def _link(error: BaseException) -> Link:
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    return Link(
        type=type(error).__name__,
        message=str(error)[:_LONGEST_MESSAGE],
        status=status if isinstance(status, int) else 0,
        errno=(error.errno if isinstance(error, OSError) else None) or 0,
        file=str(error.filename or "") if isinstance(error, OSError) else "",
        module=module,
    )


def write(links: list[Link]) -> bytes:
    """The chain as a line."""
    return json.dumps([asdict(link) for link in links]).encode() + b"\n"


def read(line: bytes) -> list[Link]:
    """The chain of a line; empty where the child could not write one."""
    try:
        return [Link(**each) for each in json.loads(line)]
    except (ValueError, TypeError):
        return []
