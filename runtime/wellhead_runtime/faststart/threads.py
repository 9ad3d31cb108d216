"""OpenMP threads of a forked process, as vLLM wants them.

vLLM's CPU backend binds threads to cores through OpenMP's variables (VLLM_CPU_OMP_THREADS_BIND,
`vllm/utils/ompmultiprocessing.py` of 0.32). OpenMP reads them when it is loaded, in a forked process long ago and with
other values. So the same is done by hand: the number of threads, and a core for each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

_ENOUGH_FOR_EVERYONE = 1 << 22  # elements; torch gives a thread 32768 at least


def settle(environment: Mapping[str, str]) -> None:
    """Size this process's pool and bind it; has to come before anything computes.

    Args:
        environment: with vLLM's OMP_NUM_THREADS and GOMP_CPU_AFFINITY ("0 1 2"), if it binds.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return
    cores = [int(number) for number in environment.get("GOMP_CPU_AFFINITY", "").split()]
    if cores:
        # As OpenMP does it: the main thread first, so that what it starts later stays there, too.
        os.sched_setaffinity(0, cores[:1])
    wanted = environment.get("OMP_NUM_THREADS", "")
    count = int(wanted) if wanted.isdecimal() else len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    if len(cores) < 2:
        return
    before = _threads()
    torch.zeros(_ENOUGH_FOR_EVERYONE).add_(1)
    team = sorted(_threads() - before)
    for position, thread in enumerate(team, start=1):
        os.sched_setaffinity(thread, [cores[position % len(cores)]])


def _threads() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/task").iterdir()}
