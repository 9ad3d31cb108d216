"""What `wellhead plan` says of the engine's side: whatever the store, no secret, and nothing of this machine's size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tests.unit.builders import CONNECTION, CPU, CUDA, WEIGHTS, downloaded_plan, make_credentials, make_plan
from wellhead_runtime.plan_report import make_report
from wellhead_storage.credentials.azure import AzureConnection, AzureCredentials, AzureSecret
from wellhead_storage.credentials.gcs import GcsConnection, GcsCredentials, GcsSecret
from wellhead_storage.preview import Figures, Preview

if TYPE_CHECKING:
    from wellhead_runtime.machine import Machine
    from wellhead_storage.credentials.kinds import Credentials
    from wellhead_storage.plan import Plan
    from wellhead_storage.settings import Loader

FOLDER = Path("/mnt/models")
HIDDEN = "hush-hush"


def preview(plan: Plan, credentials: Credentials | None = None) -> Preview:
    return Preview(plan, credentials, FOLDER, Figures(objects=4, weight_bytes=plan.weights.total_bytes))


def streamed(uri: str, credentials: Credentials) -> Preview:
    weights = WEIGHTS.model_copy(update={"uri": uri})
    return preview(make_plan(weights=weights, connection=credentials.connection), credentials)


AZURE = AzureCredentials(
    connection=AzureConnection(account="acct", identity="static"),
    secret=AzureSecret(account_key=SecretStr(HIDDEN)),
)
GOOGLE = GcsCredentials(
    connection=GcsConnection(project="prj", identity="static"), secret=GcsSecret(key_file=SecretStr(HIDDEN))
)
AMAZON = make_credentials(**CONNECTION.model_dump(exclude={"identity", "kind"}))


@pytest.mark.parametrize(
    ("uri", "credentials", "expected"),
    [
        (
            "az://models/llama",
            AZURE,
            {"AZURE_STORAGE_ACCOUNT_NAME": "acct", "AZURE_STORAGE_ACCOUNT_KEY": "$AZURE_STORAGE_ACCOUNT_KEY"},
        ),
        ("gs://models/llama", GOOGLE, {"GOOGLE_CLOUD_PROJECT": "prj"}),
        ("s3://models/llama", AMAZON, {"AWS_SECRET_ACCESS_KEY": "$AWS_SECRET_ACCESS_KEY"}),
    ],
)
def test_secrets_are_placeholders(uri: str, credentials: Credentials, expected: dict[str, str]) -> None:
    report = make_report(streamed(uri, credentials), [], {})
    assert expected.items() <= report.environment.items()
    assert report.arguments[:3] == ("vllm", "serve", uri)
    assert HIDDEN not in report.model_dump_json()
    assert "wJalrXUtnFEMI" not in report.model_dump_json()


def test_a_tensor_larger_than_this_machines_memory_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellhead_runtime.plan_report.inspect_machine", lambda: CPU)
    size = CPU.memory + 1
    weights = WEIGHTS.model_copy(update={"largest_tensor_bytes": size, "total_bytes": 2 * size})
    report = make_report(preview(make_plan(weights=weights), AMAZON), [], {})
    [warning] = report.warnings
    assert warning.startswith("On this machine `wellhead serve` would end: The largest tensor has 64.0 GiB")
    assert (report.buffer_bytes, report.environment["RUNAI_STREAMER_MEMORY_LIMIT"]) == (size, str(size))
    assert make_report(preview(make_plan(), AMAZON), [], {}).warnings == ()


def test_a_buffer_is_needed_by_the_streamer_only_and_unknown_before_headers_are() -> None:
    assert make_report(preview(downloaded_plan()), [], {}).buffer_bytes == 0
    option = ["--load-format", "runai_streamer"]
    assert make_report(preview(downloaded_plan()), option, {}).buffer_bytes == WEIGHTS.largest_tensor_bytes
    unknown = WEIGHTS.model_copy(update={"uri": "/mnt/models", "largest_tensor_bytes": 0})
    assert make_report(preview(downloaded_plan(weights=unknown)), option, {}).buffer_bytes is None


@pytest.mark.parametrize(
    ("machine", "wish", "options", "loader", "words"),
    [
        (CUDA, "auto", [], "overlap", "nothing speaks against it"),
        (CUDA, "overlap", [], "overlap", "it was asked for"),
        (CUDA, "runai_streamer", [], "runai_streamer", "the streamer was asked for"),
        (CUDA, "auto", ["--enable-sleep-mode"], "runai_streamer", "--enable-sleep-mode may want"),
        (replace(CUDA, engine_version=""), "auto", [], "runai_streamer", "no vLLM is installed here"),
    ],
)
def test_how_streamed_weights_would_reach_the_engine_and_why(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, wish: Loader, options: list[str], loader: str, words: str
) -> None:
    monkeypatch.setattr("wellhead_runtime.plan_report.inspect_machine", lambda: machine)
    report = make_report(preview(make_plan(loader=wish), AMAZON), options, {})
    assert report.loader == loader
    assert words in report.loader_reason
    assert report.arguments[:3] == ("vllm", "serve", "s3://models/llama"), "the plain command streams"
    assert (report.buffer_bytes == 0) == (loader == "overlap")


def test_a_loader_that_is_demanded_and_cannot_work_here_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellhead_runtime.plan_report.inspect_machine", lambda: replace(CUDA, available=1))
    report = make_report(preview(make_plan(), AMAZON), [], {"WELLHEAD_LOADER": "overlap"})
    [warning] = report.warnings
    assert warning.startswith("On this machine `wellhead serve` would end: The weights cannot arrive while vLLM starts")
    assert report.loader == "runai_streamer"


def test_weights_in_a_folder_have_no_such_loader() -> None:
    report = make_report(preview(downloaded_plan()), [], {})
    assert (report.loader, report.loader_reason) == ("default", "")
