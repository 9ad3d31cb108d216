"""kustomize is the source of truth: for the same settings the chart renders the same objects."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.chart.rendering import CHART, NAMESPACE, render
from tests.kserve import recorded
from tests.kserve.manifests import Manifest
from tests.unit.manifests import MANIFESTS, Objects, overlay

# All that may differ, as the chart's README says.
HELM_LABELS = (
    "helm.sh/chart",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
)
HELM_ANNOTATIONS = ("helm.sh/resource-policy",)

KEYS = {"accessKeyId": "replace-me", "secretAccessKey": "replace-me"}
S3_STATIC = {"endpoint": "minio.minio.svc:9000", "useHttps": False, "region": "us-east-1", **KEYS}
S3_IRSA = {"roleArn": "arn:aws:iam::123456789012:role/replace-me", "region": "eu-central-1"}
GCS = {"googleServiceAccount": "replace-me@project.iam.gserviceaccount.com"}
AZURE = {"clientId": "00000000-0000-0000-0000-000000000000"}
PEM = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"
SERVICE = recorded.annotated(
    recorded.inference_service({"args": ["--max-model-len=8192"]}, minReplicas=1, labels={"team": "a"}),
    **{"wellhead.dev__mode": "stream"},
)


class Case(NamedTuple):
    """The same settings in both.

    Attributes:
        components: the chart's components that are on, with their parameters.
        install: the folders that install something, and the components on top of them.
        serve: components of the release's InferenceService.
        values: the chart's other values.
        fields: what a user's kustomization says for the same.
    """

    components: Mapping[str, Mapping[str, Any]]
    install: tuple[str, ...] = ()
    on_top: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()
    values: Mapping[str, Any] = {}
    fields: Mapping[str, Any] = {}


def patch(kind: str, *operations: tuple[str, str, object], name: str = ".*") -> dict[str, Any]:
    """A user's patch in a kustomization."""
    steps = [{"op": op, "path": path, "value": value} for op, path, value in operations]
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps(steps)}


def installed(of: str = "default", *on_top: str, **components: Mapping[str, Any]) -> Case:
    return Case(components, (of,), on_top)


def served(*serve: str, **components: Mapping[str, Any]) -> Case:
    return Case(components, serve=serve)


ON: dict[str, Any] = {}
SINGLE = {
    "autoselect": installed("default", "autoselect", autoselect=ON),
    "azure-workload-identity": served("azure-workload-identity", azureWorkloadIdentity=AZURE),
    "compile-cache": served("compile-cache", compileCache=ON),
    "exclusive": installed("default", "exclusive", exclusive=ON),
    "gcs-workload-identity": served("gcs-workload-identity", gcsWorkloadIdentity=GCS),
    "isolated": installed("default", "isolated", isolated=ON),
    "knative": served("knative", knative=ON),
    "namespaced": installed("default", "namespaced", namespaced=ON),
    "network-policy": served("network-policy", networkPolicy=ON),
    "openshift": installed("default", "openshift", openshift=ON),
    "pin-storage-container": installed("base", "pin-storage-container", pinStorageContainer=ON),
    "private-ca": served("private-ca", privateCa={"certificates": PEM}),
    "s3-irsa": served("s3-irsa", s3Irsa=S3_IRSA),
    "s3-static": served("s3-static", s3Static=S3_STATIC),
}
LLM = {"llm": {"enabled": True}}
DIGEST = f"sha256:{'0' * 64}"
IMAGES = Case(
    {},
    ("default", "llm"),
    values={
        **LLM,
        "images": {
            "registry": "r.example/ml",
            "initializer": {"tag": "9"},
            "runtime": {"repository": "own", "digest": DIGEST},
            "runtimeCpu": {"tag": "9"},
        },
    },
    fields={
        "images": [
            {"name": "wellhead-initializer", "newName": "r.example/ml/wellhead-initializer", "newTag": "9"},
            {"name": "wellhead-runtime", "newName": "r.example/ml/own", "digest": DIGEST},
            {"name": "wellhead-runtime-cpu", "newName": "r.example/ml/wellhead-runtime-cpu", "newTag": "9"},
        ]
    },
)
SETTINGS = Case(
    {},
    ("default",),
    values={
        "loadFormat": "safetensors",
        "extraArgs": ["--max-model-len=8192"],
        "extraEnv": [{"name": "A", "value": "1"}],
        "sharedMemorySize": "8Gi",
        "images": {"pullSecrets": ["registry"]},
        "initializer": {"resources": {"limits": {"memory": "4Gi"}}, "extraEnv": [{"name": "B", "value": "2"}]},
        "runtimes": {"gpu": {"nodeSelector": {"gpu": "h100"}}, "cpu": {"kvCacheGiB": 8}},
    },
    fields={
        "patches": [
            patch(
                "ClusterServingRuntime",
                ("add", "/spec/annotations/wellhead.dev~1mode", "download"),
                ("add", "/spec/containers/0/args/-", "--load-format=safetensors"),
                ("add", "/spec/containers/0/args/-", "--max-model-len=8192"),
                ("add", "/spec/containers/0/env/-", {"name": "A", "value": "1"}),
                ("add", "/spec/volumes/0/emptyDir/sizeLimit", "8Gi"),
                ("add", "/spec/imagePullSecrets", [{"name": "registry"}]),
            ),
            patch("ClusterServingRuntime", ("add", "/spec/nodeSelector", {"gpu": "h100"}), name="wellhead-vllm"),
            patch(
                "ClusterServingRuntime", ("replace", "/spec/containers/0/env/2/value", "8"), name="wellhead-vllm-cpu"
            ),
            patch(
                "ClusterStorageContainer",
                ("replace", "/spec/container/resources/limits/memory", "4Gi"),
                ("add", "/spec/container/env/-", {"name": "B", "value": "2"}),
            ),
        ]
    },
)
CASES = {
    "nothing set": installed(),
    **SINGLE,
    "no pin": Case({"pinStorageContainer": {"enabled": False}}, ("base",)),
    "llm": Case({}, ("default", "llm"), values=LLM),
    "llm for older KServe's neighbours": Case({"isolated": ON}, ("default", "llm"), ("isolated",), values=LLM),
    "images": IMAGES,
    "settings": SETTINGS,
    "all for an installation": installed(
        "default", "autoselect", "exclusive", "openshift", autoselect=ON, exclusive=ON, openshift=ON
    ),
    "a project of OpenShift": installed(
        "base", "namespaced", "openshift", "autoselect", namespaced=ON, openshift=ON, autoselect=ON
    ),
    "older KServe, chosen for others": installed("base", "isolated", "autoselect", isolated=ON, autoselect=ON),
    "all for services, with keys": served(
        *("s3-static", "private-ca", "compile-cache", "network-policy", "knative"),
        s3Static=S3_STATIC,
        privateCa={"certificates": PEM},
        compileCache=ON,
        networkPolicy=ON,
        knative=ON,
    ),
    "all for services, with a role": served(
        "s3-irsa", "private-ca", "compile-cache", s3Irsa=S3_IRSA, privateCa={"certificates": PEM}, compileCache=ON
    ),
    "Azure with a cache on Knative": served(
        *("azure-workload-identity", "compile-cache", "knative"),
        azureWorkloadIdentity=AZURE,
        compileCache=ON,
        knative=ON,
    ),
}


