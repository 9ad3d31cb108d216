"""`model-registry://…`: what the registry's habits, faults and data lead to, up to weights that stream."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.storage.pod import assert_refused
from tests.support.fake_registry import DATA, FakeRegistry, fake_registry
from wellhead_storage import retrying
from wellhead_storage.errors import AccessDenied, InvalidConfiguration, InvalidUri, ObjectNotFound, StoreUnavailable
from wellhead_storage.registry import resolve as resolving
from wellhead_storage.registry.address import Address
from wellhead_storage.registry.resolve import Resolved, resolve_model
from wellhead_storage.settings import Settings
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.storage.model import Model
    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

SETTINGS = Settings(connect_timeout=5, retry_timeout=20)
AT_ONCE = Settings(connect_timeout=5, retry_timeout=1)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """Everything that was written into the real one."""
    with fake_registry() as server:
        yield server.load()


def resolve(registry: FakeRegistry, text: str, settings: Settings = SETTINGS, **environment: str) -> Resolved:
    """Resolve in the registry that the variables name."""
    variables = {"MODEL_REGISTRY_BASE_URL": registry.host, **environment}
    return resolve_model(parse(f"model-registry://{text}"), variables, settings)


def resolved(registry: FakeRegistry, text: str, **environment: str) -> str:
    """Only where it leads to."""
    return str(replace(resolve(registry, text, SETTINGS, **environment).uri, query=(), forced_stream=False))


@pytest.mark.parametrize(
    ("text", "leads_to"),
    [
        ("llama", "s3://models/llama/v2"),
        ("llama/v1", "s3://bucket/path"),
        ("forms/f0", "hf://org/model"),
        ("forms/f1", "hf://org/model@main"),
        ("forms/f2", "gs://bucket/path"),
        ("forms/f5", "az://container@acct/path"),
        ("forms/f7", "az://container@acct/path"),
        ("http-model", "http://127.0.0.1:8099/weights.bin"),
        ("model with spaces", "gs://models/with-spaces"),
        ("model%20with%20spaces/release%201", "gs://models/with-spaces"),
        (quote("Qwen 3 größe 模型") + "/" + quote("v 1.0 ü"), "hf://Qwen/Qwen3-0.6B"),
        ("kinds/doc-newest", "s3://models/kinds"),
        ("kinds/marked-for-deletion", "s3://models/kinds/live"),
        ("archived-version", "s3://models/av/v1"),
        ("archived-version/v2", "s3://models/av/v2"),
        ("archived-model", "s3://models/archived"),
        ("lora_x", "s3://models/right-underscore"),
        ("lora-x", "s3://models/WRONG-dash"),
        ("only-dash/v1_0", "s3://models/only-dash-underscore"),
        ("only-dash/v1-0", "s3://models/only-dash"),
    ],
)
def test_where_it_leads(registry: FakeRegistry, text: str, leads_to: str) -> None:
    assert resolved(registry, text) == leads_to


def test_three_requests(registry: FakeRegistry) -> None:
    resolved(registry, "llama")
    assert [path.partition("?")[0].removeprefix("/api/model_registry/v1alpha3/") for path, _ in registry.asked] == [
        "registered_model",
        "registered_models/1/versions",
        "model_versions/3/artifacts",
    ]


def test_the_host_in_the_uri(registry: FakeRegistry) -> None:
    elsewhere = {"MODEL_REGISTRY_BASE_URL": "127.0.0.1:9"}
    assert resolved(registry, f"{registry.host}/llama", **elsewhere) == "s3://models/llama/v2"
    assert resolved(registry, f"{registry.host}/llama/v1", **elsewhere) == "s3://bucket/path"


def test_the_way_is_told(registry: FakeRegistry) -> None:
    assert resolve(registry, "llama").reasons == (
        "model-registry: llama, version v2 (the newest): s3://models/llama/v2",
    )
    assert resolve(registry, "llama/v1").reasons == (
        "model-registry: llama, version v1 (as named): s3://bucket/path",
        "the artifact asks for the service account 'model-reader'; the pod's own is used",
    )
    assert "version 'v2' is archived in the registry, and was asked for by name" in (
        resolve(registry, "archived-version/v2").reasons
    )
    assert "the model 'archived-model' is archived in the registry" in resolve(registry, "archived-model").reasons


def test_the_wrapper_protocol_is_kept_from_either_side(registry: FakeRegistry) -> None:
    assert resolve(registry, "llama").uri.forced_stream
    assert not resolve(registry, "llama/v1").uri.forced_stream
    wrapped = parse("runai_streamer://model-registry://llama/v1")
    found = resolve_model(wrapped, {"MODEL_REGISTRY_BASE_URL": registry.host}, SETTINGS)
    assert found.uri.forced_stream


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("absent", "has no model 'absent'"),
        ("only_dash", r"has no model 'only_dash' \(the nearest is 'only-dash'\)"),
        ("lora%25x", "has no model 'lora%x'"),
        ("LLAMA", "has no model 'LLAMA'"),
        ("llama/v9", "has no version 'v9'"),
        ("lora-x/v1_0", r"has no version 'v1_0' \(the nearest is 'v1-0'\)"),
        ("no-version", "has no version"),
        ("no-artifact", "version 'v1' of 'no-artifact' has no model artifact"),
        ("kinds/doc-only", "has no model artifact"),
        ("kinds/no-uri", "has no URI"),
        ("kinds/empty-uri", "has no URI"),
    ],
)
def test_what_is_not_there_is_said(registry: FakeRegistry, text: str, sentence: str) -> None:
    with pytest.raises(ObjectNotFound, match=sentence) as caught:
        resolve(registry, text)
    assert caught.value.exit_code == 11
    assert caught.value.hint


def test_an_ambiguous_name_is_another_sentence(registry: FakeRegistry) -> None:
    """MySQL takes names that differ in case for the same; here two rows have the very name."""
    registry.add("twin", "v1", "s3://models/a")
    registry.add("twin", "v1", "s3://models/b")
    with pytest.raises(ObjectNotFound, match="the name is ambiguous"):
        resolve(registry, "twin")


def test_only_archived_versions(registry: FakeRegistry) -> None:
    registry.add("old", "v1", "s3://models/old")
    registry.versions[-1]["state"] = "ARCHIVED"
    with pytest.raises(ObjectNotFound, match="has only archived versions"):
        resolve(registry, "old")
    assert resolved(registry, "old/v1") == "s3://models/old"


def test_a_name_of_another_case_is_not_taken(registry: FakeRegistry) -> None:
    """What the real server on MariaDB answers: 200 for any case (mysql-other-case.json)."""
    recorded = json.loads((DATA / "mysql-other-case.json").read_text())
    [answer] = [entry["body"] for entry in recorded if entry["status"] == 200][:1]
    registry.failures = [(200, json.dumps(answer))]
    with pytest.raises(ObjectNotFound, match=f"the nearest is '{answer['name']}'"):
        resolve(registry, answer["name"].swapcase())


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("api", ["v1", "v1alpha3"])
def test_either_version_of_the_api(registry: FakeRegistry, api: str, gone: bool) -> None:
    registry.api, registry.gone = api, gone
    assert resolved(registry, "llama") == "s3://models/llama/v2"
    assert len(registry.asked) <= 4, "what it serves is remembered"


def test_a_database_that_is_still_starting_is_waited_for(registry: FakeRegistry) -> None:
    recorded = json.loads((DATA / "database-not-ready.json").read_text())
    assert recorded["status"] == 503
    registry.failures = [(503, recorded["body"])] * 2
    assert resolved(registry, "llama") == "s3://models/llama/v2"


def test_a_database_that_does_not_start_is_named(registry: FakeRegistry) -> None:
    registry.failures = [(503, "database not ready")] * 50
    with pytest.raises(StoreUnavailable, match=r"keeps answering 503: 'database not ready'") as caught:
        resolve(registry, "llama", AT_ONCE)
    assert caught.value.exit_code == 16


# Two parts may mean model and version, or host and model. ---------------------------------------------------------

NOBODY = "127.0.0.1:9"
SECONDS = 5.0
STARTING = [(503, "database not ready")] * 20  # at least three seconds


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask five times a second, so that it does not take long to notice a server."""
    monkeypatch.setattr(retrying, "_FIRST_WAIT", 0.05)
    monkeypatch.setattr(retrying, "_LONGEST_WAIT", 0.2)


