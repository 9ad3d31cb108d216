"""`wellhead init`: every (URI, folder) pair, side by side, within one budget of connections and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path

from wellhead_storage.download.transfer import Transfer
from wellhead_storage.download.workers import Stopped, Workers
from wellhead_storage.errors import InvalidConfiguration, WellheadError
from wellhead_storage.plan import Plan
from wellhead_storage.prepare import prepare
from wellhead_storage.settings import Settings

_TIDYING = 3.0  # seconds for the pairs that did not fail; a store that says nothing may hold one up much longer


def initialize(pairs: list[tuple[str, Path]], settings: Settings, environment: Mapping[str, str]) -> list[Plan | None]:
    """Prepare every pair; the first failure ends the call.

    Returns:
        The plans, in order; None where the folder was filled for an engine that reads no plan.

    Raises:
        WellheadError: names the folder that failed, where there are several.
        InvalidConfiguration: two pairs have one folder.
    """
    folders = [folder.absolute() for _, folder in pairs]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise InvalidConfiguration(f"{twice} is the folder of two models.", "Give every model a folder of its own.")
    transfer = Transfer(settings)
    try:
        if len(pairs) == 1:
            plans = [prepare(*pairs[0], transfer, settings, environment)]
        else:
            plans = _side_by_side(pairs, transfer, settings, environment)
    except BaseException:
        transfer.abandon()
        raise
    transfer.close()
    return plans


def _side_by_side(
    pairs: list[tuple[str, Path]], transfer: Transfer, settings: Settings, environment: Mapping[str, str]
) -> list[Plan | None]:
    failures: list[WellheadError] = []
    ended = threading.Semaphore(0)

    def one(source: str, destination: Path) -> Plan | None:
        try:
            return prepare(source, destination, transfer, settings, environment)
        except WellheadError as error:
            error.problem = f"For {destination}: {error.problem}"
            failures.append(error)
            raise
        finally:
            if failures:
                transfer.abandon()
            ended.release()

    try:
        return Workers(len(pairs)).run(partial(one, *pair) for pair in pairs)
    except BaseException as error:
        transfer.abandon()
        # The process is about to end: not in the middle of a publication, nor with locks and scraps left behind.
        deadline = time.monotonic() + _TIDYING
        for _ in pairs:
            ended.acquire(timeout=max(0, deadline - time.monotonic()))
        if isinstance(error, Stopped | CancelledError):
            # A pair that was stopped may be noticed before the one that stopped it.
            raise failures[0] from None
        raise
