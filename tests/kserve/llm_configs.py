"""The spec that KServe works with: its own LLMInferenceServiceConfigs, those of `baseRefs`, the service itself."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from functools import reduce
from typing import Any

from tests.kserve.cluster import Cluster
from tests.kserve.errors import NotModelledError, Refused
from tests.kserve.go_json import go_json
from tests.kserve.manifests import Manifest, annotations_of, labels_of, name_of, namespace_of
from tests.kserve.settings import SYSTEM_NAMESPACE
from tests.kserve.strategic_merge import merge
from tests.kserve.template_parser import TemplateError
from tests.kserve.template_run import MISSING, Options, run_template, text_of
from tests.kserve.zero_values import without_zero_values

_LONGEST_NAME = 63
# Fields whose keys are the user's own, and not to be found in any other spelling.
_MAPS = frozenset({"labels", "annotations", "nodeSelector"})
# Of those, the ones that a service's spec has itself: not set, Go can still look into them.
_NIL_MAPS = frozenset({"labels", "annotations"})


def stored_service(service: Manifest) -> Manifest:
    """The service as it is stored: its model has a name.

    Raises:
        Refused: the model's URI is none to Go's net/url, so that KServe's webhooks cannot read the object. A scheme has
            no underscore there (RFC 3986), and what is no scheme is a path. Go's words; what stands before them was
            not seen.
    """
    service = copy.deepcopy(service)
    uri = str(service["spec"]["model"].get("uri") or "")
    first_segment = uri.partition("/")[0]
    if ":" in first_segment and not re.match("[A-Za-z][A-Za-z0-9+.-]*:", uri):
        raise Refused("LLMInferenceService", f'parse "{uri}": first path segment in URL cannot contain colon')
    service["spec"]["model"].setdefault("name", name_of(service))
    return service


def resolve_spec(service: Manifest, cluster: Cluster) -> Manifest:
    """KServe's configs for the shape of the service, then its `baseRefs`, then its own spec, merged and rendered.

    Raises:
        Refused: a config that does not exist, or a placeholder that is none.
    """
    own = without_zero_values(service["spec"])
    references = [reference["name"] for reference in own.get("baseRefs") or []]
    configs = [_config(name, service, cluster) for name in references]
    shape = reduce(merge, [own, *configs])
    stock = [_config(f"kserve-config-llm-{name}", service, cluster) for name in _stock_names(shape)]
    return _rendered(reduce(merge, [*stock, *configs, own]), service)


def is_data_parallel(workload: Manifest) -> bool:
    parallelism = workload.get("parallelism") or {}
    return "data" in parallelism or "dataLocal" in parallelism


def child_name(parent: str, suffix: str) -> str:
    """Knative's ChildName, for names that fit.

    Raises:
        NotModelledError: together they are longer than a name may be; Knative puts a hash in.
    """
    if len(parent) + len(suffix) > _LONGEST_NAME:
        raise NotModelledError(f"a name longer than {_LONGEST_NAME} characters: {parent}{suffix}")
    return parent + suffix


def _config(name: str, service: Manifest, cluster: Cluster) -> Manifest:
    """From the service's namespace, else from KServe's."""
    kind, namespaces = "LLMInferenceServiceConfig", [namespace_of(service), SYSTEM_NAMESPACE]
    for namespace in namespaces:
        found = cluster.find(kind, name, namespace)
        if found is not None:
            spec = without_zero_values(found["spec"])
            assert isinstance(spec, dict)
            return spec
    quoted = ", ".join(f'"{namespace}"' for namespace in namespaces)
    raise Refused(
        "reconcile",
        f'failed to get {kind} "{name}" from namespaces [{quoted}]: {kind}.serving.kserve.io "{name}" not found',
        reason="ConfigNotFound",
    )


def _stock_names(shape: Manifest) -> list[str]:
    names = []
    prefill = shape.get("prefill")
    if prefill is not None:
        names.append(_stock_name(prefill, "prefill-template", "prefill-worker"))
    names.append(
        _stock_name(shape, "template", "worker")
        if prefill is None
        else _stock_name(shape, "decode-template", "decode-worker")
    )
    return [name for name in names if name]


def _stock_name(workload: Manifest, single: str, worker: str) -> str:
    if "worker" not in workload:
        return single
    if is_data_parallel(workload):
        return f"{worker}-data-parallel"
    return f"{worker}-pipeline-parallel" if "pipeline" in (workload.get("parallelism") or {}) else ""


def _rendered(spec: Manifest, service: Manifest) -> Manifest:
    """`{{ .Spec.Model.URI }}` and its like; the data are the service's own spec, without what it was merged with."""
    options = Options(
        show=_shown,
        functions={"ChildName": child_name, "shutdownTimeout": _unknown, "kvTransferConfig": _unknown},
    )
    try:
        text = run_template("config", go_json(spec), _Root(service), options)
        rendered = json.loads(text)
    except TemplateError as error:
        raise Refused("reconcile", f"failed to parse template config: {error}") from None
    except json.JSONDecodeError as error:
        raise Refused("reconcile", f"failed to unmarshal config from template: {error}") from None
    assert isinstance(rendered, dict)
    return rendered


def _shown(value: object) -> str:
    if value is MISSING or value is None or isinstance(value, _Fields):
        raise NotModelledError("a placeholder for something that the LLMInferenceService does not set")
    return text_of(value)


def _unknown(*arguments: object) -> str:
    raise NotModelledError("functions of KServe's own scripts")


@dataclass(frozen=True)
class _Fields:
    """A Go struct, whose fields have the names of JSON keys in another case."""

    values: dict[str, Any]

    def field(self, name: str) -> object:
        key = next((key for key in self.values if key.lower() == name.lower()), None)
        if key is None:
            return {} if name.lower() in _NIL_MAPS else MISSING
        value = self.values[key]
        return _Fields(value) if isinstance(value, dict) and key not in _MAPS else value


@dataclass(frozen=True)
class _Root:
    service: Manifest

    def field(self, name: str) -> object:
        metadata = {
            "name": name_of(self.service),
            "namespace": namespace_of(self.service),
            "labels": labels_of(self.service),
            "annotations": annotations_of(self.service),
        }
        roots: dict[str, dict[str, Any]] = {"Spec": self.service["spec"], "ObjectMeta": metadata, "GlobalConfig": {}}
        if name in roots:
            return _Fields(roots[name])
        if name.lower() in metadata:
            return metadata[name.lower()]
        raise TemplateError(f"can't evaluate field {name} in type struct {{ *v1alpha2.LLMInferenceService; … }}")