@pytest.mark.usefixtures("often")
def test_a_database_is_waited_for_at_the_host_in_the_uri(registry: FakeRegistry) -> None:
    registry.failures = STARTING.copy()
    assert resolved(registry, f"{registry.host}/llama", MODEL_REGISTRY_BASE_URL=NOBODY) == "s3://models/llama/v2"


@pytest.mark.usefixtures("often")
def test_a_database_is_waited_for_behind_a_host_that_is_none(registry: FakeRegistry) -> None:
    registry.add(NOBODY, "v1", "s3://models/odd")
    registry.failures = STARTING.copy()
    assert resolved(registry, f"{NOBODY}/v1") == "s3://models/odd"


def test_a_database_that_starts_is_not_given_up_for_the_other_reading(registry: FakeRegistry) -> None:
    with fake_registry() as other:
        other.add(registry.host, "llama", "s3://models/wrong")
        registry.failures = [(503, "database not ready")] * 2
        found = resolved(registry, f"{registry.host}/llama", MODEL_REGISTRY_BASE_URL=other.host)
        assert (found, other.asked) == ("s3://models/llama/v2", [])


@pytest.mark.usefixtures("often")
def test_a_host_in_the_uri_that_is_not_there_yet() -> None:
    with fake_registry(closed=SECONDS) as late:
        late.load()
        assert resolved(late, f"{late.host}/llama", MODEL_REGISTRY_BASE_URL=NOBODY) == "s3://models/llama/v2"


