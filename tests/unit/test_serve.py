"""`wellhead serve`, up to the point where the engine would start."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.builders import CUDA, command_of, downloaded_plan, make_plan, make_secret
from wellhead_runtime import engine
from wellhead_runtime import serve as module
from wellhead_runtime.faststart.report import StartReport
from wellhead_runtime.overlap.fetching import Fetching
from wellhead_runtime.serve import serve
from wellhead_storage.credentials.seal import seal
from wellhead_storage.errors import ArgumentConflict, HandoffFailed, ObjectNotFound, UnreadablePlan
from wellhead_storage.handoff import sealed_path
from wellhead_storage.plan import plan_path, write_plan

ENGINE = engine.module()


class Started:
    """Stands for the supervisor; remembers what it was given."""

    command: list[str]
    environment: dict[str, str]
    prepared: list[tuple[str, Path]]
    when_ready: Callable[[], None] | None

    def __init__(self) -> None:
        self.command, self.environment, self.prepared = [], {}, []

    def __call__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        report: StartReport,
        fetching: Fetching | None = None,
        when_ready: Callable[[], None] | None = None,
    ) -> Started:
        self.command, self.environment, self.when_ready = list(command), dict(environment), when_ready
        return self

    @property
    def model(self) -> str:
        return self.command[self.command.index("serve") + 1]

    def run(self) -> int:
        return 143

    def prepare(self, uri: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.prepared.append((uri, folder))
        write_plan(folder, downloaded_plan())


@pytest.fixture
def started(
    monkeypatch: pytest.MonkeyPatch, wellhead_log: pytest.LogCaptureFixture, tmp_path_factory: pytest.TempPathFactory
) -> Started:
    made = Started()
    monkeypatch.setattr(module, "Supervisor", made)
    monkeypatch.setattr(module, "prepare_uri", made.prepare)
    monkeypatch.setattr(module, "installed_engine", lambda: ("cuda", "0.32.0"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def streamed(folder: Path, tmp_path: Path) -> dict[str, str]:
    """A folder prepared for streaming; the environment that opens its credentials."""
    write_plan(folder, make_plan())
    sealed_path(folder).write_bytes(seal(make_secret("AK", "sk"), b"token", "s3://models/llama"))
    (tmp_path / "token").write_text("token")
    return {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(tmp_path / "token"), "WELLHEAD_MEMORY_DIR": str(tmp_path)}


def test_a_streamed_model(started: Started, folder: Path, streamed: dict[str, str]) -> None:
    assert serve([str(folder), "--port=8080", "--headless"], streamed | {"PATH": "/bin"}) == 143
    expected = [*ENGINE, "--wellhead-weights=s3://models/llama", "serve", str(folder)]
    assert started.command[: len(expected)] == expected
    assert command_of(started.command, "--load-format") == "runai_streamer"
    assert started.command[-2:] == ["--port=8080", "--headless"]
    assert started.environment["AWS_SECRET_ACCESS_KEY"] == "sk"
    assert started.environment["AWS_ENDPOINT_URL"] == "http://minio.minio.svc:9000"
    assert started.environment["PATH"] == "/bin"
    assert int(started.environment["RUNAI_STREAMER_CONCURRENCY"]) >= 1
    assert started.prepared == []


def test_a_streamed_model_whose_credentials_are_gone(started: Started, folder: Path, streamed: dict[str, str]) -> None:
    Path(streamed["WELLHEAD_SERVICE_ACCOUNT_TOKEN"]).unlink()
    with pytest.raises(HandoffFailed):
        serve([str(folder)], streamed)
    assert started.command == []


def test_a_downloaded_model_needs_no_credentials(started: Started, folder: Path) -> None:
    write_plan(folder, downloaded_plan())
    assert serve([f"--model={folder}"], {"STORAGE_CONFIG": "nobody reads this"}) == 143
    assert started.command == [*ENGINE, "serve", str(folder), "--shutdown-timeout", "25"]


@pytest.mark.parametrize("spelling", ["{}", "{}/", "file://{}", "FILE://{}", "{}/./", "{}/../models"])
def test_a_folder_without_a_plan(started: Started, folder: Path, spelling: str) -> None:
    """A PVC, a modelcar, a local cache."""
    (folder / "config.json").write_text("{}")
    serve([spelling.format(folder)], {})
    assert started.command == [*ENGINE, "serve", str(folder), "--shutdown-timeout", "25"]


def test_a_relative_folder(started: Started, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.json").write_text("{}")
    monkeypatch.chdir(folder.parent)
    for model in ("./models", "models", "../" + folder.parent.name + "/models"):
        serve([model], {})
        assert started.model == str(folder)


def test_a_folder_behind_a_link_keeps_its_name(started: Started, folder: Path) -> None:
    """KServe's modelcars put a link at /mnt/models."""
    (folder / "config.json").write_text("{}")
    link = folder.parent / "link"
    link.symlink_to(folder)
    serve([str(link)], {})
    assert started.model == str(link)


def test_a_hugging_face_id_is_vllms_business(started: Started) -> None:
    serve(["org/model", "--port=1"], {})
    assert started.command == [*ENGINE, "serve", "org/model", "--shutdown-timeout", "25", "--port=1"]


def test_a_config_file_may_name_the_model(started: Started) -> None:
    serve(["--config=x.yaml"], {})
    assert started.command == [*ENGINE, "serve", "--shutdown-timeout", "25", "--config=x.yaml"]


