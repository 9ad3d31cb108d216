"""How the model, and its adapters, get into the pods of an LLMInferenceService."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from tests.kserve.certificates import add_bundle, bundle_for
from tests.kserve.cluster import Cluster
from tests.kserve.containers import merge_containers
from tests.kserve.credentials import Target, add_credentials_of
from tests.kserve.errors import KServeError
from tests.kserve.go_json import go_json
from tests.kserve.initializer import add_hugging_face_defaults, initializer_container
from tests.kserve.llm_configs import child_name
from tests.kserve.manifests import Manifest, annotations_of, named, namespace_of, variable
from tests.kserve.mounts import ModelMount, add_model_mount, claim_and_path, common_parent
from tests.kserve.names import CLAIM_VOLUME, INITIALIZER, MODEL_PATH, MODEL_VOLUME
from tests.kserve.oci import add_image_to
from tests.kserve.settings import Settings

MAIN = "main"
_ADAPTERS = "/mnt/lora"
_DOWNLOADED = ("hf://", "s3://")
_HELP = "https://github.com/kserve/kserve/blob/master/docs/samples/llmisvc/lora-adapters/README.md"


@dataclass(frozen=True)
class Source:
    """Everything that decides how one pod gets its model.

    Attributes:
        service: for its namespace and annotations.
        spec: merged and rendered.
        account: the pod's service account.
    """

    cluster: Cluster
    settings: Settings
    service: Manifest
    spec: Manifest
    account: Manifest


@dataclass(frozen=True)
class _Adapter:
    name: str
    uri: str

    @property
    def path(self) -> str:
        cleaned = re.sub(r"[^a-zA-Z0-9._-]", "-", self.name)
        return posixpath.join(_ADAPTERS, "adapter" if cleaned in {"", ".", ".."} else cleaned)


def check_adapters(spec: Manifest) -> None:
    """Raises `KServeError` for an adapter that cannot be brought into a pod."""
    _adapters(spec)


def attach_model(pod: Manifest, source: Source) -> None:
    """Changes a pod spec in place. With the initializer off nothing is mounted, and no credential is added.

    Raises:
        KServeError: KServe knows no way for the URI's scheme.
    """
    spec, settings = source.spec, source.settings
    uri = str(spec["model"].get("uri") or "")
    if "://" not in uri:
        raise KServeError(f"invalid model URI: {uri}")
    if not _initializer_enabled(spec):
        return
    adapters = _adapters(spec)
    declared = named(pod.get("initContainers"), INITIALIZER)
    if declared is not None:
        pod["initContainers"].remove(declared)
    pairs = [(adapter.uri, adapter.path) for adapter in adapters if adapter.uri.startswith(_DOWNLOADED)]
    if uri.startswith("pvc://"):
        claim, path = claim_and_path(uri)
        add_model_mount(pod, MAIN, ModelMount(CLAIM_VOLUME, MODEL_PATH, True, claim, path))
    elif uri.startswith("oci://"):
        if not settings.initializer.get("enableModelcar"):
            raise KServeError("OCI modelcars is not enabled")
        add_image_to(pod, MAIN, "modelcar", uri.removeprefix("oci://"), settings)
    elif uri.startswith("oci+native://"):
        add_image_to(pod, MAIN, "native", uri.removeprefix("oci+native://"), settings)
    elif uri.startswith(_DOWNLOADED):
        pairs.insert(0, (uri, MODEL_PATH))
    else:
        raise KServeError(f"unsupported schema in model URI: {uri}")
    if pairs:
        _download(pod, pairs, declared, source)
    _serve_adapters(pod, adapters, namespace_of(source.service), spec)


def _initializer_enabled(spec: Manifest) -> bool:
    return (spec.get("storageInitializer") or {}).get("enabled") is not False


def _download(pod: Manifest, pairs: list[tuple[str, str]], declared: Manifest | None, source: Source) -> None:
    """KServe's init container, with what the templates declare under its name laid over it.

    Name, command and arguments stay KServe's. ClusterStorageContainers are not consulted.
    """
    container = initializer_container(source.settings, [argument for pair in pairs for argument in pair])
    if declared is not None:
        own = {field: value for field, value in declared.items() if field not in {"args", "command"}}
        container = merge_containers(container, own)
    pod.setdefault("initContainers", []).append(container)
    parent = common_parent([path for _, path in pairs])
    add_model_mount(pod, INITIALIZER, ModelMount(MODEL_VOLUME, parent, False))
    add_model_mount(pod, MAIN, ModelMount(MODEL_VOLUME, parent, True))

    volumes = pod["volumes"]
    annotations, target = annotations_of(source.service), Target(container, volumes)
    add_credentials_of(source.account, source.cluster, source.settings, annotations, target)
    if any(uri.startswith("hf://") for uri, _ in pairs):
        add_hugging_face_defaults(container)
    if len(pairs) > 1 or pairs[0][0].startswith("s3://"):
        bundle = bundle_for(container, source.settings, namespace_of(source.service))
        if bundle is not None:
            add_bundle(bundle, container, volumes)


def _adapters(spec: Manifest) -> list[_Adapter]:
    """Sorted by name, each of a scheme that works."""
    declared = ((spec["model"].get("lora") or {}).get("adapters")) or []
    adapters = sorted((_Adapter(each.get("name") or "", each["uri"]) for each in declared), key=lambda each: each.name)
    for adapter in adapters:
        scheme, separator, _ = adapter.uri.partition("://")
        start, enabled = f'LoRA adapter "{adapter.name}": ', _initializer_enabled(spec)
        if not separator:
            raise KServeError(f'{start}invalid URI "{adapter.uri}"')
        if scheme in {"hf", "s3"} and not enabled:
            raise KServeError(
                f"{start}hf:// and s3:// require the storage initializer — set storageInitializer.enabled to true "
                f"(see {_HELP})"
            )
        if scheme == "pvc" and not enabled:
            raise KServeError(
                f"{start}pvc:// requires a mounted volume — do not set storageInitializer.enabled to false "
                f"(see {_HELP})"
            )
        if scheme == "oci":
            raise KServeError(
                f"{start}oci:// is not supported for LoRA adapters; use hf://, s3://, or pvc:// instead (see {_HELP})"
            )
        if scheme not in {"hf", "s3", "pvc"}:
            raise KServeError(
                f'{start}unsupported URI scheme "{scheme}://"; supported schemes are hf://, s3://, pvc:// (see {_HELP})'
            )
    return adapters


def _serve_adapters(pod: Manifest, adapters: list[_Adapter], namespace: str, spec: Manifest) -> None:
    """Mounts adapters from claims, and tells vLLM of all of them, unless the user did; user's arguments come last."""
    main = named(pod["containers"], MAIN)
    if not adapters or main is None:
        return
    modules = []
    for adapter in adapters:
        if adapter.uri.startswith("pvc://"):
            claim, path = claim_and_path(adapter.uri)
            volume = child_name("lora-pvc-", adapter.name)
            add_model_mount(pod, MAIN, ModelMount(volume, adapter.path, True, claim, path))
        names = (adapter.name, f"publishers/{namespace}/models/{adapter.name}")
        modules += [f"'{go_json({'name': name, 'path': adapter.path})}'" for name in names]
    words = [*main.get("command", []), *main.get("args", [])]
    additional = (variable(main, "VLLM_ADDITIONAL_ARGS") or {}).get("value", "")
    if "--lora-modules" in " ".join([*words, additional]):
        return
    limits = {"maxRank": "--max-lora-rank", "maxAdapters": "--max-loras", "maxCpuAdapters": "--max-cpu-loras"}
    lora = spec["model"]["lora"]
    flags = [f"{flag}={lora[field]}" for field, flag in limits.items() if field in lora]
    main["args"] = ["--enable-lora", *flags, "--lora-modules", *modules, *main.get("args", [])]
