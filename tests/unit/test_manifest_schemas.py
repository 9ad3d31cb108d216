"""Every manifest, and every pod that KServe makes of the samples, has only fields that Kubernetes and KServe know."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from tests.kserve import WORKLOAD_KINDS, Cluster, build, recorded
from tests.kserve.manifests import Manifest
from tests.unit.manifests import MANIFESTS, bundle, overlay
from tests.unit.schemas import EXCEPTIONS, Fields, Schemas

COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
# Those that have no use without another one.
BEHIND = {"private-ca": ("s3-static",), "openshift": ("namespaced",)}
FOLDERS = sorted(
    str(path.parent.relative_to(MANIFESTS))
    for path in MANIFESTS.rglob("kustomization.yaml")
    if "\nkind: Component\n" not in path.read_text()
)
SAMPLES = sorted(path.parent.name for path in (MANIFESTS / "samples").glob("*/*inference-service.yaml"))
OURS = (
    *("ClusterServingRuntime", "ClusterStorageContainer", "InferenceService", "ServingRuntime"),
    *("LLMInferenceService", "LLMInferenceServiceConfig", "LocalModelCache", "LocalModelNodeGroup"),
    *("ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "Secret", "ServiceAccount"),
)
MADE = ("Deployment", "Job", "Pod", "PodTemplate")

Place = tuple[str | int, ...]


@cache
def schemas() -> Schemas:
    return Schemas()


def faults(*manifests: Manifest) -> list[str]:
    return [f"{each['kind']}: {fault}" for each in unpacked(manifests) for fault in schemas().faults(each)]


def unpacked(manifests: Iterable[Manifest]) -> list[Manifest]:
    """A template of OpenShift's, of which nobody here has a schema, stands for the objects in it."""
    return [part for each in manifests for part in (each["objects"] if each["kind"] == "Template" else [each])]


def templates(workload: Manifest) -> list[Manifest]:
    """A workload, or the templates of its pods where it is none of Kubernetes' own."""
    if workload["kind"] != "LeaderWorkerSet":
        return [workload]
    made = workload["spec"]["leaderWorkerTemplate"]
    pods = [made["leaderTemplate"], made["workerTemplate"]]
    return [{"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": each} for each in pods]


@cache
def made_of(sample: str) -> list[Manifest]:
    """What KServe makes of a sample: the objects as they are stored, workloads, pods."""
    objects = bundle(f"samples/{sample}")
    cluster = Cluster.with_stock([*bundle("default").values(), *bundle("llm").values(), *objects.values()])
    outcomes = [build(cluster, each) for (kind, _), each in objects.items() if kind in WORKLOAD_KINDS]
    workloads = [template for each in outcomes for made in each.workloads for template in templates(made)]
    return [*(each.service for each in outcomes), *workloads, *(pod for each in outcomes for pod in each.pods)]


@pytest.fixture(scope="module")
def with_components(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Manifest]]:
    """All that there is to install, and somebody's service, by the component that is applied to them."""
    made, service = {}, recorded.inference_service()
    for name in COMPONENTS:
        components = (*BEHIND.get(name, ()), name)
        objects = overlay(tmp_path_factory.mktemp(name), "default", components=components, own=(service,))
        made[name] = list(objects.values())
    return made


@pytest.fixture(scope="module")
def largest(with_components: dict[str, list[Manifest]]) -> dict[str, Manifest]:
    """Of each kind the object with most to be wrong in."""
    rendered = [each for folder in FOLDERS for each in unpacked(bundle(folder).values())]
    applied = [each for objects in with_components.values() for each in objects]
    made = [each for sample in SAMPLES for each in made_of(sample)]
    by_size = sorted([*rendered, *applied, *made], key=lambda each: len(list(places(each))))
    return {each["kind"]: each for each in by_size}


# Nothing is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS)
def test_manifests_have_known_fields_of_the_right_types(folder: str) -> None:
    assert bundle(folder)
    assert faults(*bundle(folder).values()) == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_so_they_have_with_any_component(component: str, with_components: dict[str, list[Manifest]]) -> None:
    assert with_components[component]
    assert faults(*with_components[component]) == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_so_has_what_kserve_makes_of_a_sample(sample: str) -> None:
    assert {each["kind"] for each in made_of(sample)} & set(MADE)
    assert faults(*made_of(sample)) == []


# The schemas agree with a real API server, and would find something ---------------------------------------------------


@cache
def recordings() -> list[Manifest]:
    """What a real API server was given, which said nothing of its fields, and what it made."""
    files = [each for each in recorded.DATA.rglob("*.yaml") if each.stem not in {"refused", "model-status"}]
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return [template for each in documents if "kind" in each for template in templates(each)]


def test_what_a_real_api_server_found_no_fault_with_has_none() -> None:
    kinds = {each["kind"] for each in recordings()}
    assert {"InferenceService", "LLMInferenceService", "LocalModelNode", *MADE} <= kinds
    assert faults(*recordings()) == []


def test_these_kinds_are_looked_at(largest: dict[str, Manifest]) -> None:
    assert sorted(largest) == sorted([*OURS, *MADE])


