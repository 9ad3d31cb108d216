"""Components for kustomizations that install runtimes and storage containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kserve import Cluster, Outcome, Refused, Release, build, build_all, recorded
from tests.kserve.manifests import Manifest
from tests.unit.manifests import MANIFESTS, PIN, RUNTIMES, Objects, bundle, overlay

STORAGE_CONTAINER = ("ClusterStorageContainer", "wellhead")
STOCK_IMAGE = "kserve/storage-initializer:latest"


def cluster(objects: Objects, *manifests: Manifest, release: Release = Release.V0_20) -> Cluster:
    return Cluster.with_stock([*objects.values(), *manifests], release)


def sklearn() -> Manifest:
    return recorded.inference_service({"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/iris"})


def initializers(cluster: Cluster, service: Manifest) -> list[str]:
    """The images that the service's init container may have."""
    outcomes = build_all(cluster, service)
    return [recorded.initializer(each.pod)["image"] for each in outcomes if isinstance(each, Outcome)]


class TestAutoselect:
    # What KServe 0.20 ships for the two formats.
    def others(self) -> list[Manifest]:
        def runtime(name: str, of_format: str, priority: int, **spec: object) -> Manifest:
            known = [{"name": of_format, "version": "1", "autoSelect": True, "priority": priority}]
            containers = [{"name": "kserve-container", "image": name}]
            spec = {"supportedModelFormats": known, "containers": containers, **spec}
            return {"kind": "ClusterServingRuntime", "metadata": {"name": name}, "spec": spec}

        return [
            runtime("other-vllm", "vLLM", 1),
            runtime("other-huggingface", "huggingface", 1, protocolVersions=["v2", "v1"]),
            runtime("other-multinode", "huggingface", 2, protocolVersions=["v2", "v1"], workerSpec={"containers": []}),
        ]

    def image(self, objects: Objects, model_format: str) -> str:
        service = recorded.inference_service({"modelFormat": {"name": model_format}})
        pod = build(cluster(objects, *self.others()), service, "wellhead").pod
        return str(recorded.server(pod)["image"])

    @pytest.mark.parametrize("model_format", ["vLLM", "huggingface"])
    def test_services_that_name_no_runtime_get_ours(self, model_format: str, tmp_path: Path) -> None:
        assert self.image(bundle("default"), model_format).startswith("other-")
        taken = overlay(tmp_path, "default", components=("autoselect",))
        assert self.image(taken, model_format).startswith("wellhead-runtime:")

    def test_kserves_admission_has_nothing_to_compare(self, tmp_path: Path) -> None:
        """It refuses equal format, version and priority, where both runtimes list a protocol."""
        objects = overlay(tmp_path, "default", components=("autoselect",))
        spec = objects["ClusterServingRuntime", "wellhead-vllm"]["spec"]
        assert "protocolVersions" not in spec
        formats = spec["supportedModelFormats"]
        assert len({each["name"] for each in formats}) == len(formats)
        assert {each["priority"] for each in formats if each["name"] != "wellhead"}.isdisjoint({1, 2})

    def test_the_cpu_runtime_stays_one_by_name(self, tmp_path: Path) -> None:
        objects = overlay(tmp_path, "default", components=("autoselect",))
        key = ("ClusterServingRuntime", "wellhead-vllm-cpu")
        assert objects[key] == bundle("default")[key]


