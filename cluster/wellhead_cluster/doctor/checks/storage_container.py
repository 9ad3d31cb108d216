"""Which ClusterStorageContainer wins for the URI, and whether it is the one that was meant."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, listed, ok, unknown, warning
from wellhead_cluster.doctor.inference_service import Serving
from wellhead_cluster.doctor.manifests import INITIALIZER, entries, name_of, section
from wellhead_cluster.doctor.situation import Situation
from wellhead_cluster.doctor.storage_containers import KIND, PIN, PLACEHOLDER, ContainerChoice, wellheads
from wellhead_storage.uri import WRAPPER

_NAME_IT = "spec:\n  predictor:\n    storageContainerName: wellhead"


def check_storage_container(situation: Situation) -> Iterator[Finding]:
    """Of an InferenceService; LLMInferenceServices have no say in it, nor needs for one."""
    serving = situation.serving
    if serving is None:
        return
    choice = serving.container
    if choice.needless:
        yield ok(f"none is used: {choice.needless}")
    elif choice.problem:
        yield error(
            f"{choice.problem} (named by {_who_names_it(serving)})" if choice.name else choice.problem,
            "KServe refuses the pod, and takes no other storage container in its place.",
            "Name one that is there and lists the URI's scheme, or drop the name.",
            _NAME_IT,
        )
    elif choice.candidates:
        yield from _candidates(situation, serving, choice)
    elif choice.unknown:
        yield unknown(
            f"the storage container {choice.name}".rstrip() + " is not known",
            f"{choice.unknown}.",
            "Give the storage containers with a further -f, or look at the cluster.",
        )
    else:
        yield _none(situation, serving)


def _candidates(situation: Situation, serving: Serving, choice: ContainerChoice) -> Iterator[Finding]:
    names = [name_of(each) for each in choice.candidates]
    if len(names) > 1:
        yield _dice(situation, serving, names)
        return
    how = f"named by {_who_names_it(serving)}" if choice.name else "the only one that lists the URI"
    if choice.unknown:
        yield unknown(
            f"{KIND} {names[0]} lists the URI; there may be others",
            f"{choice.unknown}. Between several KServe throws dice.",
            "Name the storage container.",
        )
    elif choice.ours == situation.ours or (choice.ours and not situation.ours):
        what = "Wellhead's" if choice.ours else "not one of Wellhead's: the model is downloaded"
        yield ok(f"{KIND} {names[0]}, {how} ({what})")
    else:
        yield _not_ours(situation, names[0], how)
    yield from _its_own_faults(situation, serving, choice)


def _dice(situation: Situation, serving: Serving, names: list[str]) -> Finding:
    say = error if _demands(situation) else warning
    reason = "A runtime's choice does not count for storageUris. " if serving.predictor.pairs else ""
    if not situation.release.full:
        reason = f"KServe {situation.release} knows no storage container by name. "
    return say(
        f"{len(names)} storage containers list the URI: {listed(names)}",
        f"{reason}KServe throws dice between them, for every pod anew"
        + (", and only Wellhead's can stream." if situation.ours else "."),
        "Name one.",
        _NAME_IT,
    )


def _not_ours(situation: Situation, name: str, how: str) -> Finding:
    say = error if _demands(situation) else warning
    return say(
        f"{KIND} {name}, {how}, is not one of Wellhead's, and the runtime is",
        "It downloads the whole model, and the runtime then reads it from disk: nothing is streamed.",
        "Name Wellhead's storage container.",
        _NAME_IT,
    )


def _none(situation: Situation, serving: Serving) -> Finding:
    if serving.predictor.asked.startswith(PLACEHOLDER):
        seen = "no storage container lists what KServe writes for storage.path"
    else:
        seen = "no storage container lists the URI"
    say = warning if situation.ours else ok
    if say is ok:
        return ok(f"{seen}: KServe takes the image of its ConfigMap")
    return warning(
        seen,
        "KServe takes the image of its ConfigMap, which downloads the whole model or knows no such scheme.",
        "Install Wellhead's storage container (servingruntimes/default).",
    )


def _its_own_faults(situation: Situation, serving: Serving, choice: ContainerChoice) -> Iterator[Finding]:
    chosen, container = choice.candidates[0], choice.container or {}
    name = f"{KIND} {name_of(chosen)}"
    if serving.predictor.pairs and not section(chosen, "spec").get("supportsMultiModelDownload"):
        yield error(
            f"{name} does not say supportsMultiModelDownload",
            "KServe refuses storageUris for it.",
            "Set it in the storage container.",
            "spec:\n  supportsMultiModelDownload: true",
        )
    if container.get("name") != INITIALIZER:
        yield error(
            f"the container of {name} is called {container.get('name')!r}",
            "KServe injects it twice then, and finds no failures in it.",
            f"Call it {INITIALIZER}.",
        )
    if container.get("args"):
        yield error(f"{name} states args", "They replace the URI and folder that KServe passes.", "Remove them.")
    if wellheads(chosen) and situation.ours and _blind(situation):
        yield warning(
            f"{name} does not tell its container which engine the pod has",
            "Without WELLHEAD_ENGINE it downloads everything.",
            "Install the storage container of servingruntimes/base, which asks for the annotation.",
        )
    if wellheads(chosen) and (mounts := entries(container, "volumeMounts")):
        yield warning(
            f"{name} mounts {listed([str(each.get('name')) for each in mounts])}",
            "Pods without that volume are refused, and any service of the cluster may get this storage container.",
            "Mount nothing there.",
        )


def _blind(situation: Situation) -> bool:
    (pod,) = situation.pods
    forced = any(uri.startswith(f"{WRAPPER}://") for uri, _ in pod.sources)
    return not forced and pod.settings is not None and pod.settings.engine != "vllm"


def _demands(situation: Situation) -> bool:
    (pod,) = situation.pods
    forced = any(uri.lower().startswith(f"{WRAPPER}://") for uri, _ in pod.sources)
    return forced or (situation.ours and pod.annotations.get("wellhead.dev/mode", "").strip().lower() == "stream")


def _who_names_it(serving: Serving) -> str:
    if serving.predictor.spec.get("storageContainerName") and (serving.predictor.pairs or serving.predictor.uri):
        return "storageContainerName"
    if serving.runtime and PIN in section(serving.runtime.spec, "annotations"):
        return "the runtime"
    return "an annotation"
