"""From an InferenceService to its pod, and to who provides the model. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wellhead_cluster.doctor.environment import resolve
from wellhead_cluster.doctor.injection import Injected, find_account, inject, inject_entry
from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.kserve import Config, Release
from wellhead_cluster.doctor.manifests import INITIALIZER, Manifest, entries, named, section
from wellhead_cluster.doctor.merging import merge, merge_servers
from wellhead_cluster.doctor.pods import Pod, serve_arguments
from wellhead_cluster.doctor.predictors import CacheHit, Predictor, cache_for, predictor_of
from wellhead_cluster.doctor.runtimes import RuntimeChoice, choose_runtime
from wellhead_cluster.doctor.storage_containers import PIN, ContainerChoice, choose_container

# What of a runtime's spec reaches the pod besides containers.
_FROM_RUNTIME = ("nodeSelector", "affinity", "tolerations", "volumes", "resourceClaims")
_MOUNTED = ("pvc://", "oci://", "oci+")
_AGENT = "internal.serving.kserve.io/agent"


@dataclass(frozen=True, slots=True)
class Serving:
    """What an InferenceService leads to.

    Attributes:
        predictor: with KServe's defaults.
        runtime: that serves it; None for a custom predictor.
        container: the storage container.
        cache: a LocalModelCache with its model.
        pod: its pod.
    """

    predictor: Predictor
    runtime: RuntimeChoice | None
    container: ContainerChoice
    cache: CacheHit | None
    pod: Pod


def serve(service: Manifest, known: Known, config: Config, release: Release) -> Serving:
    """What KServe makes of the service."""
    predictor = predictor_of(service)
    runtime = choose_runtime(predictor.model, known) if predictor.model is not None else None
    spec = runtime.spec if runtime else {}
    annotations = predictor.pod_annotations(spec, config)
    cache = cache_for(predictor, known, config)
    own = named(entries(predictor.spec, "initContainers"), INITIALIZER)
    needless = _needless(predictor, annotations, cache, own)
    container = (
        ContainerChoice(needless=needless)
        if needless
        else choose_container(predictor.asked, _wanted(predictor, annotations, release), known)
    )
    pod = _pod(predictor, runtime, container, annotations, own, known, config)
    return Serving(predictor, runtime, container, cache, pod)


def _needless(predictor: Predictor, annotations: dict[str, str], cache: CacheHit | None, own: Manifest) -> str:
    if not predictor.asked:
        return "the service names no model"
    if own:
        return f"the service brings an init container {INITIALIZER} of its own"
    if _AGENT in annotations:
        return "KServe's agent fetches the model"
    if cache and cache.enabled:
        return f"LocalModelCache {cache.name} has the model on the nodes' disks"
    downloaded = [uri for uri, _ in predictor.pairs] or [predictor.asked]
    if all(uri.startswith(_MOUNTED) for uri in downloaded):
        return f"KServe mounts {downloaded[0].partition('://')[0]}:// itself"
    return ""


def _wanted(predictor: Predictor, annotations: dict[str, str], release: Release) -> str:
    """The storage container by name: for `storageUris` what a runtime pins has no say; before 0.20 nothing has."""
    if not release.full:
        return ""
    if predictor.pairs:
        return str(predictor.spec.get("storageContainerName") or "")
    return annotations.get(PIN, "")


def _pod(
    predictor: Predictor,
    runtime: RuntimeChoice | None,
    container: ContainerChoice,
    annotations: dict[str, str],
    own: Manifest,
    known: Known,
    config: Config,
) -> Pod:
    account = str(predictor.spec.get("serviceAccountName") or "default")
    spec = runtime.spec if runtime else {}
    merged = merge({field: spec[field] for field in _FROM_RUNTIME if field in spec}, predictor.pod)
    server = merge_servers(runtime.server if runtime else {}, predictor.server)
    provided = own or container.container
    injected = find_account(account, known)
    if not container.needless:
        injected = _injected(predictor, account, annotations, known, config)
    pairs = tuple(pair for pair in predictor.pairs if not pair[0].startswith(_MOUNTED))
    uri = injected.uri or predictor.uri
    sources = pairs or (((uri, "/mnt/models"),) if uri else ())
    if own and not predictor.pairs:
        arguments = [str(each) for each in own.get("args") or []]
        sources = tuple(zip(arguments[::2], arguments[1::2], strict=False)) or sources
    automount = predictor.spec.get("automountServiceAccountToken")
    if automount is None and config.of("security").get("autoMountServiceAccountToken") is False:
        automount = False
    return Pod(
        role="predictor",
        place="spec.predictor",
        part=predictor.field if predictor.model is not None else "containers",
        annotations=annotations,
        account=account,
        automount=automount if isinstance(automount, bool) else None,
        spec=merged,
        server=server,
        initializer=_initializer(provided, config) if provided and not own else (own or None),
        sources=sources,
        injected=injected,
        initial=resolve(provided or {}, annotations, known),
        served=resolve(server, annotations, known),
        own_initializer=bool(own),
        arguments=serve_arguments(server),
    )


def _injected(
    predictor: Predictor, account: str, annotations: dict[str, str], known: Known, config: Config
) -> Injected:
    """Either the entry of storage-config or what the account has; `storageUris` take the entry only if it is whole."""
    storage = predictor.storage
    whole = storage is not None and storage.get("key") is not None and storage.get("parameters") is not None
    if storage is not None and (whole or not predictor.pairs):
        return inject_entry(storage, annotations, account, known, config)
    return inject(account, annotations, known, config)


def _initializer(container: Manifest, config: Config) -> Manifest:
    """With the limits of KServe's ConfigMap where the storage container names none of its own."""
    values = config.of("storageInitializer")
    limits = {"memory": values.get("memoryLimit"), "cpu": values.get("cpuLimit")}
    base: Manifest = {"resources": {"limits": {name: value for name, value in limits.items() if value}}}
    return merge(base, {"resources": section(container, "resources")}) | {
        field: value for field, value in container.items() if field != "resources"
    }