def test_no_model_at_all(started: Started) -> None:
    with pytest.raises(ArgumentConflict, match="No model is named"):
        serve(["--port=8080"], {})
    assert started.command == []


def test_a_missing_and_an_empty_folder(started: Started, folder: Path) -> None:
    with pytest.raises(ObjectNotFound, match=f"The model folder {folder} is empty") as caught:
        serve([str(folder)], {})
    assert "initializer ran" in caught.value.hint
    with pytest.raises(ObjectNotFound, match=f"The model folder {folder}/x does not exist"):
        serve([f"{folder}/x"], {})
    assert started.command == []


def test_a_damaged_plan(started: Started, folder: Path) -> None:
    plan_path(folder).parent.mkdir()
    plan_path(folder).write_text("{}")
    with pytest.raises(UnreadablePlan):
        serve([str(folder)], {})
    assert started.command == []


# A URI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", ["s3://models/llama", "runai_streamer://s3://models/llama", "HF://org/model"])
def test_a_uri_is_prepared_first(started: Started, folder: Path, uri: str) -> None:
    serve([uri, "--port=1"], {"WELLHEAD_MODEL_DIR": str(folder)})
    assert started.prepared == [(uri, folder)]
    assert started.model == str(folder)
    assert command_of(started.command, "--served-model-name") == uri, "not the name of a temporary folder"
    assert started.command[-1] == "--port=1"


def test_a_name_that_was_given_stays(started: Started, folder: Path) -> None:
    serve(["s3://models/llama", "--served-model-name=llama"], {"WELLHEAD_MODEL_DIR": str(folder)})
    assert [word for word in started.command if "served" in word] == ["--served-model-name=llama"]


def test_a_folder_keeps_vllms_own_default_name(started: Started, folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    serve([str(folder)], {})
    assert not [word for word in started.command if "served" in word]


# --print-command -------------------------------------------------------------------------------------------------


def test_print_command_starts_nothing(
    started: Started, folder: Path, streamed: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve([str(folder), "--port=8080", "--print-command"], streamed) == 0
    assert started.command == []
    printed = capsys.readouterr().out
    assert f"vllm serve s3://models/llama --served-model-name {folder} --load-format runai_streamer" in printed
    assert printed.endswith("--port=8080\n")
    assert 'AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY"' in printed


def test_print_command_prepares_nothing(started: Started, folder: Path) -> None:
    with pytest.raises(ObjectNotFound) as caught:
        serve(["s3://models/llama", "--print-command"], {"WELLHEAD_MODEL_DIR": str(folder)})
    assert caught.value.hint == "Prepare it first."
    assert started.prepared == []


# The environment of every engine ---------------------------------------------------------------------------------


def test_a_home_that_cannot_be_written_is_replaced(started: Started, tmp_path: Path) -> None:
    for home in ("", "/no/such/home"):
        serve(["org/model"], {"HOME": home})
        assert Path(started.environment["HOME"]).is_dir()
        assert started.environment["HOME"] != home
    serve(["org/model"], {"HOME": str(tmp_path)})
    assert started.environment["HOME"] == str(tmp_path)


def test_a_fast_start_where_it_was_tried(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed_engine", lambda: ("cpu", "0.32.0"))
    serve(["org/model"], {})
    assert engine.FORK_SERVER_OPTION in started.command
    serve(["org/model"], {"WELLHEAD_FAST_START": "off"})
    assert engine.FORK_SERVER_OPTION not in started.command


def test_caches_go_to_the_volume_unless_the_user_says_otherwise(started: Started, tmp_path: Path) -> None:
    given = {"WELLHEAD_CACHE_DIR": str(tmp_path)}
    serve(["org/model"], given | {"TRITON_CACHE_DIR": "/mine", "VLLM_CACHE_ROOT": ""})
    assert started.environment["TRITON_CACHE_DIR"] == "/mine"
    assert started.environment["TORCHINDUCTOR_CACHE_DIR"] == f"{tmp_path}/inductor"
    own = Path(started.environment["VLLM_CACHE_ROOT"])
    assert not own.is_relative_to(tmp_path), "an empty variable is unset, and vLLM's own cache is a copy"
    assert started.when_ready is not None
    (own / "torch_compile_cache" / "made").mkdir(parents=True, exist_ok=True)
    started.when_ready()
    assert [path.name for path in tmp_path.glob("vllm/cuda-0.32.0/*/torch_compile_cache/*")] == ["made"]
    serve(["org/model"], given | {"VLLM_CACHE_ROOT": "/mine"})
    assert started.when_ready is None
    serve(["org/model"], {"VLLM_ENGINE_READY_TIMEOUT_S": "7"})
    assert started.environment["VLLM_ENGINE_READY_TIMEOUT_S"] == "7"


def test_strangers_among_the_settings_are_named(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    serve(["org/model"], {"WELLHEAD_MODEL": "x", "WELLHEAD_VLLM_PORT": "tcp://10.0.0.1:80"})
    err = capsys.readouterr().err
    assert "WELLHEAD_MODEL is no setting of Wellhead" in err
    assert "WELLHEAD_VLLM_PORT" not in err
    assert started.command


def test_the_choice_is_logged_with_its_reason(
    started: Started,
    folder: Path,
    streamed: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "inspect_machine", lambda: replace(CUDA, engine_version=""))
    serve([str(folder)], streamed)
    log = capsys.readouterr().err
    assert "weights: split (not while vLLM starts: no vLLM is installed here; " in log
    assert "; the plan says stream: s3:// can be streamed)" in log
    assert started.command
