"""The chart as a package: metadata, linter, documented values, committed renders, notes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import renders
from tests.chart.rendering import CHART, render
from tests.chart.values_table import README, read_values, with_table
from tests.kserve import Cluster, Release, build, recorded
from tests.kserve.manifests import Manifest
from wellhead_storage import __version__


def metadata() -> dict[str, Any]:
    chart: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return chart


def annotation(name: str) -> Any:
    return yaml.safe_load(metadata()["annotations"][f"artifacthub.io/{name}"])


def containers(values: Manifest) -> set[str]:
    """The images of every container in a render."""
    return set(re.findall(r"^\s+image: (\S+)$", render(values).text, re.MULTILINE))


def test_the_chart_is_of_this_version() -> None:
    assert (metadata()["version"], metadata()["appVersion"]) == (__version__, __version__)


def test_artifact_hub_finds_the_images_that_are_rendered() -> None:
    assert {each["image"] for each in annotation("images")} == containers({"llm": {"enabled": True}})


def test_artifact_hub_understands_what_it_is_told() -> None:
    assert metadata()["annotations"]["artifacthub.io/category"] == "ai-machine-learning"
    assert annotation("license") == "Apache-2.0"
    assert annotation("prerelease") == __version__.startswith("0.")
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert {each["kind"] for each in annotation("changes")} <= kinds
    assert all(each["url"].startswith("https://") for each in annotation("links"))


@pytest.mark.parametrize("name", renders.names())
def test_helms_linter_has_nothing_to_say_but_that_there_is_no_icon(name: str) -> None:
    assert [each["error"] for each in renders.release(name).lint["messages"]] == ["icon is recommended"]


def test_a_package_has_what_an_installation_needs(tmp_path: Path) -> None:
    command = "import sys, helm_python; print(helm_python.package(sys.argv[1], destination=sys.argv[2]))"
    packed = subprocess.run(
        [sys.executable, "-c", command, CHART, tmp_path], check=True, capture_output=True, text=True, timeout=60
    )
    with tarfile.open(packed.stdout.strip()) as archive:
        names = {name.removeprefix("wellhead/") for name in archive.getnames()}
    sources = {path.relative_to(CHART).as_posix() for path in CHART.rglob("*") if path.is_file()}
    assert names == sources


# Documentation ----------------------------------------------------------------------------------------------------


def test_every_value_is_described() -> None:
    assert [value.key for value in read_values() if not value.description] == []


def test_the_table_in_the_readme_is_current() -> None:
    assert README.read_text() == with_table(README.read_text()), "run make chart-docs"


def test_the_schema_knows_every_value() -> None:
    schema = read_schema()
    for value in read_values():
        assert _known(schema, value.key.split(".")), value.key


def read_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return schema


def _known(schema: dict[str, Any], path: list[str]) -> bool:
    """Whether a dotted value has a place in the schema."""
    node = schema
    for name in path:
        if "$ref" in node:
            node = schema["definitions"][node["$ref"].rpartition("/")[2]]
        if name not in node["properties"]:
            return False
        node = node["properties"][name]
    return True


# Renders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", renders.names())
def test_a_committed_render_is_current(name: str) -> None:
    assert renders.path_of(name).read_text() == renders.current(name), "run make chart-renders"


def test_every_render_has_values_that_say_what_they_are() -> None:
    files = {path.name for path in renders.RENDERS.iterdir()}
    assert files == {f"{name}{ending}" for name in renders.names() for ending in (".yaml", renders.SUFFIX)}
    assert all((renders.RENDERS / f"{name}{renders.SUFFIX}").read_text().startswith("# ") for name in renders.names())


def test_everything_is_everything_that_goes_together() -> None:
    values = yaml.safe_load((renders.RENDERS / f"everything{renders.SUFFIX}").read_text())
    on = {name for name, component in values["components"].items() if component["enabled"]}
    every = {value.key.split(".")[1] for value in read_values() if value.key.startswith("components.")}
    stores = {"s3Static", "gcsWorkloadIdentity", "azureWorkloadIdentity"}
    assert every - on == {"isolated", "namespaced", "pinStorageContainer", *stores}


@pytest.mark.parametrize("name", renders.names())
def test_kserves_placeholders_survive(name: str) -> None:
    for (kind, _), manifest in renders.release(name).objects.items():
        text = yaml.safe_dump(manifest)
        if kind.endswith("ServingRuntime"):
            assert "--served-model-name={{.Name}}" in text
        if kind == "LLMInferenceServiceConfig":
            assert "{{ .ObjectMeta.Name }}-wellhead" in text


# Notes ------------------------------------------------------------------------------------------------------------


def example(notes: str) -> Manifest:
    """The manifest that notes show."""
    block = re.search(r"(?:^ {4}.*\n)+", notes, re.MULTILINE)
    assert block
    manifest: Manifest = yaml.safe_load(block.group())
    return manifest


@pytest.mark.parametrize(
    ("values", "uri", "predictor"),
    [
        ({}, "s3://models/llama", {}),
        ({"components": {"isolated": {"enabled": True}}}, "runai_streamer://s3://models/llama", {}),
        (
            {"components": {"pinStorageContainer": {"enabled": False}}},
            "s3://models/llama",
            {"storageContainerName": "wellhead"},
        ),
    ],
)
def test_notes_show_a_service_that_works(values: dict[str, Any], uri: str, predictor: dict[str, str]) -> None:
    release = render(values)
    service = example(release.notes)
    assert service["spec"]["predictor"]["model"]["storageUri"] == uri
    assert predictor.items() <= service["spec"]["predictor"].items()
    outcome = build(Cluster.with_stock(list(release.objects.values())), service, *predictor.values())
    assert recorded.initializer(outcome.pod)["image"] == "wellhead-initializer:0.1.0"


@pytest.mark.parametrize("kserve", list(Release))
def test_the_isolated_chart_streams_on_every_kserve(kserve: Release) -> None:
    """With credentials, which is where older ones break a storage container that has variables."""
    objects = render({"components": {"isolated": {"enabled": True}}}).objects
    keys = recorded.secret("keys", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    service = recorded.inference_service({"storageUri": "runai_streamer://s3://models/llama"})
    cluster = Cluster.with_stock([*objects.values(), keys, recorded.account("default", "keys")], kserve)
    container = recorded.initializer(build(cluster, service).pod)
    assert container["image"] == "wellhead-initializer:0.1.0"
    assert "AWS_ACCESS_KEY_ID" in recorded.environment(container)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "images.registry is empty"),
        ({"mode": "stream"}, 'what mode "stream" says'),
        ({"llm": {"enabled": True}}, "LLMInferenceServices name the configs in kserve"),
        ({"runtimes": {"gpu": {"enabled": False}}}, "runtime: wellhead-vllm-cpu"),
        ({"components": {"exclusive": {"enabled": True}}}, "stays so when this release goes"),
        ({"components": {"knative": {"enabled": True}}}, "there is none"),
        ({"components": {"compileCache": {"enabled": True}}}, "is mounted nowhere yet"),
        ({"components": {"openshift": {"enabled": True}}}, "goes with components.namespaced"),
        (
            {"components": {"s3Static": {"enabled": True, "existingSecret": "own"}}},
            "say predictor.serviceAccountName: s3-models",
        ),
    ],
)
def test_notes_say_what_is_left_to_do(values: dict[str, Any], words: str) -> None:
    assert words in render(values).notes


def test_notes_of_a_set_registry_do_not_ask_for_one() -> None:
    assert "registry" not in render({"images": {"registry": "registry.example/ml"}}).notes
