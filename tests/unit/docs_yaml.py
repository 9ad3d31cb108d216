"""The YAML in the pages: whole objects, kustomizations, and parts of objects that the reader puts into their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.kserve import Refused, build
from tests.kserve.manifests import Manifest
from tests.support.llm_d_chart import ROLES
from tests.unit.docs_blocks import Block
from tests.unit.manifests import bundle
from tests.unit.pages import applied, cluster_with
from tests.unit.rendering import schemas
from wellhead_cluster.catalog.backstage import check_entities
from wellhead_cluster.catalog.model_checks import check_models

SERVICES = ("InferenceService", "LLMInferenceService")
# Values of our chart: tests/chart/test_helm_page.py renders them with the chart itself.
RENDERED_BY_HELM = ("docs/helm.md", "servingruntimes/chart/wellhead/README.md")
# Entities of Backstage, and no objects of Kubernetes.
BACKSTAGE = "backstage.io/v1alpha1"


def yaml_faults(block: Block, folder: Path) -> list[str]:
    """What is wrong with a block.

    Args:
        block: of language YAML.
        folder: an empty one.
    """
    try:
        documents = [each for each in yaml.safe_load_all(block.text) if each is not None]
    except yaml.YAMLError as error:
        return [f"no YAML: {error}"]
    if not documents or not all(isinstance(each, dict) for each in documents):
        return ["no objects"]
    if len(documents) == 1 and _is_kustomization(documents[0]):
        return _kustomization_faults(block.text, folder)
    if all({"apiVersion", "kind"} <= each.keys() for each in documents):
        if {each["apiVersion"] for each in documents} == {BACKSTAGE}:
            return [str(problem) for problem in check_entities(documents)]
        return _object_faults(documents)
    return _part_faults(block.page, documents[0])


def _is_kustomization(document: Manifest) -> bool:
    return document.get("kind") == "Kustomization" or ("kind" not in document and "resources" in document)


def _kustomization_faults(text: str, folder: Path) -> list[str]:
    """It has to render, to objects of the installation without an unknown field."""
    try:
        manifests = applied(text, folder)
    except OSError as error:
        return [f"kustomize refuses it: {error}"]
    kinds = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    missing = [f"{kind} {name} of the installation is lost" for kind, name in bundle("default").keys() - kinds]
    return missing + [fault for each in manifests for fault in schemas().faults(each)]


def _object_faults(objects: list[Manifest]) -> list[str]:
    """Every field has to be known, and every service to get its pods."""
    faults = []
    for each in objects:
        try:
            faults += schemas().faults(each)
        except LookupError as error:
            faults.append(str(error))
    return faults or [fault for each in objects if each["kind"] in SERVICES for fault in _service_faults(each, objects)]


def _service_faults(service: Manifest, objects: list[Manifest]) -> list[str]:
    others = [each for each in objects if each["kind"] not in SERVICES]
    try:
        outcome = build(cluster_with([*others, service]), service)
    except Refused as refused:
        return [f"KServe refuses it: {refused}"]
    if not set(outcome.candidates) <= {"wellhead"}:
        return [f"it may get the init container of {', '.join(outcome.candidates)}"]
    return [fault for pod in outcome.pods for fault in schemas().faults(pod)]


def _part_faults(page: str, part: Manifest) -> list[str]:
    if page in RENDERED_BY_HELM:
        return []
    if part.keys() == {"models"}:
        return [str(problem) for problem in check_models(part)]
    if part.keys() & set(ROLES):
        return [fault for role in ROLES if role in part for fault in schemas().faults(_llm_d_pod(part[role]))]
    if part.keys() <= {"metadata", "template"}:
        spec = {"spec": {name: value for name, value in part.items() if name != "metadata"}}
        whole = {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService", **part, **spec}
        whole.pop("template", None)
        return schemas().faults(whole)
    return [f"nobody knows what these are: {', '.join(part)}"]


def _llm_d_pod(role: Mapping[str, Any]) -> Manifest:
    """What llm-d's chart copies of a role into its pods, with what the other values bring."""
    containers = [{"name": "vllm", "image": "vllm", **each} for each in role.get("containers", [{}])]
    spec = {**role.get("extraConfig", {}), "containers": containers, "volumes": role.get("volumes", [])}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "llama"}, "spec": spec}


def files_written(text: str) -> set[str]:
    """Files that a page has the reader write: the first comment of a block names one."""
    return set(re.findall(r"^ *# ([\w-]+(?:/[\w-]+)?\.yaml)$", text, re.MULTILINE))
