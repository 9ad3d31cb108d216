"""`python -m wellhead_storage.fetcher`: fetch what the job on standard input says, say how far, and end.

It knows stores and credentials, and nothing of any engine. Its failures go into the control page, where the engine's
loader and `wellhead serve` find them. It ends when standard input does, which is when its starter is gone.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from wellhead_storage.control_page import ControlPage
from wellhead_storage.errors import WellheadError
from wellhead_storage.fetcher.fetch import fetch
from wellhead_storage.fetcher_job import Job
from wellhead_storage.logs import configure, log
from wellhead_storage.settings import read_settings
from wellhead_storage.stores.opening import open_with
from wellhead_storage.uri import parse

# The engine's imports run beside this, on as few as two cores, and are what the user waits for on a fast link.
_NICENESS = 10


def main() -> NoReturn:
    """Fetch one job and leave through `os._exit`: threads that wait for a store must not keep the process."""
    os.nice(_NICENESS)
    job = Job.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    page = ControlPage(job.page, write=True)
    code = 1
    try:
        settings = read_settings(os.environ)
        configure(settings)
        store = open_with(parse(job.uri), job.credentials, os.environ, settings).store
        fetch(store, {file.name: file for file in job.files}, page, settings)
        page.complete()
        code = 0
    except WellheadError as error:
        code = error.exit_code
        page.fail(str(error), code)
    except Exception as error:  # noqa: BLE001 - the last resort: nothing may end without a sentence
        log.exception("unexpected")
        page.fail(f"Unexpected {type(error).__name__} while the weights were fetched: {error}", code)
    sys.stderr.flush()
    os._exit(code)


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