class TestExclusive:
    def test_without_it_a_service_of_another_runtime_gets_either(self) -> None:
        assert initializers(cluster(bundle("default")), sklearn()) == [STOCK_IMAGE, "wellhead-initializer:0.1.0"]

    def test_with_it_every_service_gets_ours(self, tmp_path: Path) -> None:
        known = cluster(overlay(tmp_path, "default", components=("exclusive",)))
        assert initializers(known, sklearn()) == ["wellhead-initializer:0.1.0"]
        for uri in ("gs://b/m", "hf://o/m", "https://host/m.tar", "modelscope://o/m"):
            service = recorded.inference_service({"modelFormat": {"name": "sklearn"}, "storageUri": uri})
            assert build(known, service).candidates == ("wellhead",), uri

    def test_what_our_image_cannot_fetch_stays_with_kserves(self, tmp_path: Path) -> None:
        known = cluster(overlay(tmp_path, "default", components=("exclusive",)))
        for uri in ("hdfs://h/m", "webhdfs://h/m"):
            service = recorded.inference_service({"modelFormat": {"name": "sklearn"}, "storageUri": uri})
            assert initializers(known, service) == [STOCK_IMAGE], uri

    def test_a_service_that_names_kserves_own_is_refused(self, tmp_path: Path) -> None:
        known = cluster(overlay(tmp_path, "default", components=("exclusive",)))
        service = recorded.inference_service(storageContainerName="default")
        with pytest.raises(Refused, match='"default" is disabled'):
            build(known, service)

    def test_ours_asks_nothing_of_another_runtimes_pod(self) -> None:
        outcome = build(cluster(bundle("default")), sklearn(), "wellhead")
        assert "wellhead.dev/engine" not in outcome.pod["metadata"]["annotations"]
        mounts = {each["mountPath"] for each in recorded.initializer(outcome.pod)["volumeMounts"]}
        assert mounts == {"/mnt/models", "/var/run/secrets/kubernetes.io/serviceaccount"}

    def test_paths_of_storage_config_get_ours_even_without_it(self) -> None:
        """Ours has to list what KServe writes for them, and nobody else does."""
        config = recorded.secret("storage-config", {"minio": '{"type": "s3", "bucket": "b"}'})
        storage = {"key": "minio", "path": "iris"}
        service = recorded.inference_service(
            {"modelFormat": {"name": "sklearn"}, "storageUri": None, "storage": storage}
        )
        assert initializers(cluster(bundle("default"), config), service) == ["wellhead-initializer:0.1.0"]


