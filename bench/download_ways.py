"""How a folder of a bucket comes to a folder here: one command line per way."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.static_s3 import StaticS3

_CONNECTIONS = 16
_HERE = Path(sys.executable).parent


@dataclass(frozen=True)
class Case:
    """What is to be fetched.

    Attributes:
        server: who serves it.
        source: the same files, for `cp`.
        destination: an empty folder.
        scratch: an empty folder for whatever a client wants to write besides.
    """

    server: StaticS3
    bucket: str
    folder: str
    source: Path
    destination: Path
    scratch: Path

    @property
    def uri(self) -> str:
        """As users write it."""
        return f"s3://{self.bucket}/{self.folder}"

    @property
    def urls(self) -> list[tuple[str, str]]:
        """Name and URL of every file."""
        keys = [file.key for file in self.server.files if file.bucket == self.bucket]
        wanted = [key for key in keys if key.startswith(f"{self.folder}/")]
        return [(k.removeprefix(f"{self.folder}/"), f"{self.server.endpoint_url}/{self.bucket}/{k}") for k in wanted]


@dataclass(frozen=True)
class Way:
    """A client.

    Attributes:
        command: its command line for a case.
        program: what must be installed; empty where that is certain.
        environment: variables beside the store's.
        writes: whether the files are there afterwards.
        local: no network is used.
    """

    command: Callable[[Case], Sequence[str]]
    program: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    writes: bool = True
    local: bool = False

    def found(self) -> bool:
        """Whether the program is installed."""
        return not self.program or program(self.program) is not None


def program(name: str) -> str | None:
    """A program beside this Python, or on the path."""
    return shutil.which(name, path=f"{_HERE}{os.pathsep}{os.environ.get('PATH', os.defpath)}")


def _curl(case: Case, *, to_disk: bool) -> list[str]:
    lines = ["parallel", f"parallel-max = {_CONNECTIONS}", "silent", "fail"]
    for name, url in case.urls:
        lines += [f'url = "{url}"', f'output = "{case.destination / name if to_disk else "/dev/null"}"']
    config = case.scratch / "curl.conf"
    config.write_text("\n".join(lines) + "\n")
    return ["curl", "--config", str(config)]


def _aria2(case: Case) -> list[str]:
    links = case.scratch / "links"
    links.write_text("".join(f"{url}\n  out={name}\n" for name, url in case.urls))
    options = ["--quiet", "--max-concurrent-downloads=8", "--split=4", "--max-connection-per-server=4"]
    return ["aria2c", "--no-conf", *options, f"--dir={case.destination}", f"--input-file={links}"]


def _aws(case: Case) -> list[str]:
    return [program("aws") or "aws", "s3", "cp", "--recursive", "--only-show-errors", case.uri, str(case.destination)]


def _rclone(case: Case) -> list[str]:
    source = f":s3:{case.bucket}/{case.folder}"
    return [program("rclone") or "rclone", "copy", "--quiet", source, str(case.destination)]


def _client(way: str) -> Callable[[Case], list[str]]:
    return lambda case: [sys.executable, "-m", "bench.download_client", way, case.uri, str(case.destination)]


# Connections and all else are the programs' own defaults where they have any: users seldom change them.
WAYS: dict[str, Way] = {
    "limit": Way(lambda case: _curl(case, to_disk=False), "curl", writes=False),
    "wellhead": Way(
        lambda case: [str(_HERE / "wellhead"), "init", case.uri, str(case.destination)],
        environment={"WELLHEAD_ENGINE": "vllm", "WELLHEAD_MODE": "download"},
    ),
    "kserve": Way(_client("kserve")),
    "rclone": Way(
        _rclone,
        "rclone",
        environment={"RCLONE_CONFIG": "/dev/null", "RCLONE_S3_PROVIDER": "Other", "RCLONE_S3_ENV_AUTH": "true"},
    ),
    "obstore-8": Way(_client("obstore-8")),
    "boto3-16": Way(_client("boto3-16")),
    "curl-disk": Way(lambda case: _curl(case, to_disk=True), "curl"),
    "aria2": Way(_aria2, "aria2c"),
    "awscli": Way(_aws, "aws", environment={"AWS_CONFIG_FILE": "/dev/null"}),
    "cp": Way(lambda case: ["cp", "-r", f"{case.source}/.", str(case.destination)], local=True),
}
