"""The object itself, as plain data. Pure; like the samples in `servingruntimes/samples`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wellhead_cluster.render.engine_options import for_the_shell
from wellhead_cluster.render.places import Place
from wellhead_cluster.render.sizing import PROBE_SECONDS, Sizes

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """What is known of a service when everything is decided.

    Attributes:
        name: of the object, and of the model.
        place: of the model.
        options: vLLM's.
        gpus: of its pod.
        sizes: of its container; None leaves the runtime's.
        runtime: of an InferenceService.
        mode: what the annotation says; empty leaves it out.
        namespace: empty leaves it out.
        service_account: empty leaves it out.
        labels: of the object and its pod.
    """

    name: str
    place: Place
    options: Sequence[str]
    gpus: int
    sizes: Sizes | None
    runtime: str
    mode: str = ""
    namespace: str = ""
    service_account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def inference_service(service: Service) -> Manifest:
    """An InferenceService in Standard mode."""
    model = {
        "runtime": service.runtime,
        "modelFormat": {"name": "wellhead"},
        "storageUri": service.place.text,
        "args": list(service.options),
        **_container(service),
    }
    predictor = {
        "serviceAccountName": service.service_account,
        "storageContainerName": service.place.storage_container,
        "model": _stated(model),
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(service, {"serving.kserve.io/deploymentMode": "Standard"}),
        "spec": {"predictor": _stated(predictor)},
    }


def llm_inference_service(service: Service) -> Manifest:
    """An LLMInferenceService with one kind of server, on our configs."""
    main = {"name": "main", "args": for_the_shell(service.options), **_container(service)}
    template = {"serviceAccountName": service.service_account, "containers": [_stated(main)]}
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": _metadata(service, {}),
        "spec": {
            "model": {"uri": service.place.text, "name": service.name},
            "baseRefs": [{"name": service.place.config}],
            # Labels of the object do not reach its pods.
            **_stated({"labels": dict(service.labels)}),
            "template": _stated(template),
        },
    }


def _metadata(service: Service, annotations: dict[str, str]) -> Manifest:
    mode = {"wellhead.dev/mode": service.mode} if service.mode else {}
    return _stated(
        {
            "name": service.name,
            "namespace": service.namespace,
            "labels": dict(service.labels),
            "annotations": {**annotations, **mode},
        }
    )


def _container(service: Service) -> Manifest:
    """Resources, and more patience where the runtime's is too short; the probe's address stays the runtime's."""
    sizes = service.sizes
    gpus = {"nvidia.com/gpu": str(service.gpus)} if service.gpus else {}
    limits = {**gpus, **(sizes.limits if sizes else {})}
    resources = _stated({"requests": dict(sizes.requests) if sizes else {}, "limits": limits})
    found: Manifest = {"resources": resources}
    if sizes and sizes.start_seconds:
        found["env"] = [{"name": "VLLM_ENGINE_READY_TIMEOUT_S", "value": str(sizes.start_seconds)}]
        found["startupProbe"] = {
            "periodSeconds": PROBE_SECONDS,
            "failureThreshold": sizes.start_seconds // PROBE_SECONDS,
        }
    return found


def _stated(fields: Manifest) -> Manifest:
    """Without what says nothing."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}
