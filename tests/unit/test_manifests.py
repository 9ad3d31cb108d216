"""The manifests, rendered by the kustomize inside kubectl, hold what KServe's behaviour demands of them."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "servingruntimes"
KUBECTL = Path(sys.executable).with_name("kubectl")
PIN = "internal.serving.kserve.io/storage-container-name"
RUNTIMES = ("wellhead-vllm", "wellhead-vllm-cpu")
BUNDLES = ("base", "default")

Manifest = dict[str, Any]


def kustomize(folder: Path) -> list[Manifest]:
    finished = subprocess.run(
        [KUBECTL, "kustomize", folder], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert finished.returncode == 0, finished.stderr
    return list(yaml.safe_load_all(finished.stdout))


@cache
def bundle(name: str) -> dict[tuple[str, str], Manifest]:
    return {(each["kind"], each["metadata"]["name"]): each for each in kustomize(MANIFESTS / name)}


def runtime(name: str, of: str = "default") -> Manifest:
    spec = bundle(of)["ClusterServingRuntime", name]["spec"]
    assert isinstance(spec, dict)
    return spec


def serving_container(name: str, of: str = "default") -> Manifest:
    (container,) = runtime(name, of)["containers"]
    assert isinstance(container, dict)
    return container


def storage_container() -> Manifest:
    spec = bundle("default")["ClusterStorageContainer", "wellhead"]["spec"]
    assert isinstance(spec, dict)
    return spec


def every_container(of: str) -> dict[str, Manifest]:
    containers = {name: serving_container(name, of) for name in RUNTIMES}
    return {**containers, "wellhead": bundle(of)["ClusterStorageContainer", "wellhead"]["spec"]["container"]}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_has_these_objects_and_no_others(name: str) -> None:
    assert sorted(bundle(name)) == [
        ("ClusterServingRuntime", "wellhead-vllm"),
        ("ClusterServingRuntime", "wellhead-vllm-cpu"),
        ("ClusterStorageContainer", "wellhead"),
    ]
    for manifest in bundle(name).values():
        assert manifest["apiVersion"] == "serving.kserve.io/v1alpha1"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/part-of"] == "wellhead"
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
    assert bundle("base")["ClusterStorageContainer", "wellhead"]["spec"] == storage_container()


@pytest.mark.parametrize("of", BUNDLES)
@pytest.mark.parametrize("name", [*RUNTIMES, "wellhead"])
def test_every_container_fits_into_a_restricted_namespace(name: str, of: str) -> None:
    container = every_container(of)[name]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("name", [*RUNTIMES, "wellhead"])
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


def test_the_storage_container_learns_of_the_service_through_annotations() -> None:
    variables = {variable["name"]: variable for variable in storage_container()["container"]["env"]}
    assert variables.keys() == {"WELLHEAD_MODE", "WELLHEAD_ENGINE", "WELLHEAD_LOG_FORMAT"}
    for name, annotation in {"WELLHEAD_MODE": "mode", "WELLHEAD_ENGINE": "engine"}.items():
        path = variables[name]["valueFrom"]["fieldRef"]["fieldPath"]
        assert path == f"metadata.annotations['wellhead.dev/{annotation}']"


def test_the_storage_container_lists_what_a_pinned_one_has_to_list() -> None:
    formats = storage_container()["supportedUriFormats"]
    prefixes = {entry["prefix"] for entry in formats if "prefix" in entry}
    assert prefixes == {
        "runai_streamer://",
        *("s3://", "gs://", "az://", "abfs://", "abfss://"),
        *("hf://", "model-registry://", "hdfs://", "webhdfs://", "modelscope://", "file://"),
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
    overlay = {
        "resources": [_relative(MANIFESTS / "default", tmp_path)],
        "images": [{"name": name, "newName": f"registry.example/{name}", "newTag": "9"} for name in names],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    rendered = {(each["kind"], each["metadata"]["name"]): each["spec"] for each in kustomize(tmp_path)}
    images = [spec["container"]["image"] for (kind, _), spec in rendered.items() if "Storage" in kind]
    images += [spec["containers"][0]["image"] for (kind, _), spec in rendered.items() if "Runtime" in kind]
    assert sorted(images) == sorted(f"registry.example/{name}:9" for name in names)


def test_the_sample_fits_together() -> None:
    rendered = {each["kind"]: each for each in kustomize(MANIFESTS / "samples" / "s3")}
    assert rendered.keys() == {"Secret", "ServiceAccount", "InferenceService"}
    secret, account, service = (rendered[kind] for kind in ("Secret", "ServiceAccount", "InferenceService"))
    predictor = service["spec"]["predictor"]
    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert predictor["serviceAccountName"] == account["metadata"]["name"]
    assert account["secrets"] == [{"name": secret["metadata"]["name"]}]
    assert secret["stringData"] == dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "replace-me")
    model = predictor["model"]
    assert model["storageUri"].startswith("s3://")
    assert model["runtime"] in RUNTIMES
    formats = {each["name"] for each in runtime(model["runtime"])["supportedModelFormats"]}
    assert model["modelFormat"]["name"] in formats


def _relative(path: Path, start: Path) -> str:
    """kustomize takes no absolute paths."""
    up = len(start.resolve().parts) - 1
    return "../" * up + path.resolve().relative_to("/").as_posix()
