"""From an LLMInferenceService to its pods: `baseRefs` merged under its own spec (kserve.md 12). Pure.

KServe's own templates are not looked at: they state commands, ports and probes, and neither models nor credentials.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from wellhead_cluster.doctor.environment import Resolved, resolve
from wellhead_cluster.doctor.injection import find_account, inject
from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.kserve import Config
from wellhead_cluster.doctor.manifests import (
    INITIALIZER,
    MODEL_PATH,
    Manifest,
    annotations_of,
    entries,
    name_of,
    named,
    section,
    strings,
    words,
)
from wellhead_cluster.doctor.merging import merge
from wellhead_cluster.doctor.pods import Pod

KIND = "LLMInferenceServiceConfig"
MAIN = "main"
FROM_KSERVE = ("hf://", "s3://")
MOUNTED = ("pvc://", "oci://", "oci+native://")
_FIRST = re.compile(
    r"\{\{-?\s*or \(index \.Spec\.Annotations `([^`]+)`\) \(index \.ObjectMeta\.Annotations `\1`\)\s*-?\}\}"
)
_SIMPLE = re.compile(r"\{\{-?\s*\.(ObjectMeta\.Name|ObjectMeta\.Namespace|Spec\.Model\.URI|Spec\.Model\.Name)\s*-?\}\}")


@dataclass(frozen=True, slots=True)
class LlmServing:
    """What an LLMInferenceService leads to.

    Attributes:
        spec: its own over that of its configs.
        references: names of its configs.
        absent: those that do not exist.
        unknown: those that nobody could look at, in sentences.
        pods: one for each kind of pod that it has.
    """

    spec: Manifest
    references: tuple[str, ...]
    absent: tuple[str, ...]
    unknown: tuple[str, ...]
    pods: tuple[Pod, ...] = field(default=())

    @property
    def uri(self) -> str:
        """Of the model."""
        return str(section(self.spec, "model").get("uri") or "")

    @property
    def initializer_on(self) -> bool:
        """Whether KServe brings the model."""
        return section(self.spec, "storageInitializer").get("enabled") is not False

    @property
    def adapters(self) -> list[Manifest]:
        """LoRA adapters."""
        return entries(self.spec, "model", "lora", "adapters")


def serve_llm(service: Manifest, known: Known, config: Config, kserve: str) -> LlmServing:
    """What KServe makes of the service.

    Args:
        service: the object.
        known: the cluster.
        config: KServe's.
        kserve: KServe's namespace, where it looks for configs after the service's own.
    """
    own = section(service, "spec")
    references = tuple(str(each.get("name")) for each in entries(own, "baseRefs"))
    spec: Manifest = {}
    absent, unknown = [], []
    for name in references:
        found = known.find(KIND, name)
        if not isinstance(found, dict):
            found = known.find(KIND, name, kserve)
        if isinstance(found, dict):
            spec = merge(spec, section(found, "spec"))
        elif found.certain:
            absent.append(name)
        else:
            unknown.append(f"{KIND} {name}: {found.reason}")
    serving = LlmServing(merge(spec, own), references, tuple(absent), tuple(unknown))
    pods = tuple(_pods(service, serving, known, config))
    return LlmServing(serving.spec, references, tuple(absent), tuple(unknown), pods)


def _pods(service: Manifest, serving: LlmServing, known: Known, config: Config) -> list[Pod]:
    found = []
    for prefix, workload, place in (
        ("", serving.spec, "spec"),
        ("prefill ", section(serving.spec, "prefill"), "spec.prefill"),
    ):
        for part, role in (("template", "main"), ("worker", "worker")):
            if isinstance(workload.get(part), dict):
                shown = f"{(prefix + role).removesuffix(' main') if prefix else role} pod"
                found.append(_pod(shown, f"{place}.{part}", workload, part, service, serving, known, config))
    return found


def _pod(
    role: str,
    place: str,
    workload: Manifest,
    part: str,
    service: Manifest,
    serving: LlmServing,
    known: Known,
    config: Config,
) -> Pod:
    template = section(workload, part)
    accounts = [section(workload, each).get("serviceAccountName") for each in ("template", "worker")]
    # A LeaderWorkerSet has one account for leader and workers.
    stated = next(filter(None, accounts), None) if "worker" in workload else template.get("serviceAccountName")
    account = str(stated or "default")
    annotations = strings(workload, "annotations")
    initializer = _rendered_container(_initializer(template), service) or None
    server = _rendered_container(named(entries(template, "containers"), MAIN), service)
    downloads = serving.initializer_on and serving.uri.startswith(FROM_KSERVE)
    injected = find_account(account, known)
    sources: tuple[tuple[str, str], ...] = ((serving.uri, MODEL_PATH),) if serving.uri else ()
    if downloads:
        injected = inject(account, annotations_of(service), known, config)
        sources += tuple((str(each.get("uri") or ""), f"/mnt/lora/{each.get('name')}") for each in serving.adapters)
    elif serving.initializer_on:
        initializer = None
    elif initializer:
        arguments = words(initializer, "args")
        sources = tuple(zip(arguments[::2], arguments[1::2], strict=False))
    automount = template.get("automountServiceAccountToken")
    return Pod(
        role=role,
        place=place,
        part="containers",
        annotations=annotations,
        account=account,
        automount=automount if isinstance(automount, bool) else None,
        spec=template,
        server=server,
        initializer=initializer,
        sources=sources,
        injected=injected,
        initial=resolve(initializer, annotations, known) if initializer else Resolved(),
        served=resolve(server, annotations, known),
        own_initializer=initializer is not None and not serving.initializer_on,
        arguments=_arguments(workload, server),
    )


def _initializer(template: Manifest) -> Manifest:
    """Under KServe's name; with KServe's hook switched off any name will do for a container of ours."""
    containers = entries(template, "initContainers")
    ours = (each for each in containers if _mentions_wellhead(each))
    return named(containers, INITIALIZER) or next(ours, {})


def _mentions_wellhead(container: Manifest) -> bool:
    return "wellhead-initializer" in str(container.get("image") or "")


def _arguments(workload: Manifest, server: Manifest) -> tuple[str, ...]:
    """What KServe's script hands to vLLM: the folder, the parallelism of the workload, the container's arguments."""
    tensor = section(workload, "parallelism").get("tensor")
    parallel = ("--tensor-parallel-size", str(tensor)) if tensor else ()
    return (MODEL_PATH, *parallel, *words(server, "args"))


def _rendered_container(container: Manifest, service: Manifest) -> Manifest:
    """With the placeholders that Wellhead's configs use; a variable with any other one is left out as unknown."""
    if not container:
        return {}
    rendered = dict(container)
    if arguments := words(container, "args"):
        rendered["args"] = [_rendered(each, service) for each in arguments]
    if variables := entries(container, "env"):
        rendered["env"] = [
            {**each, "value": value} if "value" in each else each
            for each in variables
            if "{{" not in (value := _rendered(str(each.get("value") or ""), service))
        ]
    if sources := entries(container, "envFrom"):
        rendered["envFrom"] = [_rendered_source(each, service) for each in sources]
    return rendered


def _rendered_source(source: Manifest, service: Manifest) -> Manifest:
    return {
        key: {**value, "name": _rendered(str(value.get("name") or ""), service)} if isinstance(value, dict) else value
        for key, value in source.items()
    }


def _rendered(text: str, service: Manifest) -> str:
    own, annotations = strings(service, "spec", "annotations"), annotations_of(service)
    model = section(service, "spec", "model")
    values = {
        "ObjectMeta.Name": name_of(service),
        "ObjectMeta.Namespace": str(section(service, "metadata").get("namespace") or ""),
        "Spec.Model.URI": str(model.get("uri") or ""),
        "Spec.Model.Name": str(model.get("name") or name_of(service)),
    }
    text = _FIRST.sub(lambda match: own.get(match[1]) or annotations.get(match[1], ""), text)
    return _SIMPLE.sub(lambda match: values[match[1]], text)
