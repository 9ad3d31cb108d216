"""Two network namespaces joined by one link whose speed can be set: a client and a server with a wire between them.

Needs root, and `ip` and `tc` (Debian: iproute2).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "wellhead-bench"
_SERVER_ADDRESS, _CLIENT_ADDRESS = "198.18.0.1", "198.18.0.2"  # RFC 2544: set aside for benchmarks


class NetworkError(RuntimeError):
    """The namespaces could not be made."""


@dataclass(frozen=True)
class Link:
    """A server's and a client's namespace.

    Attributes:
        address: the server's, as the client sees it.
    """

    server: str
    client: str
    address: str = _SERVER_ADDRESS

    def in_server(self, *command: str) -> list[str]:
        """A command line that runs there."""
        return _inside(self.server, command)

    def in_client(self, *command: str) -> list[str]:
        """A command line that runs there."""
        return _inside(self.client, command)

    def shape(self, gbit: float | None) -> None:
        """Limit what the server sends; None lifts the limit."""
        subprocess.run(self.in_server("tc", "qdisc", "del", "dev", "wire", "root"), capture_output=True, check=False)
        if gbit is not None:
            # 2 ms of the rate, and at least four of the largest packets that segmentation offload makes.
            burst = max(256 * 1024, int(gbit * 1e9 / 8 * 0.002))
            words = f"tc qdisc add dev wire root tbf rate {gbit * 1000:.0f}mbit burst {burst} latency 50ms"
            _run(*self.in_server(*words.split()))


@contextmanager
def linked_namespaces() -> Iterator[Link]:
    """Make both namespaces; they and all processes in them end with the context."""
    if os.geteuid() != 0:
        raise NetworkError("Network namespaces need root.")
    _remove_forgotten()
    link = Link(f"{_PREFIX}-{os.getpid()}-server", f"{_PREFIX}-{os.getpid()}-client")
    with ExitStack() as stack:
        for name in (link.server, link.client):
            _run("ip", "netns", "add", name)
            stack.callback(_remove, name)
        _run(*f"ip link add wire netns {link.server} type veth peer name wire netns {link.client}".split())
        for name, address in ((link.server, _SERVER_ADDRESS), (link.client, _CLIENT_ADDRESS)):
            _run("ip", "-n", name, "address", "add", f"{address}/30", "dev", "wire")
            _run("ip", "-n", name, "link", "set", "wire", "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")
        yield link


def _remove_forgotten() -> None:
    """What a run left that was killed outright."""
    for path in Path("/run/netns").glob(f"{_PREFIX}-*"):
        owner = re.fullmatch(rf"{_PREFIX}-(\d+)-\w+", path.name)
        if owner and not Path("/proc", owner[1]).exists():
            _remove(path.name)


def _remove(name: str) -> None:
    left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
    for pid in left.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def _inside(namespace: str, command: Sequence[str]) -> list[str]:
    # `ip netns exec` would also mount another /sys, without the control groups.
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *command]
