"""The plain `vllm serve` line: what a shell makes of it is what Wellhead would start."""

from __future__ import annotations

import shlex
import subprocess

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.builders import CUDA, downloaded_plan, make_credentials, make_plan
from wellhead_runtime.arguments import parse_arguments
from wellhead_runtime.launch import Launch, engine_launch, plain_launch, plan_launch
from wellhead_runtime.printing import plain_command


def words(text: str) -> list[str]:
    return shlex.split(text.replace("\\\n", ""))


def test_a_streamed_model_is_named_by_its_uri_and_served_under_its_own_name() -> None:
    launch = plain_launch(make_plan(), parse_arguments(["--port=8080"]), "/mnt/models", CUDA, {})
    found = words(plain_command(launch, "/mnt/models"))
    command = found[found.index("vllm") :]
    assert command == [
        "vllm",
        "serve",
        "s3://models/llama",
        "--served-model-name",
        "/mnt/models",
        "--load-format",
        "runai_streamer",
        "--shutdown-timeout",
        "25",
        "--port=8080",
    ]
    assert "RUNAI_STREAMER_CONCURRENCY=8" in found[: found.index("vllm")]


def test_a_directory() -> None:
    launch = plan_launch(downloaded_plan(), parse_arguments(["--served-model-name", "a b"]), "/mnt/models", CUDA, {})
    assert plain_command(launch) == "vllm serve /mnt/models --shutdown-timeout 25 --served-model-name 'a b'"
    assert plain_command(launch, "x") == plain_command(launch), "a directory needs no other name"


def test_a_model_from_a_config_file() -> None:
    launch = engine_launch(parse_arguments(["--config=x.yaml"]), None)
    assert plain_command(launch) == "vllm serve --shutdown-timeout 25 --config=x.yaml"


def test_one_variable_a_line() -> None:
    launch = plain_launch(make_plan(), parse_arguments([]), "/mnt/models", CUDA, {}, make_credentials(region="eu"))
    lines = plain_command(launch).splitlines()
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert [line.partition("=")[0] for line in lines[:-1]] == sorted(launch.variables)
    assert 'AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY" \\' in lines


SHELL_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=10)


@hypothesis_settings(max_examples=15)
@given(st.lists(SHELL_TEXT, max_size=3), SHELL_TEXT)
def test_a_shell_understands_it(options: list[str], value: str) -> None:
    launch = Launch("directory", "/mnt/my models", tuple(options), "why", variables={"SOME_VARIABLE": value})
    script = f'vllm() {{ printf \'%s\\0\' "$SOME_VARIABLE" "$@"; }}\n{plain_command(launch)}'
    finished = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert finished.stdout.decode().split("\0")[:-1] == [value, "serve", "/mnt/my models", *options]
