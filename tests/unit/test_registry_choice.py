"""Which artifact is the model, where its files are, and names that the registry takes for patterns."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_registry import _like
from wellhead_storage.errors import InvalidConfiguration, ObjectNotFound
from wellhead_storage.registry.answers import Artifact
from wellhead_storage.registry.choose import choose_artifact, location_of
from wellhead_storage.registry.names import is_pattern, literally


def artifact(**fields: str) -> Artifact:
    """As the registry shows it."""
    return Artifact.model_validate({"artifactType": "model-artifact", "name": "weights", **fields})


NEWER, OLDER = artifact(uri="s3://b/newer"), artifact(uri="s3://b/older")


@pytest.mark.parametrize(
    "before",
    [
        [],
        [artifact(artifactType="doc-artifact", uri="s3://b/readme")],
        [artifact(uri="s3://b/gone", state="MARKED_FOR_DELETION")],
        [artifact(uri="s3://b/gone", state="DELETED")],
        [artifact()],
        [artifact(uri="  ")],
        [artifact(storageKey="secret")],
    ],
    ids=["nothing", "a document", "one marked for deletion", "a deleted one", "no URI", "a blank one", "only a key"],
)
def test_the_newest_usable_one_is_chosen(before: list[Artifact]) -> None:
    assert choose_artifact([*before, NEWER, OLDER], "m") is NEWER


def test_a_storage_path_will_do() -> None:
    by_path = artifact(storageKey="secret", storagePath="llama")
    assert choose_artifact([by_path, OLDER], "m") is by_path


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "version 'v1' has no model artifact"),
        ([artifact(artifactType="doc-artifact", uri="s3://b/x")], "version 'v1' has no model artifact"),
        ([artifact()], "model artifact of version 'v1' has no URI"),
        ([artifact(uri="s3://b/x", state="DELETED")], "artifacts of version 'v1' are marked for deletion"),
    ],
)
def test_what_is_missing_is_said(found: list[Artifact], sentence: str) -> None:
    with pytest.raises(ObjectNotFound, match=sentence):
        choose_artifact(found, "version 'v1'")


def config(**fields: str) -> dict[str, str]:
    return {"STORAGE_CONFIG": json.dumps(fields)}


def test_a_uri_of_its_own_comes_first() -> None:
    assert location_of(artifact(uri=" s3://b/x ", storagePath="y"), config(type="s3", bucket="c")) == "s3://b/x"


@pytest.mark.parametrize("path", ["llama/v1", "/llama/v1/"])
def test_the_bucket_of_the_storage_config_secret(path: str) -> None:
    assert location_of(artifact(storagePath=path), config(type="s3", bucket="models")) == "s3://models/llama/v1"


@pytest.mark.parametrize(
    ("stored", "parameters", "bucket"),
    [
        ({"type": "s3"}, {"bucket": "mine"}, "mine"),
        ({"type": "s3", "bucket": "models"}, {"bucket": "mine"}, "mine"),
        ({"type": "s3", "bucket": "models"}, {"region": "eu-west-3"}, "models"),
        ({"bucket": "models"}, {"type": "s3"}, "models"),
    ],
)
def test_the_parameters_of_the_inference_service_win_over_the_secret(
    stored: dict[str, str], parameters: dict[str, str], bucket: str
) -> None:
    environment = config(**stored) | {"STORAGE_OVERRIDE_CONFIG": json.dumps(parameters)}
    assert location_of(artifact(storagePath="llama"), environment) == f"s3://{bucket}/llama"


@pytest.mark.parametrize("text", ["no JSON, s3cret", '["s3cret"]'])
@pytest.mark.parametrize("name", ["STORAGE_CONFIG", "STORAGE_OVERRIDE_CONFIG"])
def test_what_is_no_json_is_named_and_not_shown(name: str, text: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"{name} is not a JSON object") as caught:
        location_of(artifact(storagePath="llama"), config(type="s3", bucket="models") | {name: text})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("environment", [{}, config(type="gs", bucket="b"), config(type="s3")])
def test_a_storage_key_that_is_not_here_is_named(environment: dict[str, str]) -> None:
    found = artifact(storageKey="my-storage-secret", storagePath="llama/v1")
    with pytest.raises(InvalidConfiguration, match="its storage key 'my-storage-secret' is not here") as caught:
        location_of(found, environment)
    assert "storage: {key: my-storage-secret}" in caught.value.hint


@given(st.text(), st.text())
def test_a_literal_name_matches_itself_alone(name: str, other: str) -> None:
    pattern = _like(literally(name))
    assert re.fullmatch(pattern, name, re.DOTALL)
    assert name == other or not re.fullmatch(pattern, other, re.DOTALL)
    assert is_pattern(name) == (literally(name) != name)
