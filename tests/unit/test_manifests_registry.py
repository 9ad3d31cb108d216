"""`model-registry://` beside Kubeflow: whose storage container a pod gets, and what Kubeflow's controller looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kserve import Cluster, Outcome, Refused, build, build_all, recorded
from tests.kserve.manifests import Manifest
from tests.unit.manifests import bundle
from tests.unit.pages import applied, blocks

OURS, THEIRS = "wellhead", "model-registry-storage-initializer"
URI = "model-registry://llama/v1"
# manifests/kustomize/options/csi/clusterstoragecontainer.yaml of kubeflow/hub: no workloadType, no second model.
KUBEFLOW: Manifest = {
    "apiVersion": "serving.kserve.io/v1alpha1",
    "kind": "ClusterStorageContainer",
    "metadata": {"name": THEIRS},
    "spec": {
        "container": {
            "name": "storage-initializer",
            "image": "ghcr.io/kubeflow/hub/storage-initializer:latest",
            "env": [
                {
                    "name": "MODEL_REGISTRY_BASE_URL",
                    "value": "model-registry-service.kubeflow.svc.cluster.local:8080",
                }
            ],
            "resources": {"requests": {"memory": "100Mi", "cpu": "100m"}, "limits": {"memory": "1Gi", "cpu": "1"}},
        },
        "supportedUriFormats": [{"prefix": "model-registry://"}],
    },
}
# Its controller's defaults (pkg/inferenceservice-controller of kubeflow/hub).
LABELS = {
    f"modelregistry.kubeflow.org/{name}" for name in ("registered-model-id", "model-version-id", "name", "namespace")
}


def outcomes(service: Manifest, *installed: Manifest) -> list[Outcome | Refused]:
    """Every pod that KServe may make of a service, where both are installed."""
    manifests = installed or tuple(bundle("default").values())
    return build_all(Cluster.with_stock([*manifests, KUBEFLOW, service]), service)


def images(service: Manifest, *installed: Manifest) -> set[str]:
    """Of the init container, over all throws of the dice."""
    found = set()
    for each in outcomes(service, *installed):
        assert isinstance(each, Outcome), each
        found.add(recorded.initializer(each.pod)["image"].partition(":")[0].rpartition("/")[2])
    return found


def of_our_runtime(**predictor: object) -> Manifest:
    return recorded.inference_service({"storageUri": URI, "runtime": "wellhead-vllm"}, **predictor)


def of_scikit_learn(**predictor: object) -> Manifest:
    return recorded.inference_service({"storageUri": URI, "modelFormat": {"name": "sklearn"}}, **predictor)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        pytest.param(of_our_runtime(), {"wellhead-initializer"}, id="our runtime names ours"),
        pytest.param(of_our_runtime(storageContainerName=OURS), {"wellhead-initializer"}, id="named"),
        pytest.param(of_our_runtime(storageContainerName=THEIRS), {"storage-initializer"}, id="theirs named"),
        pytest.param(of_scikit_learn(storageContainerName=OURS), {"wellhead-initializer"}, id="named by others"),
        pytest.param(of_scikit_learn(storageContainerName=THEIRS), {"storage-initializer"}, id="theirs by others"),
        pytest.param(of_scikit_learn(), {"wellhead-initializer", "storage-initializer"}, id="dice"),
    ],
)
def test_whose_init_container_a_service_gets(service: Manifest, expected: set[str]) -> None:
    assert images(service) == expected


def test_without_pinned_runtimes_the_dice_are_thrown_for_ours_too() -> None:
    base = tuple(bundle("base").values())
    assert images(of_our_runtime(), *base) == {"wellhead-initializer", "storage-initializer"}
    assert images(of_our_runtime(storageContainerName=OURS), *base) == {"wellhead-initializer"}


def test_whoever_gets_theirs_knows_the_registry_that_it_names() -> None:
    [outcome] = outcomes(of_our_runtime(storageContainerName=THEIRS))
    assert isinstance(outcome, Outcome)
    variables = recorded.environment(recorded.initializer(outcome.pod))
    assert variables["MODEL_REGISTRY_BASE_URL"] == "model-registry-service.kubeflow.svc.cluster.local:8080"
    assert "WELLHEAD_ENGINE" not in variables


class TestPrefixLeftToKubeflow:
    @pytest.fixture
    def installed(self, tmp_path: Path) -> tuple[Manifest, ...]:
        [kustomization] = [each for each in blocks("model-registry", kustomizations=True) if "op: remove" in each]
        return tuple(applied(kustomization, tmp_path))

    def test_others_always_get_theirs(self, installed: tuple[Manifest, ...]) -> None:
        assert images(of_scikit_learn(), *installed) == {"storage-initializer"}

    def test_our_runtime_is_refused(self, installed: tuple[Manifest, ...]) -> None:
        with pytest.raises(Refused, match='"wellhead" does not support storageUri "model-registry://llama/v1"'):
            build(Cluster.with_stock([*installed, KUBEFLOW, of_our_runtime()]), of_our_runtime())


class TestController:
    SERVICE = ("InferenceService", "llama")

    def test_the_sample_has_the_labels_it_looks_for(self) -> None:
        labels = bundle("samples/model-registry")[self.SERVICE]["metadata"]["labels"]
        assert labels.keys() == LABELS
        assert labels["modelregistry.kubeflow.org/name"] == "model-registry-service"
        uri = bundle("samples/model-registry")[self.SERVICE]["spec"]["predictor"]["model"]["storageUri"]
        assert uri.endswith(f"?namespace={labels['modelregistry.kubeflow.org/namespace']}")

    def test_a_label_that_it_adds_changes_the_pods_template(self) -> None:
        objects = bundle("samples/model-registry")
        service = objects[self.SERVICE]
        label = "modelregistry.kubeflow.org/inference-service-id"
        metadata = {**service["metadata"], "labels": {**service["metadata"]["labels"], label: "7"}}
        cluster = Cluster.with_stock([*bundle("default").values(), *objects.values()])
        [workload] = build(cluster, {**service, "metadata": metadata}).workloads
        assert workload["spec"]["template"]["metadata"]["labels"][label] == "7"
