"""A pod of llm-d's chart on this machine: its command line goes through our `vllm` up to the engine's start."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.container_environment import Secrets, container_environment, on_this_machine
from tests.support.llm_d_values import servers
from wellhead_runtime import engine

# The launcher in a process of its own, whose engine writes down how it was started and ends.
_LAUNCHER = """
import json
from wellhead_runtime import launcher, serve

class Engine:
    def __init__(self, command, variables, *_, **__):
        self.started = {"command": list(command), "variables": dict(variables)}

    def run(self):
        print(json.dumps(self.started))
        return 0

serve.Supervisor = Engine
launcher.main()
"""


@dataclass(frozen=True)
class Ended:
    """How it ended: code, log, and what the engine would have got, if it came to that."""

    code: int
    log: str
    command: list[str]
    variables: dict[str, str]

    @property
    def sentence(self) -> str:
        return self.log.splitlines()[-1]

    @property
    def weights(self) -> str | None:
        """Where they stream from."""
        given = (word.partition("=")[2] for word in self.command if word.startswith(engine.WEIGHTS_OPTION))
        return next(given, None)

    @property
    def folder(self) -> Path:
        """What vLLM gets as its model."""
        return Path(self.command[self.command.index("serve") + 1])

    @property
    def options(self) -> list[str]:
        """vLLM's, behind the model."""
        return self.command[self.command.index("serve") + 2 :]


@dataclass(frozen=True)
class LlmDPod:
    """One pod.

    Attributes:
        folder: where its volumes lie.
        container: as the chart renders it.
        secrets: of its namespace.
        cluster: variables that only a test's servers need.
    """

    folder: Path
    container: dict[str, Any]
    secrets: Secrets
    cluster: dict[str, str]

    @classmethod
    def of(
        cls, folder: Path, values: dict[str, Any], role: str, secrets: Secrets, cluster: dict[str, str] | None = None
    ) -> LlmDPod:
        return cls(folder, servers(values)[role], secrets, cluster or {})

    def volume(self, path: str) -> Path:
        """The folder of this machine that is mounted at a path."""
        return Path(self._volumes()[path])

    def start(self) -> Ended:
        """Run the container up to the engine's start."""
        assert self.container["command"] == ["vllm", "serve"]
        volumes = self._volumes()
        arguments = [on_this_machine(word, volumes) for word in self.container["args"]]
        own = container_environment(self.container, self.secrets)
        finished = subprocess.run(
            [sys.executable, "-c", _LAUNCHER, "serve", *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "TMPDIR": volumes["/tmp"],
                "WELLHEAD_MEMORY_DIR": volumes["/dev/shm"],
                "WELLHEAD_TERMINATION_LOG": str(self.folder / "termination-log"),
                **{name: on_this_machine(value, volumes) for name, value in own.items()},
                **self.cluster,
            },
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        started = json.loads(finished.stdout or "{}")
        return Ended(finished.returncode, finished.stderr, started.get("command", []), started.get("variables", {}))

    def _volumes(self) -> dict[str, str]:
        mounts = {each["mountPath"]: self.folder / each["name"] for each in self.container["volumeMounts"]}
        for path in mounts.values():
            path.mkdir(exist_ok=True)
        return {path: str(folder) for path, folder in mounts.items()}