@pytest.mark.usefixtures("often")
def test_a_host_in_the_uri_that_is_not_there_yet_while_the_configured_one_knows_no_such_model(
    registry: FakeRegistry,
) -> None:
    with fake_registry(closed=SECONDS) as late:
        late.load()
        variables = {"MODEL_REGISTRY_BASE_URL": registry.host}
        assert resolved(late, f"{late.host}/llama", **variables) == "s3://models/llama/v2"


@pytest.mark.usefixtures("often")
def test_a_configured_registry_that_is_not_there_yet() -> None:
    with fake_registry(closed=SECONDS) as late:
        late.add(NOBODY, "v1", "s3://models/odd")
        assert resolved(late, f"{NOBODY}/v1") == "s3://models/odd"


@pytest.mark.usefixtures("often")
def test_a_configured_registry_that_is_not_there_yet_behind_a_host_that_is_no_registry(
    registry: FakeRegistry,
) -> None:
    registry.api = "v7"
    with fake_registry(closed=SECONDS) as late:
        late.add(registry.host, "v1", "s3://models/odd")
        assert resolved(late, f"{registry.host}/v1") == "s3://models/odd"


def test_a_model_that_the_likelier_registry_does_not_have_is_not_waited_for(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`llama/v1` where `llama` happens to be a host, too."""
    readings = [Address(registry.url, "absent", "v1"), Address(f"http://{NOBODY}", "v1", None, configured=False)]
    monkeypatch.setattr(resolving, "read_address", lambda *_: readings)
    monkeypatch.setattr(retrying, "_tell", lambda details: pytest.fail(f"waited: {details}"))
    with pytest.raises(ObjectNotFound, match="has no model 'absent'"):
        resolve(registry, "absent/v1")


def test_all_readings_together_are_waited_for_no_longer_than_one() -> None:
    begin = time.monotonic()
    settings = Settings(connect_timeout=5, retry_timeout=2)
    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:9 cannot be asked"):
        resolve(FakeRegistry(f"http://{NOBODY}"), "127.0.0.1:9/llama", settings)
    assert 1 < time.monotonic() - begin < 5


@pytest.mark.parametrize(("status", "tokened"), [(401, False), (403, False), (401, True)])
def test_a_proxy_that_refuses(registry: FakeRegistry, status: int, tokened: bool) -> None:
    registry.failures = [(status, "Unauthorized\n")]
    variables = {"MODEL_REGISTRY_TOKEN": "s3cret-token"} if tokened else {}
    with pytest.raises(AccessDenied, match=f"status {status}") as caught:
        resolve(registry, "llama", SETTINGS, **variables)
    assert caught.value.exit_code == 12
    assert ("the token is not accepted" in caught.value.problem) == tokened
    assert "s3cret-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "location", "target"),
    [
        (302, "https://login.example/oauth/start?state=s3cret-state", "https://login.example"),
        (301, "https://hub.example:8443/api/model_registry", "https://hub.example:8443"),
        (307, "//user:s3cret-word@hub.example/x", "http://hub.example"),
        (302, "http://[", "an address that is none"),
    ],
)
def test_a_redirect_is_a_login_or_the_way_to_https(
    registry: FakeRegistry, status: int, location: str, target: str
) -> None:
    registry.redirect = (status, location)
    with pytest.raises(AccessDenied) as caught:
        resolve(registry, "llama")
    assert caught.value.problem == (
        f"The Model Registry at {registry.url} redirects to {target}: a login, or https is wanted."
    )
    assert "MODEL_REGISTRY_SCHEME" in caught.value.hint
    assert "MODEL_REGISTRY_TOKEN" in caught.value.hint
    assert "s3cret" not in str(caught.value)


def test_a_login_of_its_own_host(registry: FakeRegistry) -> None:
    registry.redirect = (302, "/oauth/start")
    with pytest.raises(AccessDenied, match=f"redirects to {registry.url}: a login"):
        resolve(registry, "llama")


def test_a_login_page_is_no_answer(registry: FakeRegistry) -> None:
    registry.failures = [(200, "<html>Sign in</html>")]
    with pytest.raises(AccessDenied, match="sends no registry's answer"):
        resolve(registry, "llama")


def test_what_is_no_registry(registry: FakeRegistry) -> None:
    registry.api = "v7"
    with pytest.raises(StoreUnavailable, match="is no Model Registry"):
        resolve(registry, "llama")
    assert len(registry.asked) == 2, "each version of the API once: waiting would not make it a registry"


def test_nobody_there() -> None:
    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:9 cannot be asked"):
        resolve(FakeRegistry("http://127.0.0.1:9"), "llama", AT_ONCE)


def test_a_token_goes_to_the_configured_registry_alone(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.token = "s3cret-token"
    assert resolved(registry, "llama", MODEL_REGISTRY_TOKEN="s3cret-token") == "s3://models/llama/v2"
    file = tmp_path / "token"
    file.write_text("s3cret-token\n")
    assert resolved(registry, "llama", MODEL_REGISTRY_TOKEN_FILE=str(file)) == "s3://models/llama/v2"
    registry.asked.clear()
    with pytest.raises(AccessDenied, match=f"The token is sent only to .* set that to {registry.host}"):
        resolve(
            registry,
            f"{registry.host}/llama/v1",
            MODEL_REGISTRY_BASE_URL="127.0.0.1:9",
            MODEL_REGISTRY_TOKEN="s3cret-token",
        )
    assert [authorization for _, authorization in registry.asked] == [""]


def test_a_token_file_that_is_not_there(registry: FakeRegistry) -> None:
    with pytest.raises(InvalidConfiguration, match="token file /nowhere cannot be read"):
        resolve(registry, "llama", MODEL_REGISTRY_TOKEN_FILE="/nowhere")


def test_a_ca_bundle_that_is_not_there(registry: FakeRegistry) -> None:
    with pytest.raises(InvalidConfiguration, match="/nowhere"):
        resolve(registry, "llama", MODEL_REGISTRY_CA="/nowhere")


def test_the_storage_key_of_an_artifact(registry: FakeRegistry) -> None:
    config = json.dumps({"type": "s3", "bucket": "models"})
    assert resolved(registry, "kinds/storage-key-only", STORAGE_CONFIG=config) == "s3://models/llama/v1"
    override = json.dumps({"bucket": "others"})
    assert resolved(registry, "kinds/storage-key-only", STORAGE_CONFIG=config, STORAGE_OVERRIDE_CONFIG=override) == (
        "s3://others/llama/v1"
    )
    with pytest.raises(InvalidConfiguration, match="its storage key 'my-storage-secret' is not here"):
        resolve(registry, "kinds/storage-key-only")


def test_a_registry_in_a_registry(registry: FakeRegistry) -> None:
    registry.add("loop", "v1", "model-registry://llama")
    with pytest.raises(InvalidUri, match="a registry again"):
        resolve(registry, "loop")


def s3_forms() -> list[tuple[str, str, dict[str, str]]]:
    """S3 URIs that the Python client and the web UI wrote, each with path and parameters."""
    recorded = json.loads((DATA / "s3-uri-forms.json").read_text())
    client, ui = recorded["python_client"]["calls"], recorded["web_ui"]["calls"]
    minio = {"endpoint": "http://minio:9000"}
    minio_us = minio | {"defaultRegion": "us-east-1"}
    by_ui = "endpoint http://minio:9000, bucket my-bucket, region us-east-1, path models/llama"
    return [
        (client["s3_uri_from(path, bucket, endpoint, region)"], "models/llama/v1", minio_us),
        (client["s3_uri_from(path with space and ampersand)"], "models/my llama & co", minio_us),
        (client["s3_uri_from(endpoint, no region)"], "p", minio),
        (ui[by_ui], "models/llama", minio_us),
        (ui["region 'my region', path p"], "p", minio | {"defaultRegion": "my region"}),
    ]


@pytest.mark.parametrize(("text", "path", "parameters"), s3_forms())
def test_every_s3_uri_that_registries_hold(
    registry: FakeRegistry, text: str, path: str, parameters: dict[str, str]
) -> None:
    registry.add("m", "v1", text)
    found = resolve(registry, "m").uri
    assert (found.container, found.key, dict(found.parameters)) == ("my-bucket", path, parameters)


def test_it_streams_what_it_resolves_to(pod: Pod, llama: Model, store: SeaweedFS, registry: FakeRegistry) -> None:
    """The endpoint comes from the registry alone."""
    registry.add("production_llama", "2026-11", f"{llama.uri}?endpoint={quote(store.endpoint_url, safe='')}")
    uri = "model-registry://production_llama"
    outcome = pod.init(
        uri,
        MODEL_REGISTRY_BASE_URL=registry.host,
        MODEL_REGISTRY_TOKEN="s3cret-token",
        AWS_ENDPOINT_URL=None,
        AWS_ENDPOINT_URL_S3=None,
    )
    assert outcome.exit_code == 0, outcome.stderr
    plan = pod.plan
    assert (plan.mode, plan.uri, plan.weights.uri) == ("stream", uri, llama.uri)
    assert plan.reasons[0] == f"model-registry: production_llama, version 2026-11 (the newest): {llama.uri}"
    assert "s3cret-token" not in outcome.stderr
    assert plan.connection is not None


def test_it_downloads_what_it_resolves_to(pod: Pod, llama: Model, registry: FakeRegistry) -> None:
    registry.add("llama-prod", "v1", llama.uri)
    outcome = pod.init("model-registry://llama-prod/v1", MODEL_REGISTRY_BASE_URL=registry.url, WELLHEAD_MODE="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == llama.files


def test_a_wrong_name_ends_the_pod_with_a_sentence(pod: Pod, registry: FakeRegistry) -> None:
    outcome = pod.init("model-registry://only_dash", MODEL_REGISTRY_BASE_URL=registry.host)
    sentence = (
        f"The Model Registry at {registry.url} has no model 'only_dash' (the nearest is 'only-dash'). "
        "Check the name; upper and lower case are different."
    )
    assert_refused(pod, outcome, 11, sentence)


def test_what_kserve_mounts_is_refused(pod: Pod, registry: FakeRegistry) -> None:
    outcome = pod.init("model-registry://forms/f6", MODEL_REGISTRY_BASE_URL=registry.host)
    assert outcome.exit_code == 10
    assert "pvc:// is mounted by KServe itself" in outcome.sentence
    assert pod.is_untouched
