"""Small whole objects for tests that are about something else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from wellhead_runtime.machine import Machine
from wellhead_storage.credentials.kinds import Secret
from wellhead_storage.credentials.s3 import Identity, S3Connection, S3Credentials, S3Secret
from wellhead_storage.plan import CredentialsTravel, Fetched, Left, Plan, PlannedFile, Weights

REPOSITORY = Path(__file__).resolve().parents[2]

WEIGHTS = Weights(
    uri="s3://models/llama",
    layout="safetensors",
    files=(
        PlannedFile(name="model-00001-of-00002.safetensors", size=700, etag='"e1"'),
        PlannedFile(name="model-00002-of-00002.safetensors", size=300),
    ),
    total_bytes=1000,
    largest_tensor_bytes=400,
    tensors=3,
    dtypes={"BF16": 2, "F32": 1},
)

CONNECTION = S3Connection(endpoint_url="http://minio.minio.svc:9000", region="eu-west-1", identity="static")


def make_plan(**changes: Any) -> Plan:
    """A plan that streams with sealed credentials, apart from `changes`."""
    whole: dict[str, Any] = {
        "uri": "S3://models/llama/",
        "resolved": "s3://models/llama",
        "mode": "stream",
        "reasons": ("s3:// can be streamed",),
        "weights": WEIGHTS,
        "connection": CONNECTION,
        "credentials": CredentialsTravel(handoff="sealed", identity="static"),
        "fetched": Fetched(files=4, bytes=1234),
        "left": (Left(name="README.md", reason="documentation"),),
        "phases": {"list": 0.01, "survey": 0.2},
    }
    return Plan(**(whole | changes))


def downloaded_plan(**changes: Any) -> Plan:
    """A plan whose weights lie in the folder."""
    weights = WEIGHTS.model_copy(update={"uri": "/mnt/models"})
    whole: dict[str, Any] = {
        "mode": "download",
        "weights": weights,
        "connection": None,
        "credentials": CredentialsTravel(handoff="none"),
    }
    return make_plan(**(whole | changes))


def make_secret(key_id: str = "AKIAEXAMPLE", key: str = "wJalrXUtnFEMI", token: str | None = None) -> S3Secret:
    return S3Secret(
        access_key_id=SecretStr(key_id),
        secret_access_key=SecretStr(key),
        session_token=SecretStr(token) if token else None,
    )


def make_credentials(identity: Identity = "static", secret: S3Secret | None = None, **link: Any) -> S3Credentials:
    if identity == "static":
        secret = secret or make_secret()
    return S3Credentials(connection=S3Connection(identity=identity, **link), secret=secret)


def shown(secret: Secret | None) -> dict[str, str | None]:
    """The clear values, for comparing."""
    assert secret is not None
    return {name: value.get_secret_value() if value else None for name, value in secret}


GIB = 2**30
CUDA = Machine(cpus=8, memory=64 * GIB, available=64 * GIB, engine="cuda", engine_version="0.32.0")
CPU = Machine(cpus=8, memory=64 * GIB, available=64 * GIB, engine="cpu", engine_version="0.32.0")


def python(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter, with nothing in the environment but what is given."""
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        env={"PATH": "/usr/bin:/bin", **(environment or {})},
        cwd="/",
    )


def wellhead(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    return python("-m", "wellhead_runtime", *arguments, environment=environment)


def command_of(arguments: Sequence[str], option: str) -> str:
    """The value behind an option in an argument list."""
    return arguments[list(arguments).index(option) + 1]
