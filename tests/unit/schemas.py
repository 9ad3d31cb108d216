"""What Kubernetes and KServe themselves say of an object's fields: JSON schemas, to which an unknown field is a fault.

Kubernetes' are in the wheel `kubernetes-validate`, in a strict edition. KServe's are made from the models of its Python
SDK (wheel `kserve`). Each is a file with one class, which says which attributes an object has, of which types, with
which names in JSON, and which of them have to be there. The files are read and not imported: `import kserve` starts
with the whole model server, and needs all of its dependencies.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.kserve.manifests import Manifest

# Of the API server that the recordings are from. A field that only newer ones know is a fault.
KUBERNETES = "1.34.0"

Fields = dict[str, str]
Schema = dict[str, Any]

# What the SDK lacks: models that it names and does not have. In its own words: their fields with the types.
# Sources: pkg/apis/serving/v1alpha2/llm_inference_service_types.go of KServe, of which only what is in use is here, and
# for V1alpha1LocalModelInfo the recording of a LocalModelNode (tests/data/kserve/cases/local-model-cache.yaml).
EXCEPTIONS: Mapping[str, Fields] = {
    "V1alpha2LLMInferenceServiceSpec": {
        "baseRefs": "list[V1LocalObjectReference]",
        "model": "LLMModelSpec",
        "parallelism": "ParallelismSpec",
        "prefill": "WorkloadSpec",
        "router": "RouterSpec",
        "storageInitializer": "StorageInitializerSpec",
        "template": "V1PodSpecInPart",
        "worker": "V1PodSpecInPart",
    },
    "WorkloadSpec": {"replicas": "int", "template": "V1PodSpecInPart", "worker": "V1PodSpecInPart"},
    "LLMModelSpec": {"lora": "LoRASpec", "name": "str", "uri": "str"},
    "LoRASpec": {"adapters": "list[LLMModelSpec]"},
    "ParallelismSpec": {"data": "int", "dataLocal": "int", "tensor": "int"},
    "StorageInitializerSpec": {"enabled": "bool"},
    "RouterSpec": {"gateway": "NothingInside", "route": "NothingInside", "scheduler": "NothingInside"},
    "NothingInside": {},
    "V1alpha1LocalModelInfo": {
        "modelName": "str",
        "nodeGroup": "str",
        "serviceAccountName": "str",
        "sourceModelUri": "str",
    },
}

_OF_KUBERNETES, _OF_KSERVE = "https://kubernetes.io/api/_definitions.json", "https://kserve.io/models.json"
_GROUPS = ("io.k8s.api.core.v1", "io.k8s.apimachinery.pkg.apis.meta.v1")
_PLAIN: dict[str, Schema] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "ResourceQuantity": {"$ref": f"{_OF_KUBERNETES}#/$defs/io.k8s.apimachinery.pkg.api.resource.Quantity"},
}


@dataclass(frozen=True)
class _Model:
    """The types of an object's fields, by their names in JSON, and which of them have to be there."""

    fields: Fields
    required: tuple[str, ...] = ()


