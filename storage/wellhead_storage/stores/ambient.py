"""What obstore sees of the environment, which it reads by itself and with other rules than ours."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def variables_hidden(*prefixes: str, but: Mapping[str, str] | None = None) -> Iterator[None]:
    """Hide the process's variables from obstore while a store is opened, on one thread at a time.

    `os.environ` keeps them, since other threads may be reading their credentials from it meanwhile.

    obstore would send an empty AWS_SESSION_TOKEN, and mix variables with the storage-config secret that overrides
    them. Where the identity is the cloud's it needs some; then it sees those of the environment that the store is
    opened with, which is not the process's where the two sides of a mirror have accounts of their own.

    Args:
        prefixes: of their names.
        but: what to show in their place; empty ones count as unset.
    """
    hidden = {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
    shown = {name: value for name, value in (but or {}).items() if name.startswith(prefixes) and value.strip()}
    with _ONE_AT_A_TIME:
        _replace(hidden, shown)
        try:
            yield
        finally:
            _replace(shown, hidden)


def _replace(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    for name in old:
        os.unsetenv(name)
    for name, value in new.items():
        os.putenv(name, value)
