"""Where vLLM's start-up goes, read from the lines it logs.

Times are those of the lines' arrival, not of their stamps, which have no fractions of a second.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Phase:
    """A stretch of the start-up and the line that ends it.

    Attributes:
        name: what the engine does.
        group: what it is part of, where less detail is wanted.
        end: what the last line of this phase contains.
    """

    name: str
    group: str
    end: re.Pattern[str]


IMPORTS = "engine: imports, config"
WEIGHTS = "engine: weights"
WARM_UP = "engine: warm-up, routes"
GROUPS = (IMPORTS, WEIGHTS, WARM_UP)

# vLLM 0.32, in this order: entrypoints/serve/utils/api_utils.py line 286, config/model.py line 2152, v1/engine/core.py
# line 133, v1/worker/cpu_model_runner.py line 68 (gpu_model_runner.py alike) or gpu/model_runner.py line 392, the
# streamer's summary or model_loader/default_loader.py line 501, v1/engine/core.py line 402, uvicorn/lifespan/on.py. A
# line that does not come (another version, another way to start) adds its phase to the next one.
PHASES = tuple(
    Phase(name, group, re.compile(end))
    for name, group, end in (
        ("front end: imports", IMPORTS, "non-default args"),
        ("front end: configuration", IMPORTS, "Using max model len"),
        ("engine process: imports", IMPORTS, "Initializing a V1 LLM engine"),
        ("worker process: imports", IMPORTS, "Starting to load model|Loading model from scratch"),
        ("weights", WEIGHTS, "Model Streamer: 100% Completed|Loading weights took"),
        ("KV cache and warm-up", WARM_UP, "init engine .* took"),
        ("routes, first /health", WARM_UP, "Application startup complete"),
    )
)


@dataclass
class PhaseClock:
    """Follows a log and notes when each phase ended.

    Attributes:
        started: `time.monotonic()` when the engine was started.
        on_end: called with each phase that has ended and its seconds.
        durations: seconds by phase, of those that have ended.
    """

    started: float
    on_end: Callable[[Phase, float], None] = lambda _phase, _seconds: None
    durations: dict[str, float] = field(default_factory=dict)
    _next: int = 0
    _since: float = 0.0

    @property
    def current(self) -> str:
        """What the engine is doing now."""
        return "ready" if self.ready else PHASES[self._next].name

    @property
    def ready(self) -> bool:
        """Whether the last phase has ended."""
        return self._next == len(PHASES)

    def line(self, text: str) -> None:
        """Take the next line of the log."""
        for index in range(self._next, len(PHASES)):
            if PHASES[index].end.search(text):
                now = time.monotonic()
                seconds = now - (self._since or self.started)
                self._next, self._since = index + 1, now
                self.durations[PHASES[index].name] = seconds
                self.on_end(PHASES[index], seconds)
                return

    def by_group(self) -> dict[str, float]:
        """Seconds by row of the table."""
        return {
            group: sum(self.durations.get(phase.name, 0.0) for phase in PHASES if phase.group == group)
            for group in GROUPS
        }