class Schemas:
    """Those of Kubernetes and KServe together.

    Args:
        exceptions: fields to add to the SDK's models, or models to add to the SDK.
    """

    def __init__(self, exceptions: Mapping[str, Fields] = EXCEPTIONS) -> None:
        self._models = dict(_sdk())
        for name, fields in exceptions.items():
            known = self._models.get(name, _Model({}))
            self._models[name] = _Model({**known.fields, **fields}, known.required)
        kserve = {"$id": _OF_KSERVE, "$defs": {name: self._object(model) for name, model in self._models.items()}}
        documents = {_OF_KUBERNETES: _kubernetes(), _OF_KSERVE: kserve}
        resources = [(uri, DRAFT202012.create_resource(each)) for uri, each in documents.items()]
        self._registry: Registry[Any] = Registry().with_resources(resources).crawl()

    def faults(self, manifest: Manifest) -> list[str]:
        """What is wrong with an object's fields, each with its path.

        Raises:
            LookupError: neither Kubernetes nor KServe has such a kind.
        """
        validator = Draft202012Validator(self._of_kind(manifest), registry=self._registry)
        return sorted(f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest))

    def _of_kind(self, manifest: Manifest) -> Schema:
        group, _, version = str(manifest["apiVersion"]).rpartition("/")
        model = f"{version.capitalize()}{manifest['kind']}"
        if group == "serving.kserve.io" and model in self._models:
            return {"$ref": f"{_OF_KSERVE}#/$defs/{model}"}
        wanted = {"group": group, "version": version, "kind": manifest["kind"]}
        for name, definition in _kubernetes()["$defs"].items():
            if wanted in definition.get("x-kubernetes-group-version-kind", ()):
                return {"$ref": f"{_OF_KUBERNETES}#/$defs/{name}"}
        raise LookupError(f"there is no schema for {manifest['kind']} of {manifest['apiVersion']}")

    def _object(self, model: _Model) -> Schema:
        return {
            "type": "object",
            "properties": {name: self._value(of_type) for name, of_type in model.fields.items()},
            "required": list(model.required),
            "additionalProperties": False,
        }

    def _value(self, of_type: str) -> Schema:
        """The schema of a type in the SDK's words; of one that nobody describes, the schema that refuses everything."""
        if of_type in _PLAIN:
            return _PLAIN[of_type]
        if element := re.fullmatch(r"list\[(.+)\]", of_type):
            return {"type": "array", "items": self._value(element[1])}
        if element := re.fullmatch(r"dict\(str, (.+)\)", of_type):
            return {"type": "object", "additionalProperties": self._value(element[1])}
        if of_type in self._models:
            return {"$ref": f"{_OF_KSERVE}#/$defs/{of_type}"}
        for name in (f"{group}.{of_type.removeprefix('V1')}" for group in _GROUPS):
            if name in _kubernetes()["$defs"]:
                return {"$ref": f"{_OF_KUBERNETES}#/$defs/{name}"}
        return {"not": {}}


@cache
def _kubernetes() -> Schema:
    """Kubernetes' definitions of all objects and their parts.

    Besides them a pod's spec without containers. A real API server took such templates in LLMInferenceServices, where
    configs bring the containers (tests/data/kserve/cases/llm-multi-node.yaml).
    """
    folder = _wheel("kubernetes-validate") / "kubernetes-json-schema" / f"v{KUBERNETES}-local-strict"
    definitions: Schema = json.loads((folder / "_definitions.json").read_text())
    pod = definitions["$defs"][f"{_GROUPS[0]}.PodSpec"]
    definitions["$defs"][f"{_GROUPS[0]}.PodSpecInPart"] = {**pod, "required": []}
    return definitions


@cache
def _sdk() -> dict[str, _Model]:
    """The models of KServe's SDK, by name."""
    files = (_wheel("kserve") / "models").glob("*.py")
    trees = [ast.parse(file.read_text()) for file in files if file.name != "__init__.py"]
    return {each.name: _model(each) for tree in trees for each in tree.body if isinstance(each, ast.ClassDef)}


def _model(generated: ast.ClassDef) -> _Model:
    dicts = {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in generated.body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    types, names = dicts["openapi_types"], dicts["attribute_map"]
    # The setter of an attribute that has to be there: if ….client_side_validation and ATTRIBUTE is None: raise …
    required = tuple(
        names[condition.values[1].left.id]
        for condition in ast.walk(generated)
        if isinstance(condition, ast.BoolOp)
        and isinstance(condition.values[0], ast.Attribute)
        and condition.values[0].attr == "client_side_validation"
        and isinstance(condition.values[1], ast.Compare)
        and isinstance(condition.values[1].ops[0], ast.Is)
        and isinstance(condition.values[1].left, ast.Name)
    )
    return _Model({names[attribute]: of_type for attribute, of_type in types.items()}, required)


def _wheel(package: str) -> Path:
    """Where an installed package is, without importing it, or a folder of tests that has the same name."""
    return Path(str(metadata.distribution(package).locate_file(package.replace("-", "_"))))
