"""The runtime: found, fitting, and whether it is one that streams."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from wellhead_cluster.doctor.findings import Finding, error, listed, ok, unknown, warning
from wellhead_cluster.doctor.inference_service import Serving
from wellhead_cluster.doctor.manifests import MAIN, MODE, entries, name_of, section, title
from wellhead_cluster.doctor.runtimes import KINDS, RuntimeChoice, formats
from wellhead_cluster.doctor.situation import Situation


def check_runtime(situation: Situation) -> Iterator[Finding]:
    """Of an InferenceService; an LLMInferenceService has configs instead."""
    serving = situation.serving
    if serving is None:
        return
    choice = serving.runtime
    if choice is None:
        if not entries(serving.predictor.spec, "containers"):
            yield error("spec.predictor states no model and no container", "KServe refuses it.", "State a model.")
        else:
            yield unknown(
                "the service brings a model server of its own", "What it does with a model is its own affair."
            )
        return
    if choice.problem:
        yield _refused(situation, serving, choice)
    elif choice.runtime is None:
        yield unknown(
            "the runtime is not known",
            f"{choice.unknown}.",
            "Give the runtimes with a further -f, or look at the cluster.",
        )
    else:
        yield from _found(serving, choice)


def _refused(situation: Situation, serving: Serving, choice: RuntimeChoice) -> Finding:
    model = serving.predictor.model or {}
    known = [each for kind in KINDS for each in situation.known.all(kind)]
    if choice.runtime is not None:
        fix = f"It serves {listed([repr(each) for each in formats(choice.runtime)] or ['nothing'])}."
    elif choice.by_name:
        near = get_close_matches(str(model.get("runtime")), map(name_of, known), 1)
        fix = f"Did you mean {near[0]}?" if near else "Name one of kubectl get servingruntimes,clusterservingruntimes."
    else:
        wanted = str(section(model, "modelFormat").get("name"))
        spelt = sorted({each for runtime in known for each in formats(runtime) if each.lower() == wanted.lower()})
        fix = (
            f"Write {spelt[0]}: names of formats are compared letter by letter."
            if spelt and wanted not in spelt
            else ""
        )
    return error(
        choice.problem,
        "KServe makes no Deployment then.",
        fix or "Name a runtime.",
        "" if fix else "spec:\n  predictor:\n    model:\n      runtime: wellhead-vllm",
    )


def _found(serving: Serving, choice: RuntimeChoice) -> Iterator[Finding]:
    runtime = choice.runtime or {}
    how = (
        "by name"
        if choice.by_name
        else f"for format {section(serving.predictor.model or {}, 'modelFormat').get('name')}"
    )
    asked = MODE in serving.pod.annotations
    if choice.ours:
        yield ok(f"{title(runtime)}, chosen {how}: it streams")
    elif asked:
        yield warning(
            f"{title(runtime)}, chosen {how}, is not one of Wellhead's, and {MODE} is set",
            "Only pods of Wellhead's runtimes stream: for others the whole model is downloaded.",
            "Name Wellhead's runtime, or drop the annotation.",
            "spec:\n  predictor:\n    model:\n      runtime: wellhead-vllm",
        )
    else:
        yield ok(f"{title(runtime)}, chosen {how}; it is not one of Wellhead's, so the model is downloaded")
    if choice.unknown:
        yield unknown("another runtime may be preferred for this format", f"{choice.unknown}.", "Name the runtime.")
    if not choice.server:
        yield error(f"{title(runtime)} has no container {MAIN}", "KServe makes no Deployment then.", "Name it so.")
    if choice.ours and serving.predictor.server.get("command"):
        yield warning(
            "the service replaces the runtime's command",
            "Nothing of Wellhead starts then: the load plan is not read, and vLLM finds no weights where it streams.",
            "Drop `command`, and give vLLM's options in `args`.",
        )
