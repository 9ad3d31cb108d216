"""The manifests, rendered by the kustomize inside kubectl, hold what KServe's behaviour demands of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kserve.manifests import Manifest
from tests.unit.manifests import MANIFESTS, PIN, REPOSITORY, RESTRICTED, RUNTIMES, bundle, overlay, rendered

BUNDLES = ("base", "default")
STORAGE_CONTAINERS = ("wellhead", "wellhead-local-cache")


def runtime(name: str, of: str = "default") -> Manifest:
    spec = bundle(of)["ClusterServingRuntime", name]["spec"]
    assert isinstance(spec, dict)
    return spec


def serving_container(name: str, of: str = "default") -> Manifest:
    (container,) = runtime(name, of)["containers"]
    assert isinstance(container, dict)
    return container


def storage_container(name: str = "wellhead") -> Manifest:
    spec = bundle("default")["ClusterStorageContainer", name]["spec"]
    assert isinstance(spec, dict)
    return spec


def every_container(of: str) -> dict[str, Manifest]:
    containers = {name: serving_container(name, of) for name in RUNTIMES}
    stored = {name: bundle(of)["ClusterStorageContainer", name]["spec"]["container"] for name in STORAGE_CONTAINERS}
    return {**containers, **stored}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_has_these_objects_and_no_others(name: str) -> None:
    assert sorted(bundle(name)) == [
        ("ClusterServingRuntime", "wellhead-vllm"),
        ("ClusterServingRuntime", "wellhead-vllm-cpu"),
        ("ClusterStorageContainer", "wellhead"),
        ("ClusterStorageContainer", "wellhead-local-cache"),
    ]
    for manifest in bundle(name).values():
        assert manifest["apiVersion"] == "serving.kserve.io/v1alpha1"
        component = "model-server" if "Runtime" in manifest["kind"] else "storage-initializer"
        assert manifest["metadata"]["labels"] == {
            "app.kubernetes.io/name": "wellhead",
            "app.kubernetes.io/part-of": "wellhead",
            "app.kubernetes.io/component": component,
        }
        assert "namespace" not in manifest["metadata"]


@pytest.mark.parametrize("name", RUNTIMES)
def test_only_default_pins_the_storage_container(name: str) -> None:
    assert PIN not in runtime(name, "base")["annotations"]
    assert runtime(name, "default")["annotations"][PIN] == "wellhead"


def test_default_differs_from_base_in_nothing_but_the_pin() -> None:
    for name in RUNTIMES:
        pinned = {**runtime(name), "annotations": dict(runtime(name)["annotations"])}
        del pinned["annotations"][PIN]
        assert pinned == runtime(name, "base")
    for name in STORAGE_CONTAINERS:
        assert bundle("base")["ClusterStorageContainer", name]["spec"] == storage_container(name)


@pytest.mark.parametrize("of", BUNDLES)
@pytest.mark.parametrize("name", [*RUNTIMES, *STORAGE_CONTAINERS])
def test_every_container_fits_into_a_restricted_namespace(name: str, of: str) -> None:
    container = every_container(of)[name]
    assert container["securityContext"] == RESTRICTED
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("name", [*RUNTIMES, *STORAGE_CONTAINERS])
def test_a_variable_has_one_source(name: str) -> None:
    variables = every_container("default")[name]["env"]
    assert len({variable["name"] for variable in variables}) == len(variables)
    for variable in variables:
        assert len(variable.keys() & {"value", "valueFrom"}) == 1, variable
        assert isinstance(variable.get("value", ""), str), "a bare number or yes would be refused"


def test_the_storage_container_is_one_that_kserve_can_merge() -> None:
    spec = storage_container()
    container = spec["container"]
    assert spec["workloadType"] == "initContainer"
    assert spec["supportsMultiModelDownload"] is True
    assert container["name"] == "storage-initializer", "under another name KServe injects it twice"
    assert "args" not in container, "they would replace URI and folder"
    assert "command" not in container, "the image's entry point knows what to do"
    assert "volumeMounts" not in container, "other people's pods have no volume of ours"
    # What is not named here is taken from KServe's ConfigMap: one CPU.
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}


def test_storage_containers_say_which_kserve_they_need() -> None:
    for name in STORAGE_CONTAINERS:
        metadata = bundle("default")["ClusterStorageContainer", name]["metadata"]
        assert metadata["annotations"] == {"wellhead.dev/needs": "KServe 0.20 or newer"}


def test_the_one_for_local_caches_leaves_a_whole_model_and_its_manifest() -> None:
    spec = storage_container("wellhead-local-cache")
    container = spec["container"]
    assert spec["workloadType"] == "localModelDownloadJob"
    assert container["image"] == storage_container()["container"]["image"]
    assert container["env"] == [
        {"name": "WELLHEAD_MANIFEST", "value": "always"},
        {"name": "WELLHEAD_LOG_FORMAT", "value": "json"},
    ]
    assert container["resources"] == storage_container()["container"]["resources"]
    assert container.keys().isdisjoint({"args", "command", "volumeMounts"})


def test_the_one_for_local_caches_lists_what_can_be_downloaded() -> None:
    formats, others = storage_container("wellhead-local-cache")["supportedUriFormats"], storage_container()
    kept = [entry for entry in others["supportedUriFormats"] if entry in formats]
    assert kept == formats, "a service finds the model by the same URI"
    left_out = {entry["prefix"] for entry in others["supportedUriFormats"] if entry not in formats}
    assert left_out == {
        *("runai_streamer://", "file://", "pvc://", "<scheme-placeholder>://"),
        *("oci://", "oci+native://", "oci+fetch://", "oci+modelcar://"),
    }


def test_the_storage_container_learns_of_the_service_through_annotations() -> None:
    variables = {variable["name"]: variable for variable in storage_container()["container"]["env"]}
    assert variables.keys() == {"WELLHEAD_MODE", "WELLHEAD_LOADER", "WELLHEAD_ENGINE", "WELLHEAD_LOG_FORMAT"}
    for name, annotation in {"WELLHEAD_MODE": "mode", "WELLHEAD_LOADER": "loader", "WELLHEAD_ENGINE": "engine"}.items():
        path = variables[name]["valueFrom"]["fieldRef"]["fieldPath"]
        assert path == f"metadata.annotations['wellhead.dev/{annotation}']"


def test_the_storage_container_lists_what_a_pinned_one_has_to_list() -> None:
    formats = storage_container()["supportedUriFormats"]
    prefixes = {entry["prefix"] for entry in formats if "prefix" in entry}
    assert prefixes == {
        "runai_streamer://",
        *("s3://", "gs://", "az://", "abfs://", "abfss://"),
        *("hf://", "model-registry://", "modelscope://", "file://"),
        *("pvc://", "oci://", "oci+native://", "oci+fetch://", "oci+modelcar://"),
        "<scheme-placeholder>://",
    }
    assert [entry["regex"] for entry in formats if "regex" in entry] == ["https?://(.+)/(.+)"]


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_starts_wellhead_on_the_mounted_folder(name: str) -> None:
    container = serving_container(name)
    assert container["name"] == "kserve-container"
    assert container["command"] == ["wellhead", "serve"]
    assert container["args"] == ["--port=8080", "--served-model-name={{.Name}}", "--model=/mnt/models"]
    assert container["ports"] == [{"containerPort": 8080, "name": "http1", "protocol": "TCP"}]
    assert runtime(name)["annotations"]["wellhead.dev/engine"] == "vllm"
    assert runtime(name)["annotations"]["prometheus.io/port"] == "8080"


@pytest.mark.parametrize("name", RUNTIMES)
def test_knative_accepts_the_serving_container(name: str) -> None:
    assert all("valueFrom" not in variable for variable in serving_container(name)["env"])


@pytest.mark.parametrize("name", RUNTIMES)
def test_probes_ask_the_engine_and_wait_an_hour(name: str) -> None:
    container = serving_container(name)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": 8080}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 3600
    assert "initialDelaySeconds" not in startup


@pytest.mark.parametrize("name", RUNTIMES)
def test_everything_an_engine_writes_is_a_volume(name: str) -> None:
    container = serving_container(name)
    volumes = {volume["name"]: volume["emptyDir"] for volume in runtime(name)["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert len(mounts) == len(volumes)
    assert mounts["/dev/shm"] == {"medium": "Memory"}
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert {"/tmp", variables["HOME"], variables["WELLHEAD_CACHE_DIR"]} <= mounts.keys()
    assert f"HOME={variables['HOME']} " in (REPOSITORY / "Dockerfile").read_text()


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_inference_service_that_names_one_limit_inherits_no_other(name: str) -> None:
    assert "limits" not in serving_container(name)["resources"]


def test_the_runtimes_collide_with_no_other() -> None:
    automatic = []
    for name in RUNTIMES:
        spec = runtime(name)
        assert "protocolVersions" not in spec
        assert "serving.kserve.io/server-type" not in spec["annotations"]
        formats = spec["supportedModelFormats"]
        assert {each["name"] for each in formats} == {"wellhead", "vLLM"}
        automatic += [(name, each["name"]) for each in formats if each["autoSelect"]]
    assert automatic == [("wellhead-vllm", "wellhead")]


def test_only_the_cpu_runtime_knows_of_the_cpu_build() -> None:
    gpu, cpu = (serving_container(name) for name in RUNTIMES)
    assert {variable["name"] for variable in cpu["env"]} - {variable["name"] for variable in gpu["env"]} == {
        "VLLM_CPU_KVCACHE_SPACE"
    }
    assert cpu["image"].startswith("wellhead-runtime-cpu:")
    assert gpu["image"].startswith("wellhead-runtime:")


def test_an_overlay_can_set_every_image(tmp_path: Path) -> None:
    names = ("wellhead-initializer", "wellhead-runtime", "wellhead-runtime-cpu")
    images = [{"name": name, "newName": f"registry.example/{name}", "newTag": "9"} for name in names]
    specs = [each["spec"] for each in overlay(tmp_path, "default", images=images).values()]
    found = [container["image"] for spec in specs for container in spec.get("containers", [spec.get("container")])]
    assert {f"registry.example/{name}:9" for name in names} == set(found)
    assert len(found) == len(RUNTIMES) + len(STORAGE_CONTAINERS)


KUSTOMIZATIONS = sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml"))


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: str(folder.relative_to(MANIFESTS)))
def test_every_kustomization_renders_and_says_what_it_is_for(folder: Path) -> None:
    text = (folder / "kustomization.yaml").read_text()
    assert text.startswith("# ")
    if "\nkind: Component\n" not in text:  # which changes another one, and is nothing by itself
        assert rendered(folder)


# Those of the charts, ours and llm-d's, are values and templates, and have tests of their own.
FILES = sorted(file for file in MANIFESTS.rglob("*.yaml") if not {"chart", "llm-d"} & set(file.parts))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(MANIFESTS)))
def test_every_file_belongs_to_a_kustomization(file: Path) -> None:
    text = (file.parent / "kustomization.yaml").read_text()
    named = re.search(rf"^(- |  path: ){re.escape(file.name)}$", text, re.MULTILINE)
    assert file.name == "kustomization.yaml" or named
