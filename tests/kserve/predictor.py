"""The pod template that KServe's controller makes of an InferenceService and its runtime."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from tests.kserve.containers import merge_runtime_container
from tests.kserve.errors import KServeError, NotModelledError, Refused
from tests.kserve.go_json import go_json
from tests.kserve.image_tags import update_image
from tests.kserve.manifests import (
    Manifest,
    annotations_of,
    labels_of,
    name_of,
    named,
    namespace_of,
    set_variable,
    variable,
)
from tests.kserve.names import (
    MAIN,
    SCHEME_PLACEHOLDER,
    SERVICE_LABEL,
    SOURCE_URI,
    STORAGE_CONTAINER,
    STORAGE_SPEC,
    STORAGE_SPEC_KEY,
    STORAGE_SPEC_PARAMETERS,
    TRANSFORMER,
)
from tests.kserve.placeholders import replace_placeholders
from tests.kserve.runtimes import Runtime
from tests.kserve.settings import Settings
from tests.kserve.storage_containers import Chooser
from tests.kserve.storage_uris import validate_uri
from tests.kserve.strategic_merge import merge
from tests.kserve.zero_values import without_zero_values

# What of a runtime's spec reaches the pod besides containers; anything else a runtime cannot say.
_FROM_RUNTIME = (
    *("nodeSelector", "affinity", "tolerations", "volumes", "imagePullSecrets", "schedulerName", "resourceClaims"),
)
# What `spec.predictor` has besides the fields of a pod.
_NOT_OF_A_POD = frozenset(
    {
        *(
            "model",
            "storageUris",
            "storageContainerName",
            "annotations",
            "labels",
            "name",
            "minReplicas",
            "maxReplicas",
        ),
        *("scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling", "containerConcurrency", "timeout"),
        *("canaryTrafficPercent", "deploymentStrategy", "workerSpec", "logger", "batcher"),
    }
)


@dataclass(frozen=True)
class Template:
    """A pod template, with the name and the metadata that the Deployment has too."""

    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Manifest


def storage_uri(predictor: Manifest) -> str | None:
    """Of the model, or of a custom predictor: there it is a variable."""
    if predictor.get("model") is not None:
        uri = predictor["model"].get("storageUri")
    else:
        own = variable(named(predictor.get("containers"), MAIN) or {}, "STORAGE_URI")
        uri = None if own is None else own.get("value", "")
    return None if uri is None else str(uri)


def _serves_many_models(predictor: Manifest) -> bool:
    """KServe takes a model that comes from nowhere for one of many, unless the user brings containers too."""
    if predictor.get("containers"):
        return (variable(predictor["containers"][0], "MULTI_MODEL_SERVER") or {}).get("value") == "true"
    model = predictor["model"]
    stored = model.get("storageUri") is not None or model.get("storage") is not None or predictor.get("storageUris")
    return not stored and model["modelFormat"]["name"] != "huggingface"


def storage_annotations(service: Manifest, settings: Settings, chooser: Chooser) -> dict[str, str]:
    """The service's annotations as pods get them, and what KServe tells its own pod webhook through annotations.

    Raises:
        Refused: a URI that nothing can download, or a URI and a path.
        NotModelledError: KServe takes the service for a multi-model server.
    """
    predictor = service["spec"]["predictor"]
    model, uri = predictor.get("model") or {}, storage_uri(predictor)
    annotations = _allowed(annotations_of(service), settings)
    storage = model.get("storage")
    if storage is not None:
        annotations[STORAGE_SPEC] = "true"
        if storage.get("parameters") is not None:
            annotations[STORAGE_SPEC_PARAMETERS] = go_json(dict(sorted(storage["parameters"].items())))
        if storage.get("key") is not None:
            annotations[STORAGE_SPEC_KEY] = storage["key"]
        if storage.get("path") is not None:
            annotations[SOURCE_URI] = SCHEME_PLACEHOLDER + storage["path"].removeprefix("/")
    if _serves_many_models(predictor):
        raise NotModelledError(
            "a multi-model server, to which KServe adds its agent; a model without storageUri is one"
        )
    if uri is not None:
        if SOURCE_URI in annotations:
            raise Refused("reconcile", "must provide only one of storageUri and storage.path")
        annotations[SOURCE_URI] = uri
        try:
            validate_uri(uri, chooser)
        except KServeError as error:
            raise Refused("reconcile", str(error)) from None
        if predictor.get("storageContainerName"):
            annotations[STORAGE_CONTAINER] = predictor["storageContainerName"]
    return annotations


def build_template(
    service: Manifest, runtime: Runtime | None, annotations: dict[str, str], settings: Settings
) -> Template:
    """The template before KServe's and Kubernetes' defaults.

    Args:
        runtime: None for a custom predictor.
        annotations: from `storage_annotations`.

    Raises:
        Refused: the runtime has no container, or a placeholder that is none.
    """
    predictor, name = without_zero_values(service["spec"]["predictor"]), name_of(service)
    spec = _custom_pod(predictor) if runtime is None else _merged_pod(predictor, service, runtime)
    for container in spec["containers"]:
        set_variable(container, "INFERENCE_SERVICE_NAME", name)
    component = f"{name}-{predictor['name']}-predictor" if predictor.get("name") else f"{name}-predictor"
    shared = {} if runtime is None else runtime.spec
    own = {SERVICE_LABEL: name, "component": "predictor", "app": f"isvc.{component}"}
    return Template(
        name=component,
        namespace=namespace_of(service),
        labels={**(shared.get("labels") or {}), **labels_of(service), **(predictor.get("labels") or {}), **own},
        annotations={
            **_allowed(shared.get("annotations") or {}, settings),
            **annotations,
            **_allowed(predictor.get("annotations") or {}, settings),
        },
        spec=spec,
    )


def _allowed(annotations: dict[str, str], settings: Settings) -> dict[str, str]:
    return {key: value for key, value in annotations.items() if key not in settings.disallowed_annotations}


def _pod_fields(predictor: Manifest) -> Manifest:
    return {field: copy.deepcopy(value) for field, value in predictor.items() if field not in _NOT_OF_A_POD}


def _custom_pod(predictor: Manifest) -> Manifest:
    """KServe puts the server first, and leaves it in its old place as well, so that the API server refuses the pod."""
    pod = _pod_fields(predictor)
    server = named(pod["containers"], MAIN)
    if server is None:
        raise NotModelledError(f"a custom predictor of several containers, none called {MAIN}: KServe crashes")
    pod["containers"][0] = copy.deepcopy(server)
    return pod


def _merged_pod(predictor: Manifest, service: Manifest, runtime: Runtime) -> Manifest:
    containers = runtime.spec.get("containers") or []
    own = predictor.get("containers") or []
    server = named(containers, MAIN)
    if server is None:
        problem = f"failed to find {MAIN} in ServingRuntime containers"
        problem = problem if containers else "no container configuration found in selected serving runtime"
        raise Refused("reconcile", problem, reason="InvalidPredictorSpec", status_message=problem)
    model = {field: value for field, value in predictor["model"].items() if field not in _MODEL_FIELDS}
    server = _rendered(merge_runtime_container(server, model), service, runtime)
    update_image(server, predictor["model"].get("runtimeVersion"), runtime)

    pod = merge(
        {field: runtime.spec[field] for field in _FROM_RUNTIME if field in runtime.spec}, _pod_fields(predictor)
    )
    pod["containers"] = [server]
    transformers = [each for each in (named(containers, TRANSFORMER), named(own, TRANSFORMER)) if each is not None]
    if transformers:
        merged = (
            merge_runtime_container(transformers[0], transformers[-1]) if len(transformers) > 1 else transformers[0]
        )
        pod["containers"].append(_rendered(merged, service, runtime))
    pod["containers"] += copy.deepcopy([each for each in containers if each["name"] not in {MAIN, TRANSFORMER}])
    pod["containers"] += copy.deepcopy([each for each in own if each["name"] != TRANSFORMER])
    return pod


# What `predictor.model` has besides the fields of a container.
_MODEL_FIELDS = frozenset(
    {"modelFormat", "runtime", "runtimeVersion", "protocolVersion", "storageUri", "storage", "confidential"}
)


def _rendered(container: Manifest, service: Manifest, runtime: Runtime) -> Manifest:
    try:
        return replace_placeholders(container, service)
    except KServeError as error:
        problem = f"failed to replace placeholders in serving runtime {runtime.name} Container {container['name']}"
        raise Refused(
            "reconcile", f"{problem}: {error}", reason="InvalidPredictorSpec", status_message=problem
        ) from None
