"""The process in which `kserve_storage` runs: `python -m wellhead_storage.delegated.child`.

One line of JSON comes on stdin, with the URI and the folder: in the list of processes a signature in the URI's query
could be seen. On stdout goes nothing, or one line about the failure (`report.py`); whatever the library and its clients
print is sent to stderr. stdin stays open as long as the parent lives: its end is ours, whatever we are doing.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading

from wellhead_storage.delegated.report import chain, write


def main() -> int:
    """Fetch what stdin asks for; returns the exit code."""
    errand = json.loads(sys.stdin.buffer.readline())
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    try:
        from kserve_storage import Storage  # type: ignore[import-untyped]

        Storage.download(errand["uri"], errand["folder"])
    except BaseException as error:  # noqa: BLE001 - of whatever kind, it is the parent's to explain
        os.write(answer, write(chain(error)))
        return 1
    return 0


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the thread above waits for ever
