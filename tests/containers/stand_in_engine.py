"""A stand-in for the engine, part of the stand-in for vLLM's image: `vllm serve` that serves no model.

It tells what it was started with, answers the probes, and fails where its arguments ask for it. Its text becomes
`vllm/entrypoints/cli/serve.py`, where the model server's child looks for the command.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

TELLS = "the stand-in engine was started with "


def _options(argv: list[str]) -> dict[str, str]:
    pairs = {}
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word.startswith("--"):
            name, _, value = word.partition("=")
            pairs[name] = value or following
    return pairs


def _writable(folder: str) -> bool:
    try:
        (Path(folder) / "probe").touch()
    except OSError:
        return False
    return True


def _started_with(weights: str | None) -> dict[str, object]:
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    places = ["/", "/mnt/models", "/tmp", os.environ["HOME"], "/dev/shm"]
    return {
        "argv": sys.argv[1:],
        "weights": weights,
        "variables": sorted(os.environ),
        "secret": hashlib.sha256(secret.encode()).hexdigest() if secret else None,
        "user": os.getuid(),
        "writable": [place for place in places if _writable(place)],
    }


def _fail(how: str) -> None:
    if how == "end":
        sys.exit(0)
    if how == "exhaust":
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 20)))
    sys.stderr.write("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n")
    sys.exit(1)


class ServeSubcommand:
    """vLLM's name for it."""

    @staticmethod
    def cmd(args: argparse.Namespace) -> None:
        """Serve until a signal comes."""
        options = _options(sys.argv)
        if how := options.get("--stand-in"):
            _fail(how)
        sys.stdout.write(f"{TELLS}{json.dumps(_started_with(args.model_weights))}\n")
        sys.stdout.flush()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/health" else 404)
                self.end_headers()

        def stop(_signal: int, _frame: FrameType | None) -> None:
            sys.exit(0)

        signal.signal(signal.SIGTERM, stop)
        if "--headless" in options:
            signal.pause()
        http.server.HTTPServer(("127.0.0.1", int(options["--port"])), Handler).serve_forever()
