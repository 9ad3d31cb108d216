"""`wellhead init` as a child process that gets what a pod's init container gets, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wellhead_storage.plan import Plan, read_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

TOKEN = "header.payload.signature-of-a-service-account-token"
WELLHEAD = str(Path(sys.executable).with_name("wellhead"))
NOBODY = 65534
LIMIT = 60.0
AT_A_TIME = 4


@dataclass(frozen=True)
class Outcome:
    """How an init container ended.

    Attributes:
        exit_code: of the process.
        stderr: the container's log.
        message: what it left as termination message.
        seconds: wall time.
    """

    exit_code: int
    stderr: str
    message: str
    seconds: float

    @property
    def sentence(self) -> str:
        """The last line of the log, which is the whole termination message."""
        lines = self.stderr.splitlines()
        assert lines, "it said nothing"
        assert lines[-1] == self.message, (lines[-1], self.message)
        return self.message


class Pod:
    """A pod's volume, token and termination log, and its init container.

    Attributes:
        environment: the container's variables.
        command: what runs in it.
        user: uid and gid it runs as; None for the tests' own.
        umask: -1 for the tests' own.
    """

    def __init__(self, folder: Path, credentials: Mapping[str, str]) -> None:
        self.folder = folder
        self.destination = folder / "models"
        self.token = folder / "token"
        self.token.write_text(TOKEN)
        self.termination_log = folder / "termination-log"
        self.termination_log.touch()
        self.termination_log.chmod(0o666)
        self.environment = {
            "PATH": os.defpath,
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
            "KUBERNETES_SERVICE_PORT": "443",
            "WELLHEAD_ENGINE": "vllm",
            "WELLHEAD_MODE": "",  # a missing annotation
            "WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(self.token),
            "WELLHEAD_TERMINATION_LOG": str(self.termination_log),
            **credentials,
        }
        self.command: tuple[str, ...] = (WELLHEAD, "init")
        self.user: int | None = None
        self.umask = -1

    def start(self, *arguments: str | Path, **environment: str | None) -> subprocess.Popen[str]:
        """Start the container with a URI (then the volume is DEST), or with pairs of URI and folder.

        Variables given as None are unset.
        """
        self.termination_log.write_text("")
        given = arguments if len(arguments) > 1 else (*arguments, self.destination)
        merged = {**self.environment, **environment}
        return subprocess.Popen(
            [*([] if self.user is None else as_user(self.user)), *self.command, *map(str, given)],
            cwd="/",
            env={name: value for name, value in merged.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            umask=self.umask,
        )

    def init(self, *arguments: str | Path, **environment: str | None) -> Outcome:
        """Run the container to its end."""
        begin = time.monotonic()
        with self.start(*arguments, **environment) as process:
            try:
                return self.wait(process, begin)
            finally:
                process.kill()

    def wait(self, process: subprocess.Popen[str], begin: float) -> Outcome:
        """The end of a container that was started at `begin`."""
        _, stderr = process.communicate(timeout=LIMIT)
        return Outcome(process.returncode, stderr, self.termination_log.read_text(), time.monotonic() - begin)

    @property
    def plan(self) -> Plan:
        """The load plan."""
        plan = read_plan(self.destination)
        assert plan is not None, "there is no plan"
        return plan

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the volume but Wellhead's own."""
        return {name: data for name, data in contents(self.destination).items() if not name.startswith(".wellhead/")}

    @property
    def own_files(self) -> list[str]:
        """Wellhead's own files, relative to `.wellhead`."""
        return sorted(contents(self.destination / ".wellhead"))

    @property
    def is_untouched(self) -> bool:
        """Whether the volume holds nothing, not even a folder."""
        return not self.destination.is_dir() or not list(self.destination.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@cache
def may_be_another_user() -> bool:
    """Whether a child can be another user that still reaches our Python."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        return False
    tried = subprocess.run([*as_user(NOBODY), WELLHEAD, "--version"], capture_output=True, check=False, cwd="/")
    return tried.returncode == 0


def side_by_side(cases: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Run the cases of a table a few at a time: most of each is the start of a process, or waiting."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return dict(zip(cases, pool.map(lambda case: case(), cases.values()), strict=True))


def as_user(number: int) -> list[str]:
    """The beginning of a command that is to run as another user and group, without capabilities."""
    return ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", "--"]


def assert_refused(pod: Pod, outcome: Outcome, code: int, sentence: str, *, resumable: bool = False) -> None:
    """It ended soon, with this code, with this sentence alone, and left nothing behind.

    Or, where it is `resumable`, nothing but what the next run goes on from.
    """
    assert (outcome.exit_code, outcome.sentence) == (code, sentence)
    assert "Traceback" not in outcome.stderr
    assert outcome.seconds < 15
    if resumable:
        assert pod.files == {}
        assert {name.partition("/")[0] for name in pod.own_files} == {"partial", "partial.jsonl"}
    else:
        assert pod.is_untouched
