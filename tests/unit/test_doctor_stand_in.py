"""What `wellhead doctor` says about runtime, storage container and credentials is what KServe does.

Held against the stand-in of tests/kserve, which is held against recordings of the real KServe.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import Cluster, NotModelledError, Refused, build, recorded
from tests.kserve.errors import KServeError
from tests.kserve.manifests import Manifest
from tests.kserve.runtimes import select_runtime
from tests.kserve.storage_containers import Chooser
from tests.kserve.storage_uris import validate_uri
from tests.unit.examining import findings, in_cluster
from tests.unit.manifests import MANIFESTS, bundle, rendered
from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.manifests import name_of, section
from wellhead_cluster.doctor.runtimes import choose_runtime
from wellhead_cluster.doctor.situation import SERVICES
from wellhead_cluster.doctor.storage_containers import choose_container, is_supported

HUB = {"HF_HUB_ENABLE_HF_TRANSFER", "HF_XET_HIGH_PERFORMANCE", "HF_XET_NUM_CONCURRENT_RANGE_GETS"}
CERTIFICATES = {"CA_BUNDLE_CONFIGMAP_NAME", "CA_BUNDLE_VOLUME_MOUNT_POINT"}
LLM = MANIFESTS / "llm"


def of_case(name: str) -> tuple[Manifest, Cluster]:
    objects = recorded.case(name)
    return objects[-1], recorded.cluster(*objects)


def of_sample(name: str) -> tuple[Manifest, Cluster]:
    objects = bundle(f"samples/{name}")
    [service] = [each for each in objects.values() if each["kind"] in SERVICES]
    return service, Cluster.with_stock([*bundle("default").values(), *rendered(LLM).values(), *objects.values()])


SAMPLES = sorted(path.name for path in (MANIFESTS / "samples").iterdir() if path.name != "llm-s3-account")
EVERYTHING = [
    *((of_case, name) for kind in SERVICES for name in recorded.cases(kind)),
    *((of_sample, name) for name in SAMPLES),
]
everything = pytest.mark.parametrize(("source", "name"), EVERYTHING, ids=[name for _, name in EVERYTHING])


def initializers(pod: Manifest) -> list[Manifest]:
    """Init containers called as KServe calls its own."""
    return [each for each in pod["spec"].get("initContainers") or [] if each["name"] == "storage-initializer"]


def text_of(variable: object, cluster: Cluster, namespace: str) -> str | None:
    """The value behind a variable; None for the downward API."""
    if isinstance(variable, str):
        return variable
    assert isinstance(variable, dict)
    reference = variable.get("secretKeyRef")
    if reference is None:
        return None
    secret = cluster.find("Secret", reference["name"], namespace)
    return None if secret is None else secret["stringData"].get(reference["key"])


@everything
def test_every_service_that_kserve_refuses_has_an_error(source: Any, name: str) -> None:
    service, cluster = source(name)
    try:
        build(cluster, service)
    except Refused:
        assert findings(in_cluster(service, cluster), "", "error")
    else:
        assert not findings(in_cluster(service, cluster), "storage container", "error")
        assert not findings(in_cluster(service, cluster), "runtime", "error")
        assert not findings(in_cluster(service, cluster), "secrets", "error")


@everything
def test_the_storage_container_is_the_one_that_kserve_takes(source: Any, name: str) -> None:
    service, cluster = source(name)
    found = in_cluster(service, cluster)
    try:
        outcome = build(cluster, service)
    except Refused:
        assert service["kind"] in SERVICES
        return
    candidates = () if found.serving is None else tuple(map(name_of, found.serving.container.candidates))
    assert candidates == outcome.candidates


@everything
def test_the_init_container_gets_the_credentials_that_kserve_gives(source: Any, name: str) -> None:
    service, cluster = source(name)
    try:
        outcome = build(cluster, service)
    except Refused:
        assert service["kind"] in SERVICES
        return
    found = in_cluster(service, cluster)
    assert len(found.pods) == len(outcome.pods)
    for pod, real in zip(found.pods, outcome.pods, strict=True):
        assert pod.account == real["spec"]["serviceAccountName"] or pod.account == "default"
        for container in initializers(real):
            variables = recorded.environment(container)
            own = set(recorded.environment(pod.initializer or {}))
            assert set(pod.injected.environment) - own == set(variables) - own - HUB - CERTIFICATES
            for key, value in pod.injected.environment.items():
                assert value == text_of(variables[key], cluster, found.known.namespace), key
            assert sorted(word for pair in pod.sources for word in pair) == sorted(container["args"])


@pytest.mark.parametrize(("source", "name"), [each for each in EVERYTHING if not each[1].startswith("llm-")])
def test_the_server_is_the_one_that_kserve_merges(source: Any, name: str) -> None:
    service, cluster = source(name)
    try:
        outcome = build(cluster, service)
    except Refused:
        assert name.startswith("bad-")
        return
    real, made = recorded.server(outcome.pod), in_cluster(service, cluster).pods[0].server
    variables = recorded.environment(made)
    from_kserve = {"INFERENCE_SERVICE_NAME", "MODEL_INIT_MODE"}  # the second for images, which bring a sidecar
    assert set(variables) == set(recorded.environment(real)) - from_kserve
    plain = {key: value for key, value in variables.items() if isinstance(value, str)}
    assert plain.items() <= recorded.environment(real).items()
    assert len(made["args"]) == len(real["args"])
    assert section(made, "resources", "limits") == section(real, "resources", "limits")


@everything
def test_annotations_are_those_that_reach_the_pod(source: Any, name: str) -> None:
    service, cluster = source(name)
    try:
        outcome = build(cluster, service)
    except (Refused, NotModelledError):
        return
    for pod, real in zip(in_cluster(service, cluster).pods, outcome.pods, strict=True):
        own = {key: value for key, value in pod.annotations.items() if key.startswith("wellhead.dev/")}
        arrived = real["metadata"].get("annotations") or {}
        assert own == {key: value for key, value in arrived.items() if key.startswith("wellhead.dev/")}


def runtime(name: str, kind: str, *formats: dict[str, Any], **spec: Any) -> Manifest:
    namespace = {"namespace": recorded.NAMESPACE} if kind == "ServingRuntime" else {}
    containers = [{"name": "kserve-container", "image": "image", "args": ["--x"]}]
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **namespace},
        "spec": {"supportedModelFormats": list(formats), "containers": containers, **spec},
    }


AUTO, MANUAL = {"name": "a", "autoSelect": True}, {"name": "a"}
RUNTIMES = [
    runtime("cluster-first", "ClusterServingRuntime", {**AUTO, "priority": 1}),
    runtime("cluster-second", "ClusterServingRuntime", {**AUTO, "priority": 2, "version": "2"}),
    runtime("cluster-v2", "ClusterServingRuntime", {**AUTO, "priority": 3}, protocolVersions=["v2"]),
    runtime("cluster-off", "ClusterServingRuntime", {**AUTO, "priority": 9}, disabled=True),
    runtime("cluster-many", "ClusterServingRuntime", {**AUTO, "priority": 9}, multiModel=True),
    runtime("cluster-nodes", "ClusterServingRuntime", {**AUTO, "priority": 9}, workerSpec={}),
    runtime("own", "ServingRuntime", MANUAL, {"name": "b", "autoSelect": True}),
    runtime("cluster-first", "ServingRuntime", {"name": "c"}),
]
WANTED = [
    {"modelFormat": {"name": name, **version}, **protocol, **by_name}
    for name in ("a", "b", "c", "A")
    for version in ({}, {"version": "2"})
    for protocol in ({}, {"protocolVersion": "v2"}, {"protocolVersion": "grpc-v1"})
    for by_name in ({}, *({"runtime": each} for each in ("cluster-first", "cluster-v2", "cluster-off", "own", "none")))
]


@pytest.mark.parametrize("model", WANTED, ids=str)
def test_the_runtime_is_the_one_that_kserve_selects(model: Manifest) -> None:
    cluster = Cluster.with_stock(RUNTIMES)
    choice = choose_runtime(model, Known(cluster.objects, recorded.NAMESPACE))
    try:
        selected = select_runtime(cluster, model, recorded.NAMESPACE)
    except Refused:
        assert choice.problem
    else:
        assert choice.problem == ""
        assert choice.runtime is not None
        assert (name_of(choice.runtime), choice.spec) == (selected.name, {**choice.spec, **selected.spec})


URIS = (
    "s3://b/m",
    "gs://b/m",
    "ftp://h/m",
    "<scheme-placeholder>://m",
    "https://a.blob.core.windows.net/c/m",
    "/mnt/m",
)
NAMES = ("", "default", "wellhead", "wellhead-local-cache", "none")


@pytest.mark.parametrize(
    "changed", [{}, {"disabled": True}, {"spec": {"supportedUriFormats": [{"regex": "("}]}}], ids=str
)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("uri", URIS)
def test_storage_containers_are_chosen_as_kserve_does(uri: str, name: str, changed: Manifest) -> None:
    ours = dict(bundle("base"))
    kept = ours["ClusterStorageContainer", "wellhead"]
    ours["ClusterStorageContainer", "wellhead"] = {
        **kept,
        **changed,
        "spec": {**kept["spec"], **changed.get("spec", {})},
    }
    cluster = Cluster.with_stock(list(ours.values()))
    known, chooser = Known(cluster.objects, recorded.NAMESPACE), Chooser(cluster)
    choice = choose_container(uri, name, known)
    try:
        chooser.by_name(name, uri) if name else chooser.by_uri(uri)
    except KServeError:
        assert choice.problem
    else:
        assert choice.problem == ""
        assert tuple(map(name_of, choice.candidates)) == chooser.candidates
    try:
        validate_uri(uri, Chooser(cluster))
    except KServeError:
        assert is_supported(uri, known) is False
    else:
        assert is_supported(uri, known) is True
