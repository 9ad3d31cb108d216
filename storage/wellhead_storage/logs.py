"""Logging: text for people, JSON for collectors; always on stderr.

Standard library logging with python-json-logger: structlog pulls rich in at import, which costs 0.15 s in front of
the first request (measured, `docs/architecture.md`).
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

from wellhead_storage.settings import Settings

log = logging.getLogger("wellhead")


def configure(settings: Settings) -> None:
    """Send the `wellhead` logger to stderr as the settings say; calling it again replaces the handler."""
    handler = _CurrentStderr()
    formatter: logging.Formatter
    if settings.log_format == "json":
        from pythonjsonlogger.json import JsonFormatter

        formatter = JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%SZ",
        )
    else:
        formatter = logging.Formatter("%(asctime)s wellhead %(levelname)s %(message)s", "%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(settings.log_level.upper())


class _CurrentStderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is now: a live progress bar replaces it, so that lines appear above the bar."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)
