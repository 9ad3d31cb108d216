"""What the real catalog server lost, our checks refuse: its recorded answers to wrong and doubtful files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from wellhead_cluster.catalog.documents import Unreadable, read_document
from wellhead_cluster.catalog.model_checks import check_models
from wellhead_cluster.catalog.problems import Problem
from wellhead_cluster.catalog.source_checks import check_sources

DATA = Path(__file__).parents[1] / "data" / "model-catalog"
MISTAKES: dict[str, dict[str, Any]] = {each["case"]: each for each in json.loads((DATA / "mistakes.json").read_text())}
SOURCE_MISTAKES = {
    each["case"]: each for each in json.loads((DATA / "source-file-mistakes.json").read_text()) if each["sources_yaml"]
}
FILES = {"no-artifacts.yaml": ["a"], "ok.yaml": ["a"], "models.yaml": ["a"]}

REASONS = {
    "unknown-model-field": "models[0] 'a', colour: there is no such field, and the server refuses the whole file",
    "unknown-artifact-field": "the server ignores its field 'colour'",
    "unknown-top-level-field": "flavour: there is no such field",
    "missing-name": "models[0]: it has no name, and the server drops it without a word",
    "empty-name": "models[0]: it has no name",
    "artifact-without-uri": "model 'a', artifact 0: the artifact has no URI, and the server drops the whole model",
    "artifact-empty-uri": "the artifact has no URI",
    "artifact-uri-hf": "has the scheme hf, and known are oci, http, https, s3, gs, az, file",
    "artifact-uri-runai-streamer": "has no scheme that a URL can have",
    "artifact-uri-pvc": "has the scheme pvc",
    "artifact-uri-no-scheme": "has no scheme",
    "bad-artifact-type": "the artifactType 'weights' is unknown, and the server refuses the whole file",
    "bad-metrics-type": "the metricsType 'speed' is unknown, and the server drops the artifact",
    "bad-metadata-type": "the metadataType 'MetadataTextValue' is unknown, so the server keeps an empty string",
    "metadata-type-missing": "the metadataType None is unknown",
    "plain-value": "it should be a valid dictionary, and the server refuses the whole file",
    "int-value-not-a-string": "int_value has to be a number in quotes",
    "int-value-not-a-number": "'many' is no integer of 32 bits, so the server makes a string of it",
    "double-value-as-string": "double_value has to be a number without quotes",
    "string-value-as-number": "string_value has to be a string in quotes",
    "wrong-value-key": "MetadataStringValue needs string_value",
    "bad-model-type": "the model_type 'llm' is none of generative, predictive, unknown",
    "tasks-as-string": "models[0] 'a', tasks: it should be a valid list",
    "language-as-string": "models[0] 'a', language: it should be a valid list",
    "language-no-unquoted": "language[0]: it should be a valid string",
    "name-as-number": "name: it should be a valid string",
    "time-as-number": "createTimeSinceEpoch: it should be a valid string",
    "time-not-a-number": "'yesterday' is no number, so the server takes its own time",
    "duplicate-name": "model 'a': it stands there twice, and the server keeps the last one only",
    "duplicate-key": 'line 3: key "name" stands there twice',
    "not-yaml": "line 2: expected the node content",
    "models-not-a-list": "models: it should be a valid list",
    "bad-licence-link": "the licenseLink 'not a url' leads nowhere",
    "missing-file": "there is no file 'nope.yaml', so none of its models is shown",
    "no-path": "its property yamlCatalogPath is missing",
    "unknown-source-type": "the type 's3' is unknown",
    "unknown-property": "the server ignores its property 'colour'",
    "disabled": "it is not enabled, so none of its models is shown",
    "excluded": "its patterns leave out the model 'a'",
}
"""What we say of each. Those that are not here lose nothing."""

CHANGED = {"int-value-not-a-number", "time-not-a-number"}
"""The value is there, in another form than meant: worth a warning."""


def problems_of(case: dict[str, Any]) -> list[Problem]:
    if case["source"]:
        return check_sources({"model_catalogs": [case["source"]]}, FILES)
    try:
        return check_models(read_document(case["models_yaml"]))
    except Unreadable as error:
        return [Problem("models.yaml", str(error))]


def loses(case: dict[str, Any]) -> bool:
    """Whether the server's answers lack something that the file says, or say something else."""
    if case["status"] != "available":
        return True
    if case["source"]:
        return not case["models_loaded"]
    written = [
        {**model, "artifacts": [{"artifactType": "model-artifact", **each} for each in model.get("artifacts", [])]}
        for model in yaml.safe_load(case["models_yaml"])["models"]
    ]
    return bool(written != case["models_loaded"])


