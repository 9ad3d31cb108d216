"""`wellhead doctor --probe`: the model is looked at in a real store, with the secrets of the manifests alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.storage.model import Model
from tests.support.counting_proxy import counting_proxy
from tests.unit.examining import doctor
from tests.unit.manifests import bundle


@pytest.fixture
def manifests(llama: Model, tmp_path: Path) -> list[Any]:
    """Wellhead, and a service whose secret is that of the store."""
    sample = bundle("samples/s3")
    secret = {
        **sample["Secret", "s3-models"],
        "metadata": {"name": "s3-models", "annotations": {"serving.kserve.io/s3-endpoint": llama.store.endpoint_url}},
        "stringData": {
            "AWS_ACCESS_KEY_ID": llama.store.access_key_id,
            "AWS_SECRET_ACCESS_KEY": llama.store.secret_access_key,
        },
    }
    service = sample["InferenceService", "llama"]
    model = {**service["spec"]["predictor"]["model"], "storageUri": llama.uri}
    service = {**service, "spec": {"predictor": {**service["spec"]["predictor"], "model": model}}}
    return [*bundle("default").values(), sample["ServiceAccount", "s3-models"], secret, service]


def probe(folder: Path, manifests: list[Any], *arguments: str, **environment: str) -> Any:
    path = folder / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    finished = doctor("-f", str(path), "--probe", "--json", *arguments, environment=environment)
    assert finished.stdout, finished.stderr
    return finished, json.loads(finished.stdout)["reports"][0]["findings"]


def of_topic(findings: Any, topic: str) -> Any:
    [found] = [each for each in findings if each["topic"] == topic]
    return found


def test_the_plan_is_the_one_that_the_pod_would_make(manifests: list[Any], tmp_path: Path) -> None:
    finished, findings = probe(tmp_path, manifests)
    assert finished.returncode == 0
    found = of_topic(findings, "store")
    assert (found["level"], found["seen"].startswith("mode stream, ")) == ("ok", True)


def test_sizes_are_those_of_the_store(manifests: list[Any], tmp_path: Path) -> None:
    limits = manifests[-1]["spec"]["predictor"]["model"]["resources"]["limits"]
    small = {"resources": {"limits": {**limits, "memory": "32Ki"}}}
    predictor = manifests[-1]["spec"]["predictor"]
    manifests[-1]["spec"]["predictor"] = {**predictor, "model": {**predictor["model"], **small}}
    finished, findings = probe(tmp_path, manifests)
    assert finished.returncode == 23
    assert [each["level"] for each in findings if each["topic"] == "memory and disk"] == ["error"]


@pytest.mark.parametrize(
    ("uri", "words"), [("s3://models/nowhere", "nowhere"), ("s3://no-such-bucket/llama", "no-such-bucket")]
)
def test_a_model_that_is_not_there(manifests: list[Any], tmp_path: Path, uri: str, words: str) -> None:
    manifests[-1]["spec"]["predictor"]["model"]["storageUri"] = uri
    finished, findings = probe(tmp_path, manifests)
    found = of_topic(findings, "store")
    assert (finished.returncode, found["level"]) == (23, "error")
    assert words in found["seen"]


def test_a_store_that_is_not_reached_from_here_is_unknown(manifests: list[Any], tmp_path: Path) -> None:
    manifests[-2]["metadata"]["annotations"]["serving.kserve.io/s3-endpoint"] = "http://minio.minio.invalid:9000"
    finished, findings = probe(tmp_path, manifests)
    assert (finished.returncode, of_topic(findings, "store")["level"]) == (0, "unknown")


def test_this_machines_own_credentials_are_left_alone(manifests: list[Any], llama: Model, tmp_path: Path) -> None:
    keys = manifests[-2]["stringData"]
    with counting_proxy(llama.store.endpoint_url) as proxy:
        _, findings = probe(tmp_path, manifests[:-3] + manifests[-1:], AWS_ENDPOINT_URL=proxy.endpoint_url, **keys)
    found = of_topic(findings, "store")
    assert found["level"] == "unknown"
    assert "no secret for S3" in found["why"]
    assert proxy.requests == []


def test_secrets_stay_secret(manifests: list[Any], tmp_path: Path) -> None:
    manifests[-2]["stringData"]["AWS_SECRET_ACCESS_KEY"] = "a-wrong-and-secret-key"
    finished, findings = probe(tmp_path, manifests)
    assert of_topic(findings, "store")["level"] == "error"
    assert "a-wrong-and-secret-key" not in finished.stdout + finished.stderr
