"""No secret is ever shown: not by repr or str, not in an error, a log line, the plan, or the printed command."""

from __future__ import annotations

import base64
import json
import string
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.checkpoint import tiny_checkpoint
from tests.support.expect import a
from tests.unit.builders import CUDA, make_credentials, make_plan, make_secret, python
from tests.unit.memory_store import MemoryStore, of_folder
from wellhead_runtime.arguments import parse_arguments
from wellhead_runtime.engine_credentials import engine_credentials
from wellhead_runtime.launch import plain_launch
from wellhead_runtime.printing import plain_command
from wellhead_runtime.serve import serve
from wellhead_storage import source
from wellhead_storage.credentials.s3 import S3Credentials, S3Secret, s3_credentials
from wellhead_storage.credentials.seal import seal, unseal
from wellhead_storage.errors import InvalidUri, WellheadError
from wellhead_storage.handoff import sealed_path
from wellhead_storage.initialize import initialize
from wellhead_storage.plan import plan_path, read_plan, write_plan
from wellhead_storage.settings import Settings, read_settings
from wellhead_storage.stores.opening import Opened
from wellhead_storage.uri import parse


def marked(text: str) -> str:
    """Something that stands nowhere by chance (hypothesis also tries strings of the code itself)."""
    return f"Zq7-{text}"


SECRETS = st.text(string.ascii_letters + string.digits + "/+=-_.!$%", min_size=8, max_size=40).map(marked)
QUOTED = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=8, max_size=24).map(marked)
LETTERS = st.text(string.ascii_letters + "-_.!$", min_size=8, max_size=32).map(marked)


