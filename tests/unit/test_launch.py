"""Plan, arguments and machine become one command line and one environment; contradictions are refused before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import (
    CPU,
    CUDA,
    GIB,
    WEIGHTS,
    command_of,
    downloaded_plan,
    make_credentials,
    make_plan,
    make_secret,
)
from wellhead_runtime.arguments import EXTRA_CONFIG, parse_arguments
from wellhead_runtime.launch import STREAMER, Launch, engine_launch, plain_launch, plan_launch
from wellhead_runtime.machine import Machine
from wellhead_storage.credentials.s3 import S3Credentials
from wellhead_storage.errors import ArgumentConflict, InvalidConfiguration
from wellhead_storage.plan import Plan
from wellhead_storage.settings import Loader

MODEL = "/mnt/models"


def launch(
    *argv: str,
    plan: Plan | None = None,
    machine: Machine = CUDA,
    environment: dict[str, str] | None = None,
    credentials: S3Credentials | None = None,
) -> Launch:
    return plan_launch(plan, parse_arguments([MODEL, *argv]), MODEL, machine, environment or {}, credentials)


def extra_config(found: Launch) -> dict[str, Any]:
    config: dict[str, Any] = (
        json.loads(command_of(found.options, EXTRA_CONFIG)) if EXTRA_CONFIG in found.options else {}
    )
    return config


# The strategy ----------------------------------------------------------------------------------------------------

STREAMED, DOWNLOADED = make_plan(loader="runai_streamer"), downloaded_plan()
FORCED = downloaded_plan(mode="local", loader="runai_streamer")

STRATEGIES: dict[str, tuple[Plan | None, list[str], str, str | None]] = {
    "streamed": (STREAMED, [], "split", "runai_streamer"),
    "streamed, auto": (STREAMED, ["--load-format=auto"], "split", "runai_streamer"),
    "streamed, agreed": (STREAMED, ["--load-format=runai_streamer"], "split", "runai_streamer"),
    "downloaded": (DOWNLOADED, [], "directory", None),
    "downloaded, auto": (DOWNLOADED, ["--load-format=auto"], "directory", "auto"),
    "downloaded, another loader": (DOWNLOADED, ["--load-format=fastsafetensors"], "directory", "fastsafetensors"),
    "downloaded, the streamer": (DOWNLOADED, ["--load-format=runai_streamer"], "local-streamer", "runai_streamer"),
    "local, the streamer was asked for by the URI": (FORCED, [], "local-streamer", "runai_streamer"),
    "local, and the user knows better": (FORCED, ["--load-format=auto"], "directory", "auto"),
    "no plan": (None, [], "directory", None),
    "no plan, the streamer": (None, ["--load-format=runai_streamer"], "local-streamer", "runai_streamer"),
}


@pytest.mark.parametrize("case", STRATEGIES)
def test_strategies(case: str) -> None:
    plan, argv, strategy, load_format = STRATEGIES[case]
    found = launch(*argv, plan=plan)
    assert found.strategy == strategy
    assert found.model == MODEL
    assert found.weights == ("s3://models/llama" if strategy == "split" else None)
    assert found.options.count("--load-format") == (load_format is not None)
    assert load_format is None or command_of(found.options, "--load-format") == load_format
    assert found.reason


def test_the_reasons_of_the_plan_are_repeated() -> None:
    assert launch(plan=make_plan(reasons=("A", "B"))).reason.endswith("; the plan says stream: A; B")


def test_vllm_resolves_what_is_no_path() -> None:
    argv = ["org/model", "--load-format=dummy", f'{EXTRA_CONFIG}={{"x": 1}}', "--port=1"]
    found = engine_launch(parse_arguments(argv), "org/model")
    assert (found.strategy, found.model, found.weights) == ("engine", "org/model", None)
    assert found.options == ("--load-format", "dummy", EXTRA_CONFIG, '{"x": 1}', "--shutdown-timeout", "25", "--port=1")
    assert found.variables == {}
    assert engine_launch(parse_arguments(["--config=x.yaml"]), None).model == ""


@pytest.mark.parametrize("load_format", ["safetensors", "pt", "dummy", "sharded_state", "runai_streamer_sharded"])
def test_a_load_format_that_contradicts_the_plan(load_format: str) -> None:
    with pytest.raises(ArgumentConflict) as caught:
        launch("--load-format", load_format, plan=STREAMED)
    assert f"--load-format {load_format}" in caught.value.problem
    assert "s3://models/llama" in caught.value.problem
    assert "wellhead.dev/mode: download" in caught.value.hint
    assert caught.value.exit_code == 18


# While the engine starts, or by the streamer ---------------------------------------------------------------------

FREE, SMALL = CUDA, replace(CUDA, available=GIB)
# loader of the plan, of the container, arguments, machine → strategy and words of the reason
LOADERS: dict[str, tuple[Loader, Loader, list[str], Machine, str, str]] = {
    "nothing speaks against it": ("auto", "auto", [], FREE, "overlap", "nothing speaks against it"),
    "something does": ("auto", "auto", ["--headless"], FREE, "split", "--headless has no server"),
    "there is no room": ("auto", "auto", [], SMALL, "split", "are available"),
    "asked for": ("overlap", "auto", [], FREE, "overlap", "it was asked for"),
    "asked for in the container": ("auto", "overlap", [], FREE, "overlap", "it was asked for"),
    "asked for by the format": ("auto", "auto", ["--load-format=wellhead"], FREE, "overlap", "it was asked for"),
    "the streamer was": ("runai_streamer", "overlap", [], FREE, "split", "the streamer was asked for"),
    "the streamer was, in the container": ("auto", "runai_streamer", [], FREE, "split", "the streamer was asked for"),
    "the service before the container": ("overlap", "runai_streamer", [], FREE, "overlap", "it was asked for"),
    "the user's own streamer": (
        "auto",
        "auto",
        ["--load-format", STREAMER],
        FREE,
        "split",
        f"--load-format {STREAMER}",
    ),
    "the user's own streamer, again": (
        "overlap",
        "auto",
        ["--load-format", STREAMER],
        FREE,
        "split",
        "asks for the str",
    ),
}


@pytest.mark.parametrize("case", LOADERS)
def test_how_streamed_weights_arrive(case: str) -> None:
    of_plan, of_container, argv, machine, strategy, words = LOADERS[case]
    plan = make_plan(loader=of_plan)
    found = plan_launch(plan, parse_arguments([MODEL, *argv]), MODEL, machine, {}, loader=of_container)
    assert found.strategy == strategy
    assert words in found.loading
    assert found.loading in found.reason
    assert command_of(found.options, "--load-format") == ("wellhead" if strategy == "overlap" else STREAMER)


def test_an_engine_whose_weights_arrive_needs_no_store() -> None:
    found = launch("--port=1", plan=make_plan(), credentials=make_credentials(secret=make_secret("AK", "sk")))
    assert (found.strategy, found.model, found.weights) == ("overlap", MODEL, None)
    assert found.options == ("--load-format", "wellhead", "--shutdown-timeout", "25", "--port=1")
    assert found.variables == {}


def test_what_the_container_lacks_counts_too() -> None:
    found = plan_launch(make_plan(), parse_arguments([MODEL]), MODEL, CUDA, {}, missing=["no memory here"])
    assert (found.strategy, found.loading) == ("split", "no memory here")


@pytest.mark.parametrize("argv", [["--load-format=wellhead"], []], ids=["format", "loader"])
def test_a_demand_that_cannot_be_met_is_an_error(argv: list[str]) -> None:
    plan = make_plan(loader="auto" if argv else "overlap")
    with pytest.raises(InvalidConfiguration) as caught:
        launch(*argv, "--headless", plan=plan, machine=SMALL)
    assert "(loader overlap): --headless has" in caught.value.problem
    assert "; weights in shared memory" in caught.value.problem
    assert "runai_streamer" in caught.value.hint


@pytest.mark.parametrize(("named", "given"), [("", "wellhead"), ("mine", "mine,wellhead"), (None, None)])
def test_a_list_of_plug_ins_gets_ours(named: str | None, given: str | None) -> None:
    environment = {} if named is None else {"VLLM_PLUGINS": named}
    assert launch(plan=make_plan(), environment=environment).variables.get("VLLM_PLUGINS") == given


@pytest.mark.parametrize("plan", [DOWNLOADED, None])
def test_weights_in_the_folder_do_not_arrive(plan: Plan | None) -> None:
    with pytest.raises(ArgumentConflict, match="--load-format wellhead is for streamed weights"):
        launch("--load-format=wellhead", plan=plan)
    wished = plan and plan.model_copy(update={"loader": "overlap"})
    assert launch(plan=wished).strategy == "directory"


@pytest.mark.parametrize("argv", [[], ["--load-format=wellhead"]])
def test_the_plain_command_streams(argv: list[str]) -> None:
    plain = plain_launch(make_plan(loader="overlap"), parse_arguments([MODEL, *argv]), MODEL, CUDA, {})
    assert (plain.strategy, plain.weights) == ("split", "s3://models/llama")
    assert command_of(plain.options, "--load-format") == STREAMER


# The user's options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [STREAMED, DOWNLOADED, None], ids=["stream", "download", "none"])
def test_everything_else_passes_through_in_order(plan: Plan | None) -> None:
    rest = ("--port", "8080", "--served-model-name", "a", "b", "--headless", "--x={}")
    assert launch(*rest, plan=plan).options[-len(rest) :] == rest


def test_requests_in_flight_are_finished_within_the_grace_period() -> None:
    assert command_of(launch().options, "--shutdown-timeout") == "25"
    for spelling in ("--shutdown-timeout=5", "--shutdown_timeout=5"):
        assert [word for word in launch(spelling).options if "shutdown" in word] == [spelling]


# The extra config ------------------------------------------------------------------------------------------------


def test_the_users_extra_config_is_kept() -> None:
    found = launch(f'{EXTRA_CONFIG}={{"concurrency": 4}}', f"{EXTRA_CONFIG}.memory_limit=-1", plan=STREAMED)
    assert extra_config(found) == {"concurrency": 4, "memory_limit": -1}
    assert extra_config(launch(plan=STREAMED)) == {}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"pattern": "x"}, "'pattern'"),
        ({"concurency": 8}, "'concurency'"),
        ({"concurrency": "8"}, "concurrency must be a int, not '8'"),
        ({"concurrency": True}, "concurrency must be a int, not True"),
        ({"concurrency": 8.0}, "concurrency must be a int, not 8.0"),
        ({"distributed": 1}, "distributed must be a bool, not 1"),
        ({"memory_limit": None}, "memory_limit must be a int, not None"),
    ],
)
@pytest.mark.parametrize("argv", [[], ["--load-format=runai_streamer"]])
def test_an_extra_config_that_the_streamer_would_refuse(argv: list[str], config: object, words: str) -> None:
    with pytest.raises(ArgumentConflict) as caught:
        launch(EXTRA_CONFIG, json.dumps(config), *argv, plan=STREAMED if not argv else DOWNLOADED)
    assert words in caught.value.problem


def test_other_loaders_have_other_keys() -> None:
    found = launch(f'{EXTRA_CONFIG}={{"enable_multithread_load": true, "num_threads": 8}}', plan=DOWNLOADED)
    assert extra_config(found) == {"enable_multithread_load": True, "num_threads": 8}


# Tensor parallel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [STREAMED, FORCED], ids=["split", "local-streamer"])
def test_ranks_on_gpus_share_one_download(plan: Plan) -> None:
    assert extra_config(launch("--tensor-parallel-size=2", plan=plan)) == {"distributed": True}
    assert extra_config(launch("-tp", "2", plan=plan)) == {"distributed": True}
    assert extra_config(launch("--tensor-parallel-size=1", plan=plan)) == {}
    assert extra_config(launch("--tensor-parallel-size=2", plan=plan, machine=CPU)) == {}


def test_the_user_may_refuse_to_share() -> None:
    found = launch("--tensor-parallel-size=2", f"{EXTRA_CONFIG}.distributed=false", plan=STREAMED)
    assert extra_config(found) == {"distributed": False}


def test_ranks_that_share_divide_one_buffer() -> None:
    plan = make_plan(weights=WEIGHTS.model_copy(update={"largest_tensor_bytes": GIB, "total_bytes": 100 * GIB}))
    alone = int(launch(plan=plan).variables["RUNAI_STREAMER_MEMORY_LIMIT"])
    shared = int(launch("-tp=4", plan=plan).variables["RUNAI_STREAMER_MEMORY_LIMIT"])
    apart = int(
        launch("-tp=4", f"{EXTRA_CONFIG}.distributed=false", plan=plan).variables["RUNAI_STREAMER_MEMORY_LIMIT"]
    )
    assert shared == 4 * apart, "the streamer divides the limit by the ranks that share it"
    assert apart <= alone


def test_downloaded_weights_need_no_streamer() -> None:
    found = launch("--tensor-parallel-size=2", plan=DOWNLOADED)
    assert extra_config(found) == {}
    assert found.variables == {}


# The environment -------------------------------------------------------------------------------------------------


def test_what_the_user_tuned_stays() -> None:
    user = {"RUNAI_STREAMER_CONCURRENCY": "3", "RUNAI_STREAMER_MEMORY_LIMIT": "777", "RUNAI_STREAMER_S3_TIMEOUT": ""}
    found = launch(plan=STREAMED, environment=user)
    environment = found.environment(user)
    assert environment["RUNAI_STREAMER_CONCURRENCY"] == "3"
    assert environment["RUNAI_STREAMER_MEMORY_LIMIT"] == "777"
    assert environment["RUNAI_STREAMER_S3_TIMEOUT"] == "60", "empty means unset"


def test_the_credentials_reach_the_engine() -> None:
    credentials = make_credentials(endpoint_url="http://minio:9000", region="eu", secret=make_secret("AK", "sk", "tok"))
    environment = launch(plan=STREAMED, credentials=credentials).environment({"PATH": "/bin"})
    assert (
        environment.items()
        >= {
            "PATH": "/bin",
            "AWS_ENDPOINT_URL": "http://minio:9000",
            "AWS_REGION": "eu",
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "sk",
            "AWS_SESSION_TOKEN": "tok",
            "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
        }.items()
    )


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "RUNAI_STREAMER_S3_ENDPOINT"])
def test_variables_that_only_half_of_the_streamer_understands_are_taken_out(name: str) -> None:
    """With both set, listing and reading would go to two stores."""
    base = {name: "http://elsewhere:9000", "PATH": "/bin"}
    found = launch(plan=STREAMED, credentials=make_credentials(endpoint_url="http://minio:9000"))
    assert name not in found.environment(base)
    assert name in launch(plan=DOWNLOADED).environment(base), "only where we stream"


def test_a_stale_session_token_never_mixes_with_other_keys() -> None:
    """The sealed pair is permanent; a token that the container still has would make every signature wrong."""
    found = launch(plan=STREAMED, credentials=make_credentials(secret=make_secret("AK", "sk")))
    environment = found.environment({"AWS_SESSION_TOKEN": "stale", "AWS_ACCESS_KEY_ID": "half"})
    assert environment["AWS_ACCESS_KEY_ID"] == "AK"
    assert "AWS_SESSION_TOKEN" not in environment


def test_cloud_identity_keeps_the_containers_variables() -> None:
    base = {"AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_PROFILE": "x"}
    found = launch(plan=STREAMED, credentials=make_credentials("web-identity"))
    assert found.environment(base).items() >= base.items()


def test_nothing_is_added_for_a_directory() -> None:
    assert launch(plan=DOWNLOADED).environment({"A": "b"}) == {"A": "b"}
    assert launch().environment({"A": "b"}) == {"A": "b"}


def test_the_environment_is_not_shown() -> None:
    found = replace(launch(), variables={"AWS_SECRET_ACCESS_KEY": "hunter2"})
    assert "hunter2" not in repr(found)


def test_a_tensor_that_does_not_fit_is_said_before_the_start() -> None:
    weights = WEIGHTS.model_copy(update={"largest_tensor_bytes": 65 * GIB})
    plan = make_plan(weights=weights, loader="runai_streamer")
    with pytest.raises(InvalidConfiguration, match=r"largest tensor has 65\.0 GiB .* may use 64\.0 GiB"):
        launch(plan=plan)
