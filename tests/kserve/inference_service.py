"""From an InferenceService to its Deployment and its pod."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kserve.admission import TOKEN_VOLUME, admit_rest, admit_service_account, mount_token, pod_from_template
from tests.kserve.api_defaults import default_deployment, default_pod_spec, default_requests
from tests.kserve.api_validation import validate_pod, validate_service, validate_template
from tests.kserve.cluster import Cluster
from tests.kserve.defaulting import with_defaults
from tests.kserve.deployment import build_deployment, service_ports
from tests.kserve.errors import KServeError, NotModelledError, Refused
from tests.kserve.initializer import Request, StorageSpec, provide_models
from tests.kserve.manifests import Manifest, name_of, named, namespace_of
from tests.kserve.oci import is_oci
from tests.kserve.pod_webhook import mutate_pod
from tests.kserve.predictor import Template, build_template, storage_annotations
from tests.kserve.runtimes import select_runtime
from tests.kserve.settings import Settings
from tests.kserve.storage_containers import Chooser
from tests.kserve.validating import validate


@dataclass(frozen=True)
class Stages:
    """What an InferenceService becomes, stage by stage."""

    service: Manifest
    deployment: Manifest
    pod: Manifest


def admit_inference_service(service: Manifest, cluster: Cluster, settings: Settings) -> Manifest:
    """The service as it is stored.

    Raises:
        Refused: at the stage "InferenceService".
    """
    stored = with_defaults(service, cluster, settings)
    validate(stored)
    return stored


def reconcile(stored: Manifest, cluster: Cluster, settings: Settings, chooser: Chooser) -> Manifest:
    """The Deployment that KServe's controller makes.

    Raises:
        Refused: at the stage "reconcile".
    """
    predictor = stored["spec"]["predictor"]
    annotations = storage_annotations(stored, settings, chooser)
    model = predictor.get("model")
    runtime = None if model is None else select_runtime(cluster, model, namespace_of(stored))
    template = build_template(stored, runtime, annotations, settings)
    _provide_several(template, predictor, cluster, settings, chooser)
    validate_service(template.name, service_ports(template))
    deployment = build_deployment(template, predictor)
    validate_template("Deployment.apps", template.name, deployment["spec"]["template"]["spec"])
    default_deployment(deployment)
    return deployment


def create_pod(deployment: Manifest, cluster: Cluster, settings: Settings, chooser: Chooser) -> Manifest:
    """The pod of a Deployment after every admission.

    Raises:
        Refused: at the stage "Pod".
    """
    pod = pod_from_template(deployment["spec"]["template"], namespace_of(deployment))
    name = f"{name_of(deployment)}-0"
    admit_service_account(pod, cluster, name)
    mutate_pod(pod, cluster, settings, chooser)
    if named(pod["spec"].get("volumes"), TOKEN_VOLUME) is not None:
        mount_token(pod)
    validate_pod(name, pod["spec"])
    default_pod_spec(pod["spec"])
    default_requests(pod["spec"])
    admit_rest(pod, cluster)
    return pod


def _provide_several(
    template: Template, predictor: Manifest, cluster: Cluster, settings: Settings, chooser: Chooser
) -> None:
    """`storageUris`: the controller itself adds the initializer; a runtime's pinned storage container has no say."""
    uris = [(entry["uri"], entry["mountPath"]) for entry in predictor.get("storageUris") or []]
    if not uris:
        return
    if any(is_oci(uri, settings) for uri, _ in uris):
        raise NotModelledError("images in storageUris")
    storage = (predictor.get("model") or {}).get("storage") or {}
    complete = storage.get("key") is not None and storage.get("parameters") is not None
    name = predictor.get("storageContainerName")
    try:
        container = chooser.by_name(name, uris[0][0]) if name else chooser.by_uri(uris[0][0])
    except KServeError as error:
        raise Refused("reconcile", f"failed to get storage container spec: {error}", reason="ReconcileFailed") from None
    request = Request(
        namespace=template.namespace,
        uris=uris,
        several=True,
        annotations=template.annotations,
        storage=StorageSpec(storage["key"], storage["parameters"]) if complete else None,
        storage_container=container,
    )
    try:
        if not provide_models(cluster, settings, template.spec, request):
            chooser.forget()
    except KServeError as error:
        message = f"fails to create NewRawKubeReconciler for predictor: {error}"
        raise Refused("reconcile", message, reason="ReconcileFailed") from None
