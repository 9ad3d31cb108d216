"""How a command ends: one sentence as the last line on stderr and in the termination message, and an exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from wellhead_storage.errors import Interrupted, WellheadError
from wellhead_storage.settings import PREFIX, TERMINATION_LOG

_LONGEST_MESSAGE = 4096  # bytes; of anything longer the kubelet keeps the end only


def run_to_exit(command: Callable[[], int], environment: Mapping[str, str]) -> NoReturn:
    """Run a command and leave the process with its code.

    Leaves through `os._exit`: worker threads that wait for a stalled store must not keep a failed pod alive.
    """
    try:
        code = command()
    except WellheadError as error:
        code = report(error, environment)
    except KeyboardInterrupt:
        code = report(Interrupted("Interrupted."), environment)
    except Exception as error:  # noqa: BLE001 - the last resort: nothing may end without a sentence
        traceback.print_exc()
        code = report(WellheadError(f"Unexpected {type(error).__name__}: {error}", "Please report this."), environment)
    sys.stdout.flush()
    sys.stderr.flush()
    logging.shutdown()
    os._exit(code)


def report(error: WellheadError, environment: Mapping[str, str]) -> int:
    """Tell the user, and KServe through the termination message; returns the exit code."""
    if environment.get(f"{PREFIX}LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    sentence = str(error).replace("\n", " ")
    write_termination_message(sentence, environment)
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 - the sentence itself, in every log format
    return error.exit_code


def write_termination_message(sentence: str, environment: Mapping[str, str]) -> None:
    """Make `sentence` the whole termination message, which KServe copies into `lastFailureInfo`.

    Outside a pod there is no /dev/termination-log, and none is created; a file named by WELLHEAD_TERMINATION_LOG is.
    """
    named = environment.get(f"{PREFIX}TERMINATION_LOG", "").strip()
    path = Path(named) if named else TERMINATION_LOG
    if not named and not path.is_file():
        return
    try:
        whole = sentence.encode(errors="backslashreplace")[:_LONGEST_MESSAGE]
        path.write_bytes(whole.decode(errors="ignore").encode())
    except OSError as error:
        logging.getLogger("wellhead").warning("the termination message %s cannot be written: %s", path, error)


def interrupt_on_signals(before: str = "the model was ready") -> None:
    """Make SIGTERM and SIGINT raise `Interrupted` in the main thread.

    Needed even to die: a container's process 1 ignores every signal that it has no handler for.

    Args:
        before: what had not come about yet, for the sentence.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        # A second signal must not break the tidying-up that the first one started.
        for again in (signal.SIGTERM, signal.SIGINT):
            signal.signal(again, signal.SIG_IGN)
        raise Interrupted(f"Stopped by {signal.Signals(number).name} before {before}.")

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, handler)
