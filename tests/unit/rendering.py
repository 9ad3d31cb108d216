"""Services as `wellhead render` makes them, and what KServe makes of those."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from tests.kserve import Cluster, build
from tests.kserve.manifests import Manifest
from tests.unit.builders import WEIGHTS, downloaded_plan, make_plan
from tests.unit.llm_services import LLM
from tests.unit.llm_services import rendered as llm_configs
from tests.unit.manifests import bundle
from tests.unit.schemas import EXCEPTIONS, Schemas
from wellhead_cluster.render.places import place_of
from wellhead_cluster.render.run import Rendered, Request, compose, render
from wellhead_runtime.plan_report import PlanReport
from wellhead_storage.plan import PlannedFile, Weights

GIB = 2**30
# Samples have no labels there, users may: the same Go file as the other fields'.
_LLM = "V1alpha2LLMInferenceServiceSpec"
_EXCEPTIONS = {**EXCEPTIONS, _LLM: {**EXCEPTIONS[_LLM], "labels": "dict(str, str)"}}


@cache
def schemas() -> Schemas:
    return Schemas(_EXCEPTIONS)


def weights(gib: float, largest_gib: float = 1.0) -> Weights:
    """Of a checkpoint with one shard."""
    files = (PlannedFile(name="model.safetensors", size=int(gib * GIB)),)
    tensor = int(largest_gib * GIB)
    changes = {"files": files, "total_bytes": int(gib * GIB), "largest_tensor_bytes": tensor}
    return WEIGHTS.model_copy(update=changes)


def report(gib: float | None, mode: str = "stream", largest_gib: float = 1.0, **changes: Any) -> PlanReport:
    """What a look at a model says; without a size it has to be fetched to be seen."""
    plan = make_plan if mode == "stream" else downloaded_plan
    size = None if gib is None else int(gib * GIB)
    whole: dict[str, Any] = {
        "plan": plan(weights=weights(gib or 0, largest_gib)),
        "objects": 5,
        "object_bytes": size,
        "archive_bytes": None,
        "disk_bytes": size if mode == "download" else 10 << 20,
        "weight_memory_bytes": size,
        "buffer_bytes": int(largest_gib * GIB) if mode == "stream" else 0,
        "command": "",
        "arguments": (),
        "environment": {},
    }
    return PlanReport(**(whole | changes))


def sized(found: PlanReport, **request: Any) -> Rendered:
    """Rendered after that look."""
    asked = _asked(request)
    return compose(asked, place_of(asked.uri, llm=asked.llm), found)


def unsized(**request: Any) -> Manifest:
    """Rendered without a look."""
    return manifest(render(_asked({"probe": False} | request), {}))


def _asked(fields: dict[str, Any]) -> Request:
    return Request(**({"uri": "s3://models/llama", "name": "llama"} | fields))


def manifest(rendered: Rendered) -> Manifest:
    (found,) = yaml.safe_load_all(rendered.text)
    return dict(found)


def pod(service: Manifest, *others: Manifest) -> Manifest:
    """The pod in a cluster with Wellhead's own objects, whatever KServe's dice say; neither has an unknown field."""
    cluster = Cluster.with_stock([*bundle("default").values(), *llm_configs(LLM), *others])
    outcome = build(cluster, service)
    assert set(outcome.candidates) <= {"wellhead"}
    assert [fault for each in (service, outcome.pod) for fault in schemas().faults(each)] == []
    return outcome.pod
