"""A prepared pod whose weights arrive in shared memory, in the tests' own process or in one like `wellhead serve`."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from wellhead_runtime.engine_credentials import engine_credentials
from wellhead_runtime.overlap.arrivals import Arrivals
from wellhead_runtime.overlap.fetching import Fetching
from wellhead_storage.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.storage.pod import Pod

STARTER = """
import os, sys, time
from pathlib import Path
from wellhead_runtime.engine_credentials import engine_credentials
from wellhead_runtime.overlap.arrivals import VARIABLE, Arrivals
from wellhead_runtime.overlap.fetching import Fetching
from wellhead_runtime.overlap.probe import missing_here
from wellhead_runtime.supervisor import Supervisor
from wellhead_storage.failing import run_to_exit
from wellhead_storage.logs import configure
from wellhead_storage.plan import read_plan
from wellhead_storage.settings import read_settings
folder, settings = Path(sys.argv[1]), read_settings(os.environ)
configure(settings)
plan = read_plan(folder)
def fetch():
    return Fetching(plan, folder, engine_credentials(plan, folder, settings, {}), settings, os.environ)
"""
"""The beginning of a program that does what `wellhead serve FOLDER` does, as far as the weights are concerned."""


def settings_of(pod: Pod, **variables: str) -> dict[str, str]:
    """The variables of the engine's container: no credentials, and short patience."""
    return {
        "PATH": os.defpath,
        "WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(pod.token),
        "WELLHEAD_MEMORY_DIR": str(pod.folder),
        "WELLHEAD_TERMINATION_LOG": str(pod.termination_log),
        "WELLHEAD_STALL_TIMEOUT": "1",
        "WELLHEAD_RETRY_TIMEOUT": "2",
        **variables,
    }


@contextmanager
def fetching(pod: Pod, **variables: str) -> Iterator[tuple[Fetching, Arrivals]]:
    """Start a fetcher for a pod's plan; it is gone when the block ends."""
    environment = settings_of(pod, **variables)
    settings = read_settings(environment)
    credentials = engine_credentials(pod.plan, pod.destination, settings, {})
    with closing(Fetching(pod.plan, pod.destination, credentials, settings, environment)) as started:
        yield started, Arrivals(started.path)


def whole(pod: Pod, arrivals: Arrivals) -> dict[str, bytes]:
    """Every shard, once it is all there."""
    found = {}
    for file in pod.plan.weights.files:
        arrivals.wait(file.name, 0, file.size)
        with arrivals.shard(file.name) as path:
            found[file.name] = path.read_bytes()
    return found
