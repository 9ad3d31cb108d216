"""`storage.key` and `storage.path`: the init container that the real KServe builds of them, as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.storage.model import CONFIGURATION, INDEX, Model, header_of
from tests.support.expect import a
from tests.support.seaweedfs import SeaweedFS, seaweedfs
from wellhead_storage.credentials.s3 import S3Connection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.storage.pod import Outcome, Pod

DATA = Path(__file__).parents[1] / "data" / "kserve"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Iterator[Model]:
    """`s3://models/llama/7b`, in a store of its own: elsewhere `s3://models/llama` is a model itself."""
    with seaweedfs(tmp_path_factory.mktemp("nested")) as server:
        server.create_bucket("models")
        yield Model(server, "llama/7b", checkpoint).upload()


@pytest.fixture(params=["storage-path", "storage-key"])
def recorded(request: pytest.FixtureRequest) -> tuple[dict[str, Any], Model]:
    """A pod as KServe made it, and the model that its arguments name."""
    pod = yaml.safe_load((DATA / f"{request.param}.yaml").read_text())
    return pod, request.getfixturevalue("nested" if request.param == "storage-path" else "llama")


def start(
    pod: Pod, recorded: Mapping[str, Any], secret: Mapping[str, str], parameters: Mapping[str, str], mode: str
) -> Outcome:
    """Run its init container with these annotations, this entry `minio` of the secret, these `storage.parameters`."""
    [container] = recorded["spec"]["initContainers"]
    annotations = recorded["metadata"]["annotations"] | ({"wellhead.dev/mode": mode} if mode else {})
    environment: dict[str, str] = {}
    for variable in container["env"]:
        match variable.get("valueFrom"):
            case None:
                value = variable["value"]
            case {"fieldRef": {"fieldPath": path}}:
                value = annotations.get(path.split("'")[1], "")
            case {"secretKeyRef": {"name": "storage-config", "key": "minio"}}:
                value = json.dumps(secret)
        environment[variable["name"]] = value
    if parameters:  # the one variable more that KServe adds for them
        environment["STORAGE_OVERRIDE_CONFIG"] = json.dumps(parameters)
    of_kubernetes = ("PATH", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    mounts = ("WELLHEAD_SERVICE_ACCOUNT_TOKEN", "WELLHEAD_TERMINATION_LOG")
    pod.environment = {name: pod.environment[name] for name in (*of_kubernetes, *mounts)} | environment
    source, destination = container["args"]
    assert destination == "/mnt/models"
    return pod.init(source, pod.destination)


def entry(store: SeaweedFS, **others: str) -> dict[str, str]:
    """What the administrator keeps in the secret storage-config."""
    given = store.environment(reader=True)
    keys = {"access_key_id": given["AWS_ACCESS_KEY_ID"], "secret_access_key": given["AWS_SECRET_ACCESS_KEY"]}
    return {
        "type": "s3",
        "bucket": "models",
        "endpoint_url": store.endpoint_url,
        "region": "us-east-1",
        **keys,
        **others,
    }


@pytest.mark.parametrize("overridden", [False, True], ids=["as stored", "with parameters"])
def test_it_streams(pod: Pod, recorded: tuple[dict[str, Any], Model], overridden: bool) -> None:
    made, model = recorded
    endpoint = model.store.endpoint_url
    secret = entry(model.store, **({"endpoint_url": NOWHERE, "bucket": "others"} if overridden else {}))
    parameters = {"endpoint_url": endpoint, "bucket": "models", "region": "eu-west-3"} if overridden else {}
    outcome = start(pod, made, secret, parameters, mode="")
    assert outcome.exit_code == 0, outcome.stderr
    plan, link = pod.plan, a(S3Connection, pod.plan.connection)
    assert (plan.mode, plan.uri, plan.weights.uri) == ("stream", model.uri, model.uri)
    assert (link.endpoint_url, link.region) == (endpoint, "eu-west-3" if overridden else "us-east-1")
    assert (plan.credentials.handoff, plan.credentials.identity) == ("sealed", "static")
    expected = {name: header_of(data) for name, data in model.shards.items()}
    assert pod.files == expected | {name: model.files[name] for name in (*CONFIGURATION, INDEX)}
    assert secret["secret_access_key"] not in outcome.stderr + plan.model_dump_json()


@pytest.mark.parametrize("overridden", [False, True], ids=["as stored", "with parameters"])
def test_it_downloads(pod: Pod, recorded: tuple[dict[str, Any], Model], overridden: bool) -> None:
    made, model = recorded
    secret = entry(model.store, **({"endpoint_url": NOWHERE, "secret_access_key": "old"} if overridden else {}))
    keys = entry(model.store)
    parameters = {name: keys[name] for name in ("endpoint_url", "secret_access_key")} if overridden else {}
    outcome = start(pod, made, secret, parameters, mode="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.plan.mode == "download"
    assert pod.files == model.files
    assert keys["secret_access_key"] not in outcome.stderr + pod.plan.model_dump_json()


def test_parameters_that_lead_nowhere_are_not_passed_over(pod: Pod, llama: Model) -> None:
    made = yaml.safe_load((DATA / "storage-key.yaml").read_text())
    outcome = start(pod, made, entry(llama.store), {"secret_access_key": "wrong"}, mode="")
    assert outcome.exit_code == 12, outcome.stderr
    assert pod.is_untouched
