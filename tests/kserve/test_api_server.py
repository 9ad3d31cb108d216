"""What Kubernetes itself adds to Deployments and pods, and what it refuses in what KServe's merges leave."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import Refused, build, recorded
from tests.kserve.manifests import Manifest

HTTP = {"httpGet": {"path": "/x", "port": 1}}


def pod_of(service: Manifest, *manifests: Manifest) -> Manifest:
    return build(recorded.cluster(*manifests), service).pod


def refusal(model: dict[str, Any] | None = None, **predictor: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        pod_of(recorded.inference_service(model, **predictor))
    return caught.value


@pytest.mark.parametrize(
    ("model", "predictor", "problem"),
    [
        (
            {"readinessProbe": {"tcpSocket": {"port": 8080}}},
            {},
            "containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            {},
            {"containers": [{"name": "a", "image": "i", "startupProbe": {"periodSeconds": 5}}]},
            "containers[1].startupProbe: Required value: must specify a handler type",
        ),
        (
            {},
            {"volumes": [{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]},
            "volumes[1].ephemeral: Forbidden: may not specify more than 1 volume type",
        ),
        (
            {},
            {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
            'containers[2].name: Duplicate value: "a"',
        ),
        (
            {"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]},
            {},
            'containers[0].volumeMounts[0].name: Not found: "nowhere"',
        ),
        (
            {"resources": {"limits": {"cpu": "1"}}},
            {},
            'containers[0].resources.requests: Invalid value: "4": must be less than or equal to cpu limit of 1',
        ),
        ({}, {"containers": [{"name": "sidecar"}]}, "containers[1].image: Required value"),
    ],
)
def test_a_deployment_that_is_refused(model: dict[str, Any], predictor: dict[str, Any], problem: str) -> None:
    refused = refusal(model, **predictor)
    what = 'Deployment.apps "llama-predictor" is invalid: spec.template.spec.'
    assert (refused.stage, refused.reason) == ("reconcile", "ReconcileFailed")
    assert refused.message == f"fails to reconcile predictor: {what}{problem}"


def test_several_problems_are_listed() -> None:
    refused = refusal({"readinessProbe": {"exec": {"command": ["x"]}}, "livenessProbe": {"tcpSocket": {"port": 1}}})
    assert ".readinessProbe.httpGet: Forbidden" in refused.message
    assert "is invalid: [spec.template.spec.containers[0].livenessProbe.tcpSocket: Forbidden" in refused.message


def test_a_port_that_collides_only_in_the_service_is_refused_there() -> None:
    unnamed = refusal({"ports": [{"containerPort": 9000}]})
    assert unnamed.message == (
        'fails to reconcile predictor: Service "llama-predictor" is invalid: spec.ports[0].name: Required value'
    )


def test_a_reasonable_request_of_a_gpu_needs_its_limit() -> None:
    refused = refusal({"resources": {"requests": {"nvidia.com/gpu": "1"}}})
    assert refused.message.endswith(
        "resources.limits: Required value: Limit must be set for non overcommitable resources"
    )


def test_what_is_limited_is_requested_in_the_pod_but_not_in_the_template() -> None:
    outcome = build(recorded.cluster(), recorded.inference_service({"resources": {"limits": {"memory": "64Gi"}}}))
    template = outcome.workloads[0]["spec"]["template"]
    assert recorded.server(template)["resources"]["requests"] == {"cpu": "4", "memory": "32Gi"}
    sidecar = {"name": "s", "image": "i:1", "resources": {"limits": {"cpu": "1"}}}
    pod = pod_of(recorded.inference_service(containers=[sidecar]))
    assert recorded.named(pod["spec"]["containers"], "s")["resources"]["requests"] == {"cpu": "1"}


def test_kserve_pulls_what_it_has_not_and_kubernetes_what_is_latest() -> None:
    images = [{"name": "a", "image": "i:latest"}, {"name": "b", "image": "i"}]
    init = [
        {"name": "c", "image": "i:latest"},
        {"name": "d", "image": "r:5000/i"},
        {"name": "e", "image": "r:5000/i:1"},
    ]
    spec = pod_of(recorded.inference_service(containers=images, initContainers=init))["spec"]
    policies = {each["name"]: each["imagePullPolicy"] for each in [*spec["containers"], *spec["initContainers"]]}
    assert (policies["a"], policies["b"]) == ("IfNotPresent", "IfNotPresent")
    assert (policies["c"], policies["d"], policies["e"]) == ("Always", "Always", "IfNotPresent")


def test_a_server_without_probe_or_ports_gets_a_probe_of_port_8080() -> None:
    service = recorded.inference_service({"modelFormat": {"name": "sklearn"}, "ports": [{"containerPort": 7000}]})
    assert recorded.server(pod_of(service))["readinessProbe"]["tcpSocket"] == {"port": 7000}


def test_volumes_get_their_defaults() -> None:
    volumes = [
        {"name": "a"},
        {"name": "b", "secret": {"secretName": "s"}},
        {"name": "c", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "e", "hostPath": {"path": "/x"}},
        {"name": "f", "image": {"reference": "r/i:1"}},
        {"name": "g", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
    ]
    found = pod_of(recorded.inference_service(volumes=volumes))["spec"]["volumes"]
    assert recorded.named(found, "a")["emptyDir"] == {}
    assert recorded.named(found, "b")["secret"]["defaultMode"] == 420
    assert recorded.named(found, "c")["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"
    assert recorded.named(found, "d")["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    assert recorded.named(found, "e")["hostPath"]["type"] == ""
    assert recorded.named(found, "f")["image"]["pullPolicy"] == "IfNotPresent"
    assert recorded.named(found, "g")["ephemeral"]["volumeClaimTemplate"]["spec"]["volumeMode"] == "Filesystem"


def test_a_pod_that_tolerates_everything_needs_no_more() -> None:
    pod = pod_of(recorded.inference_service(tolerations=[{"operator": "Exists"}]))
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_one_token_volume_serves_every_container() -> None:
    pod = pod_of(recorded.inference_service(initContainers=[{"name": "first", "image": "i:1"}]))
    containers = [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]
    paths = [[mount["name"] for mount in each["volumeMounts"]].count("kube-api-access-xxxxx") for each in containers]
    assert paths == [1] * len(containers)
    names = [volume["name"] for volume in pod["spec"]["volumes"]]
    assert names.count("kube-api-access-xxxxx") == 1


def test_an_account_may_have_no_token_and_its_own_pull_secrets() -> None:
    account = recorded.account("own")
    account |= {"automountServiceAccountToken": False, "imagePullSecrets": [{"name": "registry"}]}
    pod = pod_of(recorded.inference_service(serviceAccountName="own"), account)
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert "kube-api-access-xxxxx" not in [volume["name"] for volume in pod["spec"]["volumes"]]


def test_a_priority_class_has_a_number() -> None:
    high = {"kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
    pod = pod_of(recorded.inference_service(priorityClassName="high"), high)
    assert pod["spec"]["priority"] == 1000


def test_a_strategy_of_the_services_own_is_kept() -> None:
    outcome = build(recorded.cluster(), recorded.inference_service(deploymentStrategy={"type": "Recreate"}))
    assert outcome.workloads[0]["spec"]["strategy"] == {"type": "Recreate"}
    assert outcome.workloads[0]["spec"]["progressDeadlineSeconds"] == 600
