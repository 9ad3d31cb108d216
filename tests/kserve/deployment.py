"""The Deployment of an InferenceService in Standard mode, and the ports of its Service."""

from __future__ import annotations

import copy

from tests.kserve.manifests import Manifest, named
from tests.kserve.names import MAIN, TRANSFORMER
from tests.kserve.predictor import Template


def build_deployment(template: Template, predictor: Manifest) -> Manifest:
    """With KServe's defaults, but not yet the API server's."""
    pod = copy.deepcopy(template.spec)
    for container in pod["containers"]:
        container.setdefault("imagePullPolicy", "IfNotPresent")
        if container["name"] in {MAIN, TRANSFORMER}:
            container.setdefault("readinessProbe", _tcp_probe(container))
    metadata = {"labels": dict(template.labels), "annotations": dict(template.annotations)}
    named_metadata = {"name": template.name, "namespace": template.namespace, **metadata}
    spec: Manifest = {
        "selector": {"matchLabels": {"app": template.labels["app"]}},
        "template": {"metadata": copy.deepcopy(named_metadata), "spec": pod},
    }
    strategy = copy.deepcopy(predictor.get("deploymentStrategy"))
    if strategy:
        spec["strategy"] = strategy
    if template.annotations.get("serving.kserve.io/autoscalerClass") == "external" and "minReplicas" in predictor:
        spec["replicas"] = predictor["minReplicas"]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named_metadata, "spec": spec}


def service_ports(template: Template) -> list[Manifest]:
    """Port 80 for the first port of the first container (or the transformer), every other under its own number."""
    containers = template.spec["containers"]
    container = named(containers, TRANSFORMER) or containers[0]
    ports = container.get("ports") or [{"containerPort": 8080, "name": template.name}]
    return [
        {"name": port.get("name", ""), "port": 80 if index == 0 else port["containerPort"]}
        for index, port in enumerate(ports)
    ]


def _tcp_probe(container: Manifest) -> Manifest:
    ports = container.get("ports") or [{"containerPort": 8080}]
    return {"tcpSocket": {"port": ports[0]["containerPort"]}}
