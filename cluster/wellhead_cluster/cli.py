"""The `wellhead` console script: what runs in pods, and the commands for people in front of a cluster."""

from __future__ import annotations

from wellhead_runtime.cli import app, main

# One function a command, which imports its use case when it is called: pods start through this module, too.
__all__ = ["app", "main"]
