"""Keeping obstore from reading the environment by itself, which it does with other rules than ours."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def variables_hidden(*prefixes: str, only_empty: bool = False) -> Iterator[None]:
    """Hide variables from obstore while a store is opened, on one thread at a time.

    `os.environ` keeps them, since other threads may be reading their credentials from it meanwhile.

    obstore would send an empty AWS_SESSION_TOKEN, and mix variables with the storage-config secret that overrides
    them. Where the identity is the cloud's it needs them; then only the empty ones are hidden.

    Args:
        prefixes: of their names.
        only_empty: leave those that say something.
    """
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(prefixes) and (not only_empty or not value.strip())
    }
    with _ONE_AT_A_TIME:
        for name in hidden:
            os.unsetenv(name)
        try:
            yield
        finally:
            for name, value in hidden.items():
                os.putenv(name, value)
