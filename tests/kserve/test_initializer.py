"""The init container and the volumes between it and the server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import NotModelledError, Refused, build, recorded
from tests.kserve.manifests import Manifest
from tests.kserve.mounts import common_parent

VOLUME = "kserve-provision-location"
CONFIG = {"kind": "ConfigMap", "metadata": {"name": "inferenceservice-config", "namespace": "kserve"}}


def pod_of(service: Manifest, *manifests: Manifest) -> Manifest:
    return build(recorded.cluster(*manifests), service).pod


def several(*uris: tuple[str, str | None], **predictor: Any) -> Manifest:
    entries = [{"uri": uri, **({"mountPath": path} if path else {})} for uri, path in uris]
    return recorded.inference_service({"storageUri": None}, storageUris=entries, **predictor)


def mounts(container: Manifest) -> dict[str, tuple[str, bool, str]]:
    """Path → volume, whether it is read-only, and the folder in the volume; without the token."""
    return {
        mount["mountPath"]: (mount["name"], mount.get("readOnly", False), mount.get("subPath", ""))
        for mount in container["volumeMounts"]
        if not mount["mountPath"].startswith("/var/run")
    }


def test_the_model_is_read_only_for_the_server_unless_an_annotation_says_otherwise() -> None:
    service = recorded.inference_service()
    assert mounts(recorded.server(pod_of(service)))["/mnt/models"] == (VOLUME, True, "")
    service["metadata"]["annotations"] = {"storage.kserve.io/readonly": "false"}
    pod = pod_of(service)
    assert mounts(recorded.server(pod))["/mnt/models"] == (VOLUME, False, "")
    assert mounts(recorded.initializer(pod))["/mnt/models"] == (VOLUME, False, "")


def test_a_volume_that_is_declared_under_kserves_name_is_used() -> None:
    memory = {"name": VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "20480Mi"}}
    pod = pod_of(recorded.inference_service(volumes=[memory]))
    found = [volume for volume in pod["spec"]["volumes"] if volume["name"] == VOLUME]
    assert found == [{"name": VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "20Gi"}}]


def test_a_server_that_mounts_it_itself_decides_where_and_how() -> None:
    volume = {"name": VOLUME, "emptyDir": {}}
    model = {"volumeMounts": [{"name": VOLUME, "mountPath": "/models"}]}
    pod = pod_of(recorded.inference_service(model, volumes=[volume]))
    assert mounts(recorded.server(pod))["/models"] == (VOLUME, False, "")
    assert "/mnt/models" not in mounts(recorded.server(pod))
    assert mounts(recorded.initializer(pod)) == {"/mnt/models": (VOLUME, False, "")}


def test_other_init_containers_run_before_it() -> None:
    pod = pod_of(recorded.inference_service(initContainers=[{"name": "first", "image": "i:1"}]))
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["first", "storage-initializer"]


def test_one_with_its_name_suppresses_everything() -> None:
    own = {"name": "storage-initializer", "image": "own:1", "args": ["s3://models/llama", "/mnt/models"]}
    pod = pod_of(recorded.inference_service(initContainers=[own], serviceAccountName="s3-full"))
    assert recorded.initializer(pod)["image"] == "own:1"
    assert "env" not in recorded.initializer(pod)
    assert "/mnt/models" not in mounts(recorded.server(pod))
    assert VOLUME not in [volume["name"] for volume in pod["spec"]["volumes"]]


def test_a_transformer_in_the_same_pod_sees_the_model_too() -> None:
    transformer = {"name": "transformer-container", "image": "t:1"}
    pod = pod_of(recorded.inference_service(containers=[transformer]))
    assert mounts(recorded.named(pod["spec"]["containers"], "transformer-container")) == {
        "/mnt/models": (VOLUME, True, "")
    }


def test_istio_can_change_its_user() -> None:
    service = recorded.inference_service()
    service["metadata"]["annotations"] = {"serving.kserve.io/storage-initializer-uid": "1337"}
    assert recorded.initializer(pod_of(service))["securityContext"]["runAsUser"] == 1337


@pytest.mark.parametrize(
    ("security", "mode", "status", "user"),
    [
        ({}, "REDIRECT", '{"containers": ["istio-proxy"]}', 1337),
        ({"runAsUser": 7}, "REDIRECT", '{"containers": ["istio-proxy"]}', 7),
        ({"runAsUser": 7}, "TPROXY", '{"containers": ["istio-proxy"]}', 1000),
        ({"runAsUser": 7}, "REDIRECT", '{"containers": []}', 1000),
        ({"runAsUser": 7}, "REDIRECT", None, 1000),
    ],
)
def test_where_istio_redirects_without_an_init_container_it_runs_as_the_sidecar(
    security: Manifest, mode: str, status: str | None, user: int
) -> None:
    sidecar = {"name": "istio-proxy", "image": "istio:1", "securityContext": security}
    service = recorded.inference_service(containers=[sidecar])
    service["metadata"]["annotations"] = {"sidecar.istio.io/interceptionMode": mode}
    if status is not None:
        service["metadata"]["annotations"]["sidecar.istio.io/status"] = status
    pod = build(recorded.cluster(), service, "wellhead").pod
    assert recorded.initializer(pod)["securityContext"].get("runAsUser", 1000) == user


@pytest.mark.parametrize(("limits", "selected"), [({"nvidia.com/gpu": "1"}, True), ({}, False)])
def test_gkes_accelerator_is_selected_for_what_has_a_gpu(limits: Manifest, *, selected: bool) -> None:
    service = recorded.inference_service({"resources": {"limits": limits}}, nodeSelector={"zone": "a"})
    service["metadata"]["annotations"] = {"serving.kserve.io/gke-accelerator": "nvidia-h100"}
    wanted = {"zone": "a", **({"cloud.google.com/gke-accelerator": "nvidia-h100"} if selected else {})}
    assert pod_of(service)["spec"]["nodeSelector"] == wanted


@pytest.mark.parametrize(("uri", "folder"), [("pvc://claim", ""), ("pvc://claim/a", "a"), ("pvc://claim/a/b/", "a/b/")])
def test_a_claim_is_mounted_where_the_model_lies(uri: str, folder: str) -> None:
    pod = pod_of(recorded.inference_service({"storageUri": uri}))
    assert "initContainers" not in pod["spec"]
    assert mounts(recorded.server(pod))["/mnt/models"] == ("kserve-pvc-source", True, folder)
    volume = recorded.named(pod["spec"]["volumes"], "kserve-pvc-source")
    assert volume["persistentVolumeClaim"] == {"claimName": "claim"}


class TestSeveralUris:
    def test_one_initializer_gets_pairs_and_one_volume_at_the_common_parent(self) -> None:
        pod = pod_of(several(("s3://models/a", "/mnt/x/a"), ("hf://o/b", "/mnt/x/b/c")))
        assert recorded.initializer(pod)["args"] == ["s3://models/a", "/mnt/x/a", "hf://o/b", "/mnt/x/b/c"]
        assert mounts(recorded.initializer(pod)) == {"/mnt/x": ("mnt-x", False, "")}
        assert mounts(recorded.server(pod))["/mnt/x"] == ("mnt-x", True, "")

    def test_a_path_that_is_not_given_is_the_usual_one(self) -> None:
        pod = pod_of(several(("s3://models/a", None)))
        assert recorded.initializer(pod)["args"] == ["s3://models/a", "/mnt/models"]
        assert mounts(recorded.initializer(pod)) == {"/mnt/models": ("mnt-models", False, "")}

    def test_claims_alone_need_no_initializer_and_lose_their_path(self) -> None:
        outcome = build(recorded.cluster(), several(("pvc://claim/deep/x", "/mnt/a"), ("pvc://other", "/opt/b")))
        assert "initContainers" not in outcome.pod["spec"]
        assert mounts(recorded.server(outcome.pod))["/mnt/a"] == ("mnt-a", True, "")
        assert mounts(recorded.server(outcome.pod))["/opt/b"] == ("opt-b", True, "")
        assert outcome.candidates == ()

    def test_the_storage_container_is_the_one_for_the_first_uri(self) -> None:
        only_ours = recorded.cluster(without=("wellhead",))
        service = several(("runai_streamer://s3://a", "/mnt/a"), ("s3://b", "/mnt/b"))
        with pytest.raises(Refused) as caught:
            build(only_ours, service)
        assert caught.value.stage == "reconcile"
        assert caught.value.message == (
            'fails to create NewRawKubeReconciler for predictor: storage container "storage-initializer" does not '
            "support multi-model download; use the default kserve storage initializer or a compatible storage container"
        )

    def test_one_by_name_that_does_not_exist_is_refused_before_there_is_a_deployment(self) -> None:
        with pytest.raises(Refused) as caught:
            pod_of(several(("s3://a", "/mnt/a"), storageContainerName="nowhere"))
        assert caught.value.stage == "reconcile"
        assert (
            caught.value.message == 'failed to get storage container spec: ClusterStorageContainer "nowhere" not found'
        )

    def test_there_is_no_source_annotation(self) -> None:
        annotations = pod_of(several(("s3://a", "/mnt/a")))["metadata"]["annotations"]
        assert "internal.serving.kserve.io/storage-initializer-sourceuri" not in annotations

    @pytest.mark.parametrize(
        ("parameters", "expected"), [(None, "AWS_ACCESS_KEY_ID"), ({"region": "r"}, "STORAGE_CONFIG")]
    )
    def test_storage_config_counts_only_with_key_and_parameters(
        self, parameters: dict[str, str] | None, expected: str
    ) -> None:
        storage = {"key": "minio", **({"parameters": parameters} if parameters else {})}
        service = several(("s3://a", "/mnt/a"), serviceAccountName="s3-reader")
        service["spec"]["predictor"]["model"]["storage"] = storage
        environment = recorded.environment(recorded.initializer(pod_of(service)))
        assert {"AWS_ACCESS_KEY_ID", "STORAGE_CONFIG"} & environment.keys() == {expected}


@pytest.mark.parametrize(
    ("paths", "parent"),
    [
        (["/mnt/models"], "/mnt/models"),
        (["/mnt/a/x", "/mnt/a/y"], "/mnt/a"),
        (["/mnt/a", "/mnt/a/b"], "/mnt/a"),
        (["/mnt/ab", "/mnt/ac"], "/mnt"),
        (["/a", "/b"], "/"),
    ],
)
def test_common_parents(paths: list[str], parent: str) -> None:
    assert common_parent(paths) == parent


class TestCertificates:
    def bundle(self, pod: Manifest) -> tuple[str, str, Any]:
        """ConfigMap, path of its mount, and what the initializer is told."""
        volume = recorded.named(pod["spec"]["volumes"], "cabundle-cert")
        mount = recorded.named(recorded.initializer(pod)["volumeMounts"], "cabundle-cert")
        environment = recorded.environment(recorded.initializer(pod))
        told = [environment[name] for name in ("CA_BUNDLE_CONFIGMAP_NAME", "CA_BUNDLE_VOLUME_MOUNT_POINT")]
        assert all(mount["name"] != "cabundle-cert" for mount in recorded.server(pod)["volumeMounts"])
        return volume["configMap"]["name"], mount["mountPath"], told

    def config(self, **values: str) -> Manifest:
        shipped = recorded.cluster().find("ConfigMap", "inferenceservice-config", "kserve")
        assert shipped is not None
        text = shipped["data"]["storageInitializer"]
        for name, value in values.items():
            text = text.replace(f'"{name}": ""', f'"{name}": "{value}"')
        return {**CONFIG, "data": {"storageInitializer": text}}

    def test_a_cluster_wide_bundle_has_a_fixed_name_in_the_services_namespace(self) -> None:
        pod = pod_of(recorded.inference_service(), self.config(caBundleConfigMapName="company-ca"))
        assert self.bundle(pod) == (
            "global-ca-bundle",
            "/etc/ssl/custom-certs",
            ["global-ca-bundle", "/etc/ssl/custom-certs"],
        )

    def test_and_its_own_in_kserves(self) -> None:
        service = recorded.inference_service()
        service["metadata"]["namespace"] = "kserve"
        assert self.bundle(pod_of(service, self.config(caBundleConfigMapName="company-ca")))[0] == "company-ca"

    def test_settings_of_a_secret_win(self) -> None:
        keys = {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "k"}
        annotations = {
            "serving.kserve.io/s3-cabundle": "/etc/own/ca.pem",
            "serving.kserve.io/s3-cabundle-configmap": "own-ca",
        }
        manifests = [recorded.secret("own", keys, **annotations), recorded.account("own", "own")]
        service = recorded.inference_service(serviceAccountName="own")
        pod = pod_of(service, *manifests, self.config(caBundleConfigMapName="company-ca"))
        assert self.bundle(pod) == ("own-ca", "/etc/own", ["own-ca", "/etc/own"])

    def test_without_any_there_is_none(self) -> None:
        pod = pod_of(recorded.inference_service(serviceAccountName="s3-reader"))
        assert "CA_BUNDLE_CONFIGMAP_NAME" not in recorded.environment(recorded.initializer(pod))


class TestImages:
    @pytest.mark.parametrize("uri", ["oci+native://r/x:1", "oci+modelcar://r/x:1", "oci+fetch://r/x:1"])
    def test_as_shipped_a_mode_in_the_scheme_mounts_nothing(self, uri: str) -> None:
        pod = pod_of(recorded.inference_service({"storageUri": uri}))
        assert "initContainers" not in pod["spec"]
        assert "/mnt/models" not in mounts(recorded.server(pod))

    def enabled(self, mode: str = "") -> Manifest:
        text = (
            '{"cpuRequest": "1", "cpuLimit": "1", "memoryRequest": "1Gi", "memoryLimit": "1Gi", '
            f'"enableOciModelSupport": true, "ociModelMode": "{mode}"}}'
        )
        return {**CONFIG, "data": {"storageInitializer": text}}

    def test_enabled_an_image_volume_is_mounted(self) -> None:
        service = recorded.inference_service({"storageUri": "oci+native://r/x:1"})
        pod = pod_of(service, self.enabled())
        assert recorded.named(pod["spec"]["volumes"], VOLUME) == {
            "name": VOLUME,
            "image": {"reference": "r/x:1", "pullPolicy": "IfNotPresent"},
        }
        assert mounts(recorded.server(pod))["/mnt/models"] == (VOLUME, True, "models")

    @pytest.mark.parametrize(
        ("uri", "mode"), [("oci+modelcar://r/x:1", ""), ("oci://r/x:1", ""), ("oci://r/x:1", "modelcar")]
    )
    def test_enabled_a_modelcar_runs_beside_the_server(self, uri: str, mode: str) -> None:
        pod = pod_of(recorded.inference_service({"storageUri": uri}), self.enabled(mode))
        assert [each["name"] for each in pod["spec"]["containers"]] == ["kserve-container", "modelcar"]
        assert recorded.named(pod["spec"]["containers"], "modelcar")["image"] == "r/x:1"

    def test_enabled_fetching_is_not_guessed(self) -> None:
        with pytest.raises(NotModelledError):
            pod_of(recorded.inference_service({"storageUri": "oci+fetch://r/x:1"}), self.enabled())

    def test_several_uris_with_an_image_are_not_guessed(self) -> None:
        with pytest.raises(NotModelledError, match="storageUris"):
            pod_of(several(("s3://a", "/mnt/a"), ("oci://r/x:1", "/mnt/b")))

    def test_with_images_switched_off_the_initializer_gets_the_uri(self) -> None:
        off = '{"cpuRequest": "1", "cpuLimit": "1", "memoryRequest": "1Gi", "memoryLimit": "1Gi"}'
        config = {**CONFIG, "data": {"storageInitializer": off}}
        pod = pod_of(recorded.inference_service({"storageUri": "oci://r/x:1"}), config)
        assert recorded.initializer(pod)["args"] == ["oci://r/x:1", "/mnt/models"]
