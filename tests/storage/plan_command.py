"""`wellhead plan` in a pod's environment."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.storage.pod import LIMIT, WELLHEAD

if TYPE_CHECKING:
    from tests.storage.pod import Pod


def ask(pod: Pod, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    variables = {**pod.environment, "TMPDIR": str(pod.folder), "COLUMNS": "200", **environment}
    return subprocess.run(
        [WELLHEAD, "plan", *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd="/",
    )


def page(pod: Pod, *arguments: str, **environment: str) -> dict[str, str]:
    """The rows of its table, the first of each name, and the last line as `command`."""
    finished = ask(pod, *arguments, **environment)
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    table = [line.rstrip().split("  ", maxsplit=1) for line in lines[: lines.index("")] if line[0] != " "]
    return {name: value.strip() for name, value in reversed(table)} | {"command": lines[-1]}


def report(pod: Pod, *arguments: str, **environment: str) -> Any:
    """Its JSON."""
    finished = ask(pod, *arguments, "--json", **environment)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