def test_there_are_as_many_mistakes_as_were_recorded() -> None:
    assert len(MISTAKES) == 45
    assert REASONS.keys() <= MISTAKES.keys()


@pytest.mark.parametrize("name", MISTAKES)
def test_what_the_server_loses_is_a_problem(name: str) -> None:
    found = problems_of(MISTAKES[name])
    assert any(each.lost for each in found) == (loses(MISTAKES[name]) and name not in CHANGED), found
    if name in CHANGED:
        assert loses(MISTAKES[name])


@pytest.mark.parametrize("name", MISTAKES)
def test_each_says_why(name: str) -> None:
    found = problems_of(MISTAKES[name])
    if name in REASONS:
        assert len(found) == 1, found
        assert REASONS[name] in str(found[0])
    else:
        assert found == []


SOURCE_REASONS = {
    "source without id": "source 'x': it has no id, and the server ends at its start",
    "unknown field in a source": "model_catalogs[0] 'x', colour: there is no such field, and the server ends",
    "two sources with one id": "source 'x': two sources have this id",
    "unquoted y (YAML 1.1 reads y, n, yes, no, on and off as booleans)": "name: it should be a valid string",
    "named query with an unknown operator": "the operator '~' is unknown",
    "old key catalogs": "that key is an old one",
}


@pytest.mark.parametrize("name", SOURCE_MISTAKES)
def test_what_ends_the_server_is_a_problem(name: str) -> None:
    (found,) = check_sources(read_document(SOURCE_MISTAKES[name]["sources_yaml"]), FILES)
    assert SOURCE_REASONS[name] in str(found)
    assert found.lost == ("ends at start" in SOURCE_MISTAKES[name]["outcome"])


def test_an_accepted_file_loses_nothing() -> None:
    document = read_document((DATA / "models.yaml").read_text())
    found = check_models(document)
    assert not [each for each in found if each.lost]
    hidden = {each.where.rpartition(" ")[2] for each in found if "only strings of a model" in each.reason}
    numbers = ("parameter_count", "bytes", "suggested_gpu_memory_gib", "context_length", "gated")
    assert hidden == {f"'{name}'" for name in numbers}
    others = [str(each) for each in found if "only strings of a model" not in each.reason]
    assert [each.partition(": ")[0] for each in others] == [
        "model 'wellhead/llama-3.1-8b-instruct', artifact 0, property 'bytes_as_int'",
        "model 'wellhead/qwen3-0.6b'",
    ]


def test_hidden_numbers_are_those_that_no_answer_shows() -> None:
    answer = json.loads((DATA / "models.json").read_text())["body"]["items"]
    file = yaml.safe_load((DATA / "models.yaml").read_text())["models"]
    hidden = {
        f"model {written['name']!r}, property {name!r}"
        for written, shown in zip(file, answer, strict=True)
        for name in written["customProperties"].keys() - shown["customProperties"].keys()
    }
    assert hidden == {each.where for each in check_models({"models": file}) if "only strings" in each.reason}


def test_an_accepted_sources_file_has_no_mistake() -> None:
    assert check_sources(read_document((DATA / "sources.yaml").read_text()), FILES) == []


@pytest.mark.parametrize(
    "uri",
    ["s3://models/100%", "s3://mo dels/x", "s3://models:http/x", "s3://models/a\nb", "1s3://models/x"],
)
def test_what_is_no_url_for_go_is_refused(uri: str) -> None:
    (found,) = check_models({"models": [{"name": "a", "artifacts": [{"uri": uri}]}]})
    assert found.lost
    assert "drops the whole model" in found.reason


@pytest.mark.parametrize(
    "uri", ["S3://models/x", "s3://models/a b", "s3://models/a%20b?endpoint=http://minio:9000", "az://c@account/x"]
)
def test_what_is_a_url_for_go_is_taken(uri: str) -> None:
    assert check_models({"models": [{"name": "a", "artifacts": [{"uri": uri}]}]}) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_numbers_that_json_does_not_have_are_refused(value: float) -> None:
    values = {"x": {"metadataType": "MetadataDoubleValue", "double_value": value}}
    (found,) = check_models({"models": [{"name": "a", "artifacts": [{"uri": "s3://b/x", "customProperties": values}]}]})
    assert found.lost


def test_null_is_like_a_field_that_is_not_there() -> None:
    assert check_models({"models": [{"name": "a", "license": None, "artifacts": None}]}) == []
    assert check_models({"models": None}) == []
    (found,) = check_models(None)
    assert found.where == "models.yaml"