def values_of(case: Case) -> dict[str, Any]:
    values: dict[str, Any] = copy.deepcopy(dict(case.values))
    values["components"] = {name: {"enabled": True, **of} for name, of in case.components.items()}
    if not case.install:
        off: dict[str, Any] = {"enabled": False}
        values |= {"storageContainer": off, "localCache": off, "runtimes": {"gpu": off, "cpu": off}}
    if case.serve:
        metadata = SERVICE["metadata"]
        own = {"annotations": metadata["annotations"], "spec": SERVICE["spec"]}
        values["inferenceServices"] = {metadata["name"]: own}
    return values


def kustomized(case: Case, folder: Path) -> Objects:
    objects: Objects = {}
    for name in ("install", "serve"):
        (folder / name).mkdir()
    if case.install:
        # `namespace` would be written into objects of the cluster, too: kustomize does not know KServe's kinds.
        fields: dict[str, Any] = {**case.fields}
        if "namespaced" in case.on_top:
            fields["namespace"] = NAMESPACE
        objects |= overlay(folder / "install", *case.install, components=case.on_top, **fields)
    if case.serve:
        certificates = patch("ConfigMap", ("replace", "/data/cabundle.crt", PEM))
        objects |= overlay(
            folder / "serve",
            components=case.serve,
            own=(SERVICE,),
            namespace=NAMESPACE,
            patches=[certificates] if "private-ca" in case.serve else [],
        )
    return objects


def without_helms_own(objects: Objects) -> Objects:
    stripped = copy.deepcopy(objects)
    for manifest in stripped.values():
        _drop(manifest["metadata"], "labels", HELM_LABELS)
        _drop(manifest["metadata"], "annotations", HELM_ANNOTATIONS)
    return stripped


def _drop(metadata: Manifest, field: str, names: tuple[str, ...]) -> None:
    left = {key: value for key, value in metadata.get(field, {}).items() if key not in names}
    metadata.pop(field, None)
    if left:
        metadata[field] = left


@pytest.mark.parametrize("name", CASES)
def test_chart_and_kustomize_agree(name: str, tmp_path: Path) -> None:
    assert without_helms_own(render(values_of(CASES[name])).objects) == kustomized(CASES[name], tmp_path)


def test_every_component_is_a_toggle_and_is_compared() -> None:
    folders = {folder.name for folder in (MANIFESTS / "components").iterdir()}
    assert folders == SINGLE.keys()
    toggles = {name for case in SINGLE.values() for name in case.components}
    assert toggles == default_values()["components"].keys()


def default_values() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def test_every_object_has_helms_labels() -> None:
    for key, manifest in render({**LLM, "components": {"exclusive": {"enabled": True}}}).objects.items():
        labels = manifest["metadata"]["labels"]
        assert [labels[name] for name in HELM_LABELS] == ["wellhead-0.1.0", "wellhead", "Helm", "0.1.0"], key


def test_what_may_differ_is_what_the_readme_says() -> None:
    readme = (CHART / "README.md").read_text()
    for name in (*HELM_LABELS, *HELM_ANNOTATIONS):
        assert f"`{name}`" in readme
