"""What belongs to LLMInferenceServices alone: configs, schemes, adapters, workers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from wellhead_cluster.doctor.findings import Finding, error, listed, ok, unknown, warning
from wellhead_cluster.doctor.llm_service import FROM_KSERVE, KIND, MOUNTED, LlmServing
from wellhead_cluster.doctor.manifests import entries, is_ours, name_of, named, section
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation

_ANY = "-any-uri"
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*:")


def check_llm(situation: Situation) -> Iterator[Finding]:
    """The object, its configs, and whether every pod has both of our containers."""
    llm = situation.llm
    if llm is None:
        return
    yield from _references(situation, llm)
    yield from _uri(llm)
    yield from _adapters(llm)
    yield from _workers(llm)
    if not llm.unknown and not llm.absent:
        for pod in situation.pods:
            yield _containers(pod, llm)


def _references(situation: Situation, llm: LlmServing) -> Iterator[Finding]:
    names = [name_of(each) for space in ("", "kserve") for each in situation.known.all(KIND, space)]
    for name in llm.absent:
        near = get_close_matches(name, names, 1)
        yield error(
            f"there is no {KIND} {name}",
            "KServe makes no pods (ConfigNotFound).",
            f"Did you mean {near[0]}?" if near else "Install servingruntimes/llm, or correct baseRefs.",
        )
    for text in llm.unknown:
        yield unknown(
            f"{text.partition(':')[0]} is not known", f"{text.partition(': ')[2]}.", "Give it with a further -f."
        )
    if llm.references and not llm.absent and not llm.unknown:
        yield ok(f"baseRefs {listed(llm.references)}")
    of_uri = {name.endswith(_ANY) for name in llm.references if name.startswith("wellhead")}
    if len(of_uri) > 1:
        yield error(
            f"baseRefs mix configs with and without {_ANY}: {listed(llm.references)}",
            "KServe brings the model to some pods and not to others: the API server refuses them, or their init "
            "container has nothing to do.",
            f"Name all of them with {_ANY}, or none.",
        )


def _uri(llm: LlmServing) -> Iterator[Finding]:
    text = llm.uri
    scheme, separator, _ = text.partition("://")
    if ":" in text.partition("/")[0] and not _SCHEME.match(text):
        yield error(
            f"{scheme}:// cannot stand in spec.model.uri",
            "To Go a scheme has no underscore: KServe's webhook refuses the object.",
            "Set the annotation wellhead.dev/mode: stream, which demands the same.",
            "metadata:\n  annotations:\n    wellhead.dev/mode: stream",
        )
    elif not separator:
        yield error(
            f"spec.model.uri is {text!r}, which has no scheme", "KServe makes no pods.", "Write s3://… or hf://…."
        )
    elif llm.initializer_on and not text.startswith((*FROM_KSERVE, *MOUNTED)):
        yield error(
            f"KServe's initializer is on, and does not know {scheme}://",
            "KServe makes no pods (unsupported schema in model URI).",
            f"Use the configs with {_ANY}, which switch it off and bring Wellhead's.",
            "spec:\n  baseRefs:\n  - name: wellhead-any-uri",
        )


def _adapters(llm: LlmServing) -> Iterator[Finding]:
    for adapter in llm.adapters:
        uri, name = str(adapter.get("uri") or ""), adapter.get("name")
        scheme = uri.partition("://")[0]
        if scheme not in {"hf", "s3", "pvc"}:
            yield error(
                f"LoRA adapter {name} is at {scheme}://",
                "KServe brings adapters from hf://, s3:// and pvc:// only.",
                "Copy it there.",
            )
        elif not llm.initializer_on:
            yield error(
                f"LoRA adapter {name}, and KServe's initializer is off",
                "KServe refuses adapters then.",
                f"Use the configs without {_ANY}.",
            )


def _workers(llm: LlmServing) -> Iterator[Finding]:
    for place, workload in (("spec", llm.spec), ("spec.prefill", section(llm.spec, "prefill"))):
        parallelism = section(workload, "parallelism")
        if "worker" in workload and not {"data", "dataLocal", "pipeline"} & set(parallelism):
            yield error(
                f"{place} has workers, and no parallelism with data and dataLocal",
                "KServe then takes no template of its own: the pods have no command, and the API server refuses them.",
                "State both.",
                "spec:\n  parallelism:\n    data: 4\n    dataLocal: 2",
            )


def _containers(pod: Pod, llm: LlmServing) -> Finding:
    ours = is_ours(pod.server)
    declared = named(entries(pod.spec, "initContainers"), "storage-initializer") or pod.initializer or {}
    prepared = is_ours(declared)
    mounted = llm.uri.startswith(MOUNTED)
    if ours and (prepared or mounted):
        return ok(f"the {pod.role} has Wellhead's server" + ("" if mounted else " and init container"))
    if not ours and not prepared:
        return warning(
            f"nothing of the {pod.role} is Wellhead's",
            "It loads its model in KServe's own way.",
            "Name Wellhead's config for this kind of pod in baseRefs.",
            "spec:\n  baseRefs:\n  - name: wellhead",
        )
    lacking = "init container" if ours else "server"
    return warning(
        f"the {pod.role} has no {lacking} of Wellhead's",
        "Streaming needs both: one writes the load plan, the other reads it.",
        "Name Wellhead's config for this kind of pod in baseRefs.",
        "spec:\n  baseRefs:\n  - name: wellhead",
    )