@pytest.mark.parametrize("kind", [*OURS, *MADE])
def test_a_field_that_nobody_knows_is_found_wherever_it_stands(kind: str, largest: dict[str, Manifest]) -> None:
    """In maps with keys of the user's own it is the value that is none."""
    found = {place: value for place, value in places(largest[kind]) if isinstance(value, dict)}
    assert () in found
    for place, value in found.items():
        assert faults(changed(largest[kind], place, {**value, "surprise": {}})), place


@pytest.mark.parametrize("kind", [*OURS, *MADE])
def test_a_value_of_another_type_is_found_wherever_it_stands(kind: str, largest: dict[str, Manifest]) -> None:
    """`yes` without quotes where no boolean belongs, one with quotes where it does."""
    decisive = {("apiVersion",), ("kind",)}
    found = {place: value for place, value in places(largest[kind]) if not isinstance(value, dict | list)}
    assert found.keys() > decisive
    for place in found.keys() - decisive:
        other: object = "yes" if isinstance(found[place], bool) else True
        assert faults(changed(largest[kind], place, other)), place


@pytest.mark.parametrize(
    ("kind", "place", "value", "fault"),
    [
        (
            *("InferenceService", ("spec", "predictor", "model", "storageURI"), "s3://m"),
            "InferenceService: $.spec.predictor.model: Additional properties are not allowed "
            "('storageURI' was unexpected)",
        ),
        (
            *("InferenceService", ("spec", "predictor", "minReplicas"), "1"),
            "InferenceService: $.spec.predictor.minReplicas: '1' is not of type 'integer'",
        ),
        (
            *("ClusterServingRuntime", ("spec", "containers", 0, "env", 0, "value"), 1),
            "ClusterServingRuntime: $.spec.containers[0].env[0].value: 1 is not of type 'string', 'null'",
        ),
        (
            *("ClusterServingRuntime", ("spec", "volumes", 0, "emptyDir", "mediums"), "Memory"),
            "ClusterServingRuntime: $.spec.volumes[0].emptyDir: Additional properties are not allowed "
            "('mediums' was unexpected)",
        ),
        (
            *("ClusterStorageContainer", ("spec", "supportedUriFormats", 0), "s3://"),
            "ClusterStorageContainer: $.spec.supportedUriFormats[0]: 's3://' is not of type 'object'",
        ),
        (
            *("LLMInferenceServiceConfig", ("spec", "containers"), []),
            "LLMInferenceServiceConfig: $.spec: Additional properties are not allowed ('containers' was unexpected)",
        ),
        (
            *("NetworkPolicy", ("spec", "egress", 0, "ports", 0, "port"), [443]),
            "NetworkPolicy: $.spec.egress[0].ports[0].port: [443] is not valid under any of the given schemas",
        ),
    ],
)
def test_a_mistake_is_named(kind: str, place: Place, value: object, fault: str, largest: dict[str, Manifest]) -> None:
    assert faults(changed(largest[kind], place, value)) == [fault]


@pytest.mark.parametrize(
    ("kind", "place", "fault"),
    [
        ("ClusterServingRuntime", ("spec", "containers"), "$.spec: 'containers' is a required property"),
        ("ClusterStorageContainer", ("spec", "container", "name"), "$.spec.container: 'name' is a required property"),
        ("LocalModelCache", ("spec", "nodeGroups"), "$.spec: 'nodeGroups' is a required property"),
        ("Pod", ("spec", "containers"), "$.spec: 'containers' is a required property"),
    ],
)
def test_a_field_that_is_missing_is_named(kind: str, place: Place, fault: str, largest: dict[str, Manifest]) -> None:
    manifest = copy.deepcopy(largest[kind])
    del parent(manifest, place)[place[-1]]
    assert faults(manifest) == [f"{kind}: {fault}"]


def test_what_nobody_describes_is_refused(largest: dict[str, Manifest]) -> None:
    """The SDK names a model for workers of a runtime and has none."""
    assert faults(changed(largest["ServingRuntime"], ("spec", "workerSpec"), {})) == [
        "ServingRuntime: $.spec.workerSpec: {} should not be valid under {}"
    ]
    with pytest.raises(LookupError, match="no schema for InferenceServices"):
        faults({**largest["InferenceService"], "kind": "InferenceServices"})


# What the SDK lacks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "field"), [(model, field) for model, fields in EXCEPTIONS.items() for field in fields or [""]]
)
def test_every_exception_is_needed(model: str, field: str) -> None:
    kept = {name: each for name, each in EXCEPTIONS[model].items() if name != field}
    without: Mapping[str, Fields] = {**EXCEPTIONS, model: kept}
    if not field:
        without = {name: each for name, each in EXCEPTIONS.items() if name != model}
    ours = [each for folder in FOLDERS if "llm" in folder for each in bundle(folder).values()]
    fewer = Schemas(without)
    assert any(fewer.faults(each) for each in [*ours, *recordings()])


# Places in an object --------------------------------------------------------------------------------------------------


def places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value in an object, itself included, with the keys and indexes that lead there."""
    yield place, value
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*place, key))


def parent(manifest: Manifest, place: Place) -> Any:
    for key in place[:-1]:
        manifest = manifest[key]  # type: ignore[index]
    return manifest


def changed(manifest: Manifest, place: Place, value: Any) -> Manifest:
    if not place:
        return dict(value)
    manifest = copy.deepcopy(manifest)
    parent(manifest, place)[place[-1]] = value
    return manifest
