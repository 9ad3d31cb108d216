"""Components for kustomizations with InferenceServices: stores, identities, certificates, caches, network, Knative."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kserve import Cluster, build, recorded
from tests.kserve.manifests import Manifest
from tests.unit.manifests import RUNTIMES, Objects, bundle, overlay

STORES = ("s3-static", "s3-irsa", "gcs-workload-identity", "azure-workload-identity")
NAMESPACE = recorded.NAMESPACE
SERVICE = ("InferenceService", "llama")


def applied(folder: Path, *components: str, uri: str = "s3://models/llama", **predictor: object) -> Objects:
    """A service of a team that says nothing of credentials, with components."""
    service = recorded.inference_service({"storageUri": uri}, storageContainerName="wellhead", **predictor)
    return overlay(folder, components=components, own=(service,), namespace=NAMESPACE)


def pod(objects: Objects, *manifests: Manifest) -> Manifest:
    cluster = Cluster.with_stock([*bundle("default").values(), *objects.values(), *manifests])
    return build(cluster, objects[SERVICE]).pod


def server_variables(pod: Manifest) -> set[str]:
    return set(recorded.environment(recorded.server(pod)))


class TestStores:
    def test_static_keys_reach_the_initializer_and_nobody_else(self, tmp_path: Path) -> None:
        made = pod(applied(tmp_path, "s3-static"))
        variables = recorded.environment(recorded.initializer(made))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert variables[name] == {"secretKeyRef": {"name": "s3-models", "key": name}}
        assert variables["AWS_ENDPOINT_URL"] == "http://minio.minio.svc:9000"
        assert variables["AWS_DEFAULT_REGION"] == "us-east-1"

    def test_keys_are_placeholders(self, tmp_path: Path) -> None:
        secret = applied(tmp_path, "s3-static")["Secret", "s3-models"]
        assert secret["stringData"] == dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "replace-me")

    def test_a_role_brings_settings_and_no_keys(self, tmp_path: Path) -> None:
        objects = applied(tmp_path, "s3-irsa")
        assert "eks.amazonaws.com/role-arn" in objects["ServiceAccount", "s3-models"]["metadata"]["annotations"]
        variables = recorded.environment(recorded.initializer(pod(objects)))
        assert variables["AWS_DEFAULT_REGION"] == "eu-central-1"
        assert variables.keys().isdisjoint({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"})

    def test_google_knows_the_account(self, tmp_path: Path) -> None:
        objects = applied(tmp_path, "gcs-workload-identity", uri="gs://models/llama")
        account = objects["ServiceAccount", pod(objects)["spec"]["serviceAccountName"]]
        assert "iam.gke.io/gcp-service-account" in account["metadata"]["annotations"]

    def test_azure_knows_account_and_pod(self, tmp_path: Path) -> None:
        objects = applied(tmp_path, "azure-workload-identity", uri="az://models/llama", labels={"team": "a"})
        made = pod(objects)
        account = objects["ServiceAccount", made["spec"]["serviceAccountName"]]
        assert "azure.workload.identity/client-id" in account["metadata"]["annotations"]
        assert made["metadata"]["labels"]["azure.workload.identity/use"] == "true"
        assert made["metadata"]["labels"]["team"] == "a"

    @pytest.mark.parametrize("component", STORES)
    def test_the_engine_gets_no_variable_from_any_of_them(self, component: str, tmp_path: Path) -> None:
        assert server_variables(pod(applied(tmp_path, component))) == {
            *("HOME", "WELLHEAD_CACHE_DIR", "INFERENCE_SERVICE_NAME")
        }

    @pytest.mark.parametrize("component", STORES)
    def test_accounts_are_in_the_services_namespace(self, component: str, tmp_path: Path) -> None:
        for key, manifest in applied(tmp_path, component).items():
            assert manifest["metadata"]["namespace"] == NAMESPACE, key


class TestPrivateAuthority:
    @pytest.mark.parametrize("store", ["s3-static", "s3-irsa"])
    def test_the_initializer_gets_the_certificates_for_s3(self, store: str, tmp_path: Path) -> None:
        objects = applied(tmp_path, store, "private-ca")
        made = pod(objects)
        (volume,) = [each for each in made["spec"]["volumes"] if "configMap" in each]
        config_map = objects["ConfigMap", volume["configMap"]["name"]]
        assert list(config_map["data"]) == ["cabundle.crt"], "the name that initializers look for"
        mount = recorded.named(recorded.initializer(made)["volumeMounts"], volume["name"])
        variables = recorded.environment(recorded.initializer(made))
        assert variables["CA_BUNDLE_VOLUME_MOUNT_POINT"] == mount["mountPath"]

    def test_other_stores_get_them_where_kserve_is_told_to(self, tmp_path: Path) -> None:
        told = {
            "kind": "ConfigMap",
            "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
            "data": {
                "storageInitializer": '{"caBundleConfigMapName": "x", "cpuLimit": "1", "memoryLimit": "1Gi", '
                '"cpuRequest": "1", "memoryRequest": "1Gi"}'
            },
        }
        objects = applied(tmp_path, "gcs-workload-identity", "private-ca", uri="gs://models/llama")
        variables = recorded.environment(recorded.initializer(pod(objects, told)))
        assert ("ConfigMap", variables["CA_BUNDLE_CONFIGMAP_NAME"]) in objects


class TestCompileCache:
    def test_the_runtimes_own_folder_lies_in_the_claim(self, tmp_path: Path) -> None:
        objects = applied(tmp_path, "compile-cache")
        made = pod(objects)
        folder = recorded.environment(recorded.server(made))["WELLHEAD_CACHE_DIR"]
        (mount,) = [each for each in recorded.server(made)["volumeMounts"] if each["mountPath"] == folder]
        assert not mount.get("readOnly")
        claim = recorded.named(made["spec"]["volumes"], mount["name"])["persistentVolumeClaim"]["claimName"]
        assert objects["PersistentVolumeClaim", claim]["spec"]["accessModes"] == ["ReadWriteMany"]

    def test_the_runtimes_user_may_write_there(self, tmp_path: Path) -> None:
        made = pod(applied(tmp_path, "compile-cache", securityContext={"runAsUser": 3000}))
        assert made["spec"]["securityContext"] == {
            "runAsUser": 3000,
            "fsGroup": 2000,
            "fsGroupChangePolicy": "OnRootMismatch",
        }

    def test_a_service_with_volumes_of_its_own_is_refused_and_loses_none(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="testing value /spec/predictor/volumes failed"):
            applied(tmp_path, "compile-cache", volumes=[{"name": "own", "emptyDir": {}}])


class TestNetworkPolicy:
    @pytest.fixture
    def objects(self, tmp_path: Path) -> Objects:
        return applied(tmp_path, "s3-static", "network-policy")

    def ports(self, objects: Objects, direction: str) -> set[tuple[str, int]]:
        rules = objects["NetworkPolicy", "wellhead"]["spec"][direction]
        return {(each["protocol"], each["port"]) for rule in rules for each in rule["ports"]}

    def test_it_is_for_the_pods_of_our_runtimes_and_no_others(self, objects: Objects) -> None:
        selected = objects["NetworkPolicy", "wellhead"]["spec"]["podSelector"]["matchLabels"].items()
        assert selected <= pod(objects)["metadata"]["labels"].items()
        other = applied_sklearn()
        assert not selected <= other["metadata"]["labels"].items()

    def test_only_the_servers_port_is_open(self, objects: Objects) -> None:
        (port,) = recorded.server(pod(objects))["ports"]
        assert self.ports(objects, "ingress") == {("TCP", port["containerPort"])}

    def test_names_stores_and_identities_can_be_reached(self, objects: Objects) -> None:
        endpoint = recorded.environment(recorded.initializer(pod(objects)))["AWS_ENDPOINT_URL"]
        needed = {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 80), ("TCP", int(endpoint.rpartition(":")[2]))}
        assert needed <= self.ports(objects, "egress")
        assert objects["NetworkPolicy", "wellhead"]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def applied_sklearn() -> Manifest:
    service = recorded.inference_service({"modelFormat": {"name": "sklearn"}})
    return build(Cluster.with_stock(list(bundle("default").values())), service).pod


def test_knative_waits_longer_than_the_startup_probe(tmp_path: Path) -> None:
    annotations = applied(tmp_path, "knative")[SERVICE]["metadata"]["annotations"]
    assert annotations["serving.kserve.io/deploymentMode"] == "Knative"
    deadline = annotations["serving.knative.dev/progress-deadline"]
    assert deadline.endswith("s"), "Go's durations"
    for name in RUNTIMES:
        (container,) = bundle("default")["ClusterServingRuntime", name]["spec"]["containers"]
        probe = container["startupProbe"]
        assert int(deadline[:-1]) > probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize("store", STORES)
def test_components_for_services_go_together(store: str, tmp_path: Path) -> None:
    together = (store, "private-ca", "compile-cache", "network-policy", "knative")
    objects, in_reverse = applied(tmp_path, *together), applied(tmp_path, store, *reversed(together[1:]))
    assert objects == in_reverse
    predictor = objects[SERVICE]["spec"]["predictor"]
    assert predictor["serviceAccountName"].endswith("-models")
    assert predictor["volumes"]
    assert objects[SERVICE]["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"