def hidden(secret: str, *places: str) -> None:
    """The secret, or an obvious encoding of it, is in none of the places."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    for place in places:
        for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], encoded):
            assert form not in place


def everything_about(error: BaseException) -> str:
    """What a debug log, a traceback and a careless caller would show."""
    return "".join([*traceback.format_exception(error), repr(error), str(error), repr(error.__dict__)])


@given(SECRETS | QUOTED, SECRETS, SECRETS)
def test_models_hide_their_values(key_id: str, key: str, token: str) -> None:
    credentials = make_credentials(secret=make_secret(key_id, key, token))
    for model in (credentials, credentials.secret):
        assert model is not None
        for secret in (key_id, key, token):
            hidden(secret, repr(model), str(model), f"{model}", str(model.model_dump()), model.model_dump_json())


BREAKING: dict[str, dict[str, str]] = {
    "half a pair": {"AWS_SECRET_ACCESS_KEY": "{}"},
    "the other half": {"AWS_ACCESS_KEY_ID": "{}"},
    "a storage-config that is the secret": {"STORAGE_CONFIG": "{}"},
    "a storage-config with a comma too many": {"STORAGE_CONFIG": '{{"secret_access_key": "{}",}}'},
    "a storage-config in a list": {"STORAGE_CONFIG": '["{}"]'},
    "parameters with the secret": {"STORAGE_OVERRIDE_CONFIG": "x{}"},
    "half a pair in a storage-config": {"STORAGE_CONFIG": '{{"access_key_id": "{}"}}'},
    "a password in the endpoint": {"AWS_ENDPOINT_URL": "https://user:{}@minio"},
    "a password in an endpoint with brackets": {"AWS_ENDPOINT_URL": "https://user:{}@[minio"},
    "a password in an endpoint of odd letters": {"AWS_ENDPOINT_URL": "https://user:{}@min\u2100io"},
    "a password as the port": {"AWS_ENDPOINT_URL": "https://minio:{}"},
    "a switch that is the secret": {"S3_VERIFY_SSL": "{}"},
    "an anonymous switch that is the secret": {"awsAnonymousCredential": "{}"},
}


@pytest.mark.parametrize("variables", BREAKING.values(), ids=BREAKING)
@given(secret=LETTERS)
def test_refused_credentials_are_not_repeated(variables: dict[str, str], secret: str) -> None:
    environment = {name: text.format(secret) for name, text in variables.items()}
    with pytest.raises(WellheadError) as caught:
        s3_credentials(environment)
    hidden(secret, everything_about(caught.value))


@given(SECRETS, SECRETS)
def test_what_cannot_be_opened_is_not_shown(secret: str, token: str) -> None:
    sealed = seal(make_secret("AKIA", secret), token.encode(), "s3://models/llama")
    for content, key in ((sealed, b"another"), (sealed[:-9], token.encode()), (sealed + b"x", token.encode())):
        with pytest.raises(WellheadError) as caught:
            unseal(content, key, "s3://models/llama")
        hidden(secret, everything_about(caught.value))
        hidden(token, everything_about(caught.value))


@given(st.sampled_from(["s3", "gs", "az", "https", "ftp", "hdfs"]), SECRETS.filter(lambda text: "/" not in text))
def test_a_password_in_a_uri_is_not_repeated(scheme: str, secret: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse(f"{scheme}://user:{secret}@models/llama")
    hidden(secret, everything_about(caught.value))


@given(SECRETS, SECRETS, SECRETS)
def test_a_launch_hides_its_environment_and_prints_references(key_id: str, key: str, token: str) -> None:
    credentials = make_credentials(secret=make_secret(key_id, key, token), endpoint_url="http://minio:9000")
    launch = plain_launch(make_plan(), parse_arguments([]), "/mnt/models", CUDA, {}, credentials)
    assert launch.variables["AWS_SECRET_ACCESS_KEY"] == key, "the engine itself gets it"
    command = plain_command(launch, "llama")
    for secret in (key_id, key, token):
        hidden(secret, repr(launch), str(launch), command)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert f'{name}="${name}"' in command


# A whole preparation and a whole start ---------------------------------------------------------------------------


def environment_with(key_id: str, key: str, session: str, token: Path) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": key,
        "AWS_SESSION_TOKEN": session,
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "WELLHEAD_ENGINE": "vllm",
        "WELLHEAD_LOG_LEVEL": "debug",
        "WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(token),
        "WELLHEAD_MEMORY_DIR": str(token.parent / "memory"),
    }


@hypothesis_settings(max_examples=10)
@given(SECRETS, SECRETS, SECRETS, SECRETS)
def test_nothing_is_left_on_disk_or_in_the_log(
    tmp_path_factory: pytest.TempPathFactory,
    wellhead_log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    key_id: str,
    key: str,
    session: str,
    service_account: str,
) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    destination, token = folder / "models", folder / "token"
    (folder / "memory").mkdir()
    token.write_text(service_account)
    environment = environment_with(key_id, key, session, token)
    store = MemoryStore(of_folder(tiny_checkpoint(folder / "source", shards=2, tensor_bytes=64)))
    monkeypatch.setattr(source, "open_store", lambda uri, env, _: Opened(store, s3_credentials(env, uri.parameters)))

    settings = read_settings(environment)
    [plan] = initialize([("s3://models/llama", destination)], settings, environment)
    assert plan is not None
    assert (plan.mode, plan.credentials.handoff) == ("stream", "sealed")
    found = engine_credentials(plan, destination, settings, {})
    assert a(S3Secret, found.secret).secret_access_key.get_secret_value() == key

    files = {path: path.read_bytes().decode("latin-1") for path in destination.rglob("*") if path.is_file()}
    assert {plan_path(destination), sealed_path(destination)} <= set(files)
    for secret in (key_id, key, session, service_account):
        hidden(secret, wellhead_log.text, repr(plan), *files.values())
    assert "opened what the initializer sealed" in wellhead_log.text


def sealed_model(folder: Path) -> tuple[Path, S3Credentials]:
    destination, token = folder / "models", folder / "token"
    token.write_text("the service account's token")
    credentials = make_credentials(secret=make_secret("AKIA-SECRET-ID", "sk-very-secret", "tok-very-secret"))
    write_plan(destination, make_plan())
    assert credentials.secret is not None
    sealed_path(destination).write_bytes(seal(credentials.secret, token.read_bytes(), "s3://models/llama"))
    (folder / "memory").mkdir()
    return destination, credentials


def test_print_command_prints_no_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], wellhead_log: pytest.LogCaptureFixture
) -> None:
    destination, _ = sealed_model(tmp_path)
    environment = {
        "WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(tmp_path / "token"),
        "WELLHEAD_MEMORY_DIR": str(tmp_path / "memory"),
        "WELLHEAD_LOG_LEVEL": "debug",
    }
    assert serve([str(destination), "--print-command"], environment) == 0
    shown = capfd.readouterr()
    assert "vllm serve s3://models/llama" in shown.out
    for secret in ("AKIA-SECRET-ID", "sk-very-secret", "tok-very-secret"):
        hidden(secret, shown.out, shown.err, wellhead_log.text)


def test_a_failure_at_debug_level_shows_no_secret(tmp_path: Path) -> None:
    environment = environment_with("AKIA-SECRET-ID", "sk-very-secret", "tok-very-secret", tmp_path / "token")
    environment["STORAGE_CONFIG"] = '{"secret_access_key": "sk-very-secret",}'
    finished = python(
        "-m", "wellhead_runtime", "init", "s3://models/llama", str(tmp_path / "x"), environment=environment
    )
    assert finished.returncode == 19
    assert "Traceback" in finished.stderr, "debug shows where"
    for secret in ("AKIA-SECRET-ID", "sk-very-secret", "tok-very-secret"):
        hidden(secret, finished.stdout, finished.stderr)


def test_settings_hold_no_secret() -> None:
    """They may be shown: what they name are paths and words."""
    assert not {name for name in Settings.model_fields if "key" in name or "password" in name}


def test_the_plan_has_no_place_for_a_secret(tmp_path: Path) -> None:
    write_plan(tmp_path, make_plan())
    plan = read_plan(tmp_path)
    assert plan is not None

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(names(inner) for inner in value.values()))
        return set().union(*map(names, value)) if isinstance(value, (list, tuple)) else set()

    forbidden = ("secret", "key", "token", "password")
    assert not {name for name in names(plan.model_dump()) if any(word in name for word in forbidden)}
