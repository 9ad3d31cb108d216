"""`az://` against Azurite: downloads with a key, a SAS, anonymously, and what is refused.

The released streamer cannot reach an emulator (its C++ half is compiled without) nor read anonymously, so none of this
is streamed. What the streamer gets for Azure's own host is asserted of a plan that names it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.storage.pod import Pod, assert_refused, contents
from tests.support.azurite import ACCOUNT, KEY, Azurite, azurite
from tests.support.counting_proxy import Fault, Request, counting_proxy
from tests.support.web_server import web_server
from tests.unit.builders import WEIGHTS, make_plan
from wellhead_runtime.engine_credentials import engine_credentials
from wellhead_storage.credentials.azure import azure_credentials
from wellhead_storage.handoff import seal_for_engine
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URI = f"az://models@{ACCOUNT}/llama"
PUBLIC_URI = f"az://public@{ACCOUNT}/llama"


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Azurite]:
    blob = pytest.importorskip("azure.storage.blob")
    with azurite(tmp_path_factory.mktemp("azure") / "server") as server:
        with blob.BlobServiceClient(server.endpoint_url, credential=KEY) as client:
            client.create_container("models")
            client.create_container("public", public_access="container")
        server.put_folder("models", "llama", checkpoint)
        server.put("models", "llama-2/config.json", b"{}")
        server.put_folder("public", "llama", checkpoint)
        yield server


@pytest.fixture
def pod(new_pod: Callable[[], Pod], azure: Azurite) -> Pod:
    made = new_pod()
    for name in [name for name in made.environment if name.startswith(("AWS_", "S3_"))]:
        del made.environment[name]
    # KServe's secret for Azure gives these.
    made.environment |= {"AZURE_SERVICE_URL": azure.endpoint_url, "AZURE_STORAGE_ACCESS_KEY": KEY}
    return made


def sas_token(permission: str = "rl") -> str:
    blob = pytest.importorskip("azure.storage.blob")
    return str(
        blob.generate_account_sas(
            ACCOUNT,
            KEY,
            blob.ResourceTypes(container=True, object=True),
            blob.AccountSasPermissions.from_string(permission),
            datetime.now(UTC) + timedelta(hours=1),
        )
    )


SPELLINGS = [
    URI,
    "az://models/llama",
    f"abfss://models@{ACCOUNT}.dfs.core.windows.net/llama",
    f"https://{ACCOUNT}.blob.core.windows.net/models/llama",
]


@pytest.mark.parametrize("uri", SPELLINGS)
def test_every_spelling_is_downloaded(pod: Pod, checkpoint: Path, uri: str) -> None:
    outcome = pod.init(uri, WELLHEAD_MODE="download", AZURE_STORAGE_ACCOUNT_NAME=ACCOUNT)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert pod.plan.resolved == (URI if uri != "az://models/llama" else uri)


def test_a_download_with_a_sas(pod: Pod, checkpoint: Path) -> None:
    token = sas_token()
    outcome = pod.init(URI, WELLHEAD_MODE="download", AZURE_STORAGE_ACCESS_KEY="", AZURE_STORAGE_SAS_TOKEN=f"?{token}")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert token.rpartition("sig=")[2][:20] not in outcome.stderr


ENDPOINT = "the endpoint in AZURE_SERVICE_URL is not Azure's own, and the streamer reaches no other"
ANONYMOUS = "access is anonymous, and the streamer reads nothing from Azure without credentials"
NOTHING = {"AZURE_STORAGE_ACCESS_KEY": "", "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9"}


def test_an_emulator_is_downloaded_from_because_the_streamer_cannot_reach_it(pod: Pod, checkpoint: Path) -> None:
    outcome = pod.init(URI)
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.plan.mode, pod.plan.reasons) == ("download", (ENDPOINT,))
    assert pod.files == contents(checkpoint)


@pytest.mark.parametrize("uri", [URI, f"runai_streamer://{URI}"])
def test_a_demand_to_stream_from_an_emulator_fails(pod: Pod, uri: str) -> None:
    outcome = pod.init(uri, WELLHEAD_MODE="stream")
    assert outcome.exit_code == 14
    assert outcome.sentence.startswith(f"az://models/llama cannot be streamed: {ENDPOINT}.")
    assert pod.is_untouched


@pytest.mark.parametrize(
    "asked", [{"AZURE_STORAGE_ANONYMOUS": "true"}, {}], ids=["asked for", "for want of an identity"]
)
def test_a_public_container_is_downloaded(pod: Pod, checkpoint: Path, asked: dict[str, str]) -> None:
    outcome = pod.init(PUBLIC_URI, **NOTHING, **asked)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert pod.plan.reasons == (ENDPOINT, ANONYMOUS)
    fallback = "no Azure credentials and no managed identity: asking az://public/llama as anybody may"
    assert (fallback in outcome.stderr) == (not asked)


def test_a_key_is_used_where_anonymous_is_switched_off(pod: Pod) -> None:
    assert pod.init(URI, AZURE_STORAGE_ANONYMOUS="false").exit_code == 0


def test_a_token_that_nobody_gives_is_no_refusal_of_the_store(pod: Pod) -> None:
    with web_server() as imds:
        imds.failures = [400] * 100
        where = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": imds.url, "AZURE_CLIENT_ID": "an-identity"}
        outcome = pod.init(URI, AZURE_STORAGE_ACCESS_KEY="", **where)
        assert outcome.exit_code == 12, outcome.stderr
        sentence = f"Azure's identity service at {imds.url} gives no token for az://models/llama: status 400."
        assert outcome.sentence.startswith(sentence)


def test_an_endpoint_in_the_uri_gets_nothing(pod: Pod, azure: Azurite) -> None:
    with counting_proxy(azure.endpoint_url.rpartition("/")[0]) as proxy:
        outcome = pod.init(f"{URI}?endpoint={proxy.endpoint_url}/{ACCOUNT}", AZURE_SERVICE_URL="")
        assert proxy.requests == []
    assert outcome.exit_code == 10
    assert outcome.sentence.startswith("The URI of az://models/llama names an endpoint, which only s3:// URIs may do")
    assert pod.is_untouched


@pytest.mark.parametrize("kind", ["key", "sas"])
def test_the_streamer_gets_account_and_secret(new_pod: Callable[[], Pod], tmp_path: Path, kind: str) -> None:
    token, pod = sas_token(), new_pod()
    secret = {"AZURE_STORAGE_SAS_TOKEN": token} if kind == "sas" else {"AZURE_STORAGE_ACCESS_KEY": KEY}
    settings = Settings(service_account_token=pod.token, memory_dir=tmp_path)
    found = azure_credentials(secret, ACCOUNT)
    weights = WEIGHTS.model_copy(update={"uri": "az://models/llama"})
    pod.destination.mkdir()
    travel = seal_for_engine(found, pod.destination, weights.uri, settings)
    plan = make_plan(weights=weights, connection=found.connection, credentials=travel)
    everything = b"".join(contents(pod.destination).values()).decode("latin-1") + plan.model_dump_json()
    assert KEY not in everything
    assert token not in everything
    variables = engine_credentials(plan, pod.destination, settings, {}).streamer_environment()
    expected = {"AZURE_STORAGE_SAS_TOKEN": token} if kind == "sas" else {"AZURE_STORAGE_ACCOUNT_KEY": KEY}
    assert variables == {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, **expected}


def test_wrong_bytes_are_noticed_by_md5(pod: Pod, azure: Azurite, checkpoint: Path) -> None:
    spoilt: list[str] = []

    def once(request: Request) -> Fault | None:
        if request.method == "GET" and request.path.endswith("/tokenizer.json") and not spoilt:
            spoilt.append(request.path)
            return Fault(flip=True)
        return None

    server, _, account = azure.endpoint_url.rpartition("/")
    with counting_proxy(server) as proxy:
        proxy.interfere = once
        outcome = pod.init(URI, WELLHEAD_MODE="download", AZURE_SERVICE_URL=f"{proxy.endpoint_url}/{account}")
    assert outcome.exit_code == 0, outcome.stderr
    assert "tokenizer.json is not what the store says it is: fetching it again" in outcome.stderr
    assert pod.files == contents(checkpoint)


def test_a_prefix_is_a_folder(pod: Pod) -> None:
    outcome = pod.init(f"az://models@{ACCOUNT}/llam")
    assert_refused(pod, outcome, 11, "az://models/llam holds no objects. Check the path; names are case-sensitive.")


def test_a_container_that_is_not_there(pod: Pod) -> None:
    outcome = pod.init(f"az://none@{ACCOUNT}/llama")
    assert outcome.exit_code == 11
    assert outcome.sentence.startswith("The container of az://none/llama does not exist.")


REFUSED = {
    "a wrong key": {"AZURE_STORAGE_ACCESS_KEY": "d3Jvbmc="},
    "a wrong signature": {
        "AZURE_STORAGE_ACCESS_KEY": "",
        "AZURE_STORAGE_SAS_TOKEN": "sv=2023-11-03&ss=b&srt=co&sp=rl&se=2030-01-01T00:00:00Z&sig=d3Jvbmc%3D",
    },
    "nothing": {"AZURE_STORAGE_ACCESS_KEY": "", "AZURE_STORAGE_ANONYMOUS": "true"},
    "nobody": {"AZURE_STORAGE_ACCESS_KEY": "", "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_may_not_read(pod: Pod, case: str) -> None:
    outcome = pod.init(URI, **REFUSED[case])
    assert outcome.exit_code == 12, outcome.stderr
    assert outcome.sentence.startswith("The store refuses access to az://models/llama")
    assert pod.is_untouched


def test_a_key_that_is_none(pod: Pod) -> None:
    outcome = pod.init(URI, AZURE_STORAGE_ACCESS_KEY="not base64!")
    assert outcome.exit_code == 19
    assert "not base64!" not in outcome.stderr


def test_an_account_must_be_named(pod: Pod) -> None:
    outcome = pod.init("az://models/llama", AZURE_SERVICE_URL="")
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith("The Azure storage account is not named.")