class TestIsolated:
    @pytest.fixture(params=["base", "default"])
    def objects(self, request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
        return overlay(tmp_path, request.param, components=("isolated",))

    def test_the_storage_container_claims_one_scheme_and_has_no_variables(self, objects: Objects) -> None:
        manifest = objects[STORAGE_CONTAINER]
        assert manifest["spec"]["supportedUriFormats"] == [{"prefix": "runai_streamer://"}]
        assert "env" not in manifest["spec"]["container"]
        assert "wellhead.dev/needs" not in manifest["metadata"].get("annotations", {})
        kept = dict(bundle("base")[STORAGE_CONTAINER]["spec"]["container"])
        del kept["env"]
        assert manifest["spec"]["container"] == kept

    def test_nothing_else_is_changed_but_that_there_is_no_pin_and_no_local_cache(self, objects: Objects) -> None:
        expected = {key: each for key, each in bundle("base").items() if "StorageContainer" not in key[0]}
        assert {key: each for key, each in objects.items() if key != STORAGE_CONTAINER} == expected

    @pytest.mark.parametrize("release", list(Release))
    def test_the_scheme_streams_with_injected_credentials(self, objects: Objects, release: Release) -> None:
        sample = bundle("samples/runai-streamer")
        outcome = build(cluster(objects, *sample.values(), release=release), sample["InferenceService", "llama"])
        container = recorded.initializer(outcome.pod)
        assert outcome.candidates == ("wellhead",)
        assert container["image"] == "wellhead-initializer:0.1.0"
        assert container["args"] == ["runai_streamer://s3://models/llama", "/mnt/models"]
        assert "AWS_ACCESS_KEY_ID" in recorded.environment(container)

    @pytest.mark.parametrize("release", list(Release))
    @pytest.mark.parametrize("model_format", ["sklearn", "wellhead"])
    def test_every_other_scheme_stays_kserves(self, objects: Objects, release: Release, model_format: str) -> None:
        service = recorded.inference_service({"modelFormat": {"name": model_format}})
        assert initializers(cluster(objects, release=release), service) == [STOCK_IMAGE]

    def test_without_it_an_older_kserve_breaks_other_peoples_pods(self) -> None:
        sample = bundle("samples/s3")
        known = cluster(bundle("base"), *sample.values(), release=Release.V0_18)
        with pytest.raises(Refused, match="may not have more than one field specified"):
            build(known, sample["InferenceService", "llama"], "wellhead")


class TestNamespaced:
    @pytest.mark.parametrize("name", ["base", "default"])
    def test_nothing_is_left_that_needs_rights_in_the_cluster(self, name: str, tmp_path: Path) -> None:
        objects = overlay(tmp_path, name, components=("namespaced",), namespace="team-a")
        assert sorted(objects) == [("ServingRuntime", name) for name in RUNTIMES]
        for (_, name), manifest in objects.items():
            assert manifest["metadata"]["namespace"] == "team-a"
            assert manifest["spec"] == bundle("base")["ClusterServingRuntime", name]["spec"]

    def test_it_wins_over_the_clusters_runtime_of_that_name(self, tmp_path: Path) -> None:
        own = overlay(
            tmp_path,
            "base",
            components=("namespaced",),
            namespace="team-a",
            images=[{"name": "wellhead-runtime", "newName": "own"}],
        )
        service = recorded.inference_service({"runtime": "wellhead-vllm"})
        pod = build(cluster(bundle("default"), *own.values()), service).pod
        assert recorded.server(pod)["image"] == "own:0.1.0"


class TestOpenshift:
    def test_the_dashboard_knows_the_runtimes(self, tmp_path: Path) -> None:
        objects = overlay(tmp_path, "base", components=("namespaced", "openshift"))
        names = set()
        for name in RUNTIMES:
            manifest = objects["ServingRuntime", name]
            assert manifest["metadata"]["labels"]["opendatahub.io/dashboard"] == "true"
            assert manifest["spec"]["annotations"]["opendatahub.io/kserve-runtime"] == "vllm"
            assert manifest["spec"]["annotations"]["wellhead.dev/engine"] == "vllm"
            names.add(manifest["metadata"]["annotations"]["openshift.io/display-name"])
        assert len(names) == len(RUNTIMES)
        accelerators = "opendatahub.io/recommended-accelerators"
        assert accelerators in objects["ServingRuntime", "wellhead-vllm"]["metadata"]["annotations"]
        assert accelerators not in objects["ServingRuntime", "wellhead-vllm-cpu"]["metadata"]["annotations"]

    def test_no_container_asks_for_a_user(self) -> None:
        """The cluster chooses one for each namespace, and refuses any other."""
        for (_, name), manifest in bundle("default").items():
            container = manifest["spec"].get("container") or manifest["spec"]["containers"][0]
            assert container["securityContext"].keys().isdisjoint({"runAsUser", "runAsGroup"}), name


def test_components_for_installations_go_together(tmp_path: Path) -> None:
    names = ("autoselect", "exclusive", "openshift", "pin-storage-container")
    objects = overlay(tmp_path, "base", components=names)
    runtime = objects["ClusterServingRuntime", "wellhead-vllm"]
    assert runtime["spec"]["annotations"][PIN] == "wellhead"
    assert runtime["spec"]["annotations"]["opendatahub.io/kserve-runtime"] == "vllm"
    assert len(runtime["spec"]["supportedModelFormats"]) == 3
    assert objects["ClusterStorageContainer", "default"]["disabled"] is True


def test_the_readme_names_every_component_sample_and_job() -> None:
    text = (MANIFESTS / "README.md").read_text()
    for kind in ("components", "samples", "jobs"):
        for folder in (MANIFESTS / kind).iterdir():
            assert f"`{folder.name}`" in text or f"`{kind}/{folder.name}/`" in text, folder
