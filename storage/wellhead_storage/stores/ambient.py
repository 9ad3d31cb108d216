"""Keeping obstore from reading the environment by itself, which it does with other rules than ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def variables_hidden(*prefixes: str, only_empty: bool = False) -> Iterator[None]:
    """Hide variables while a store is opened.

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
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
