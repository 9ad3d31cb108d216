"""Wellhead's own settings: annotations `wellhead.dev/*` and variables `WELLHEAD_*`, their names and values."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from wellhead_cluster.doctor.findings import Finding, error, listed, ok, warning
from wellhead_cluster.doctor.manifests import MODE, Manifest, annotations_of, labels_of, section, strings
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.settings import ANNOTATIONS, PREFIX, Settings, read_settings, unknown_variables

_DOMAIN = "wellhead.dev/"
_NAMES = [PREFIX + name.upper() for name in Settings.model_fields]
# What the server reads where an init container has prepared the model; everything else is the init container's.
_SERVERS = frozenset(
    {
        *("WELLHEAD_CACHE_DIR", "WELLHEAD_MEMORY_DIR", "WELLHEAD_SERVICE_ACCOUNT_TOKEN", "WELLHEAD_TERMINATION_LOG"),
        *("WELLHEAD_LOG_LEVEL", "WELLHEAD_LOG_FORMAT", "WELLHEAD_LOADER"),
        *("WELLHEAD_MODEL_INFOS", "WELLHEAD_FAST_START"),
    }
)


def check_settings(situation: Situation) -> Iterator[Finding]:
    """Misspelt, stated twice, without effect, or with a value that they cannot have."""
    found = [*_annotations(situation)]
    for pod in situation.pods:
        found += [*_variables(pod, situation)]
    yield from found or [ok("annotations and variables of Wellhead's are known, and have values that they can have")]


def _annotations(situation: Situation) -> Iterator[Finding]:
    service, spec = situation.service, section(situation.service, "spec")
    places: dict[str, Manifest] = {"metadata": annotations_of(service)}
    if situation.serving:
        places["spec.predictor"] = strings(spec, "predictor", "annotations")
    else:
        places |= {"spec": strings(spec, "annotations"), "spec.prefill": strings(spec, "prefill", "annotations")}
    for place, stated_there in places.items():
        for name in stated_there:
            if finding := _named(name, place):
                yield finding
    for name in labels_of(service):
        if name.startswith(_DOMAIN):
            yield warning(f"{name} is a label", "Wellhead reads annotations.", "Move it to metadata.annotations.")
    stated = {place: found[MODE] for place, found in places.items() if MODE in found}
    if len(set(stated.values())) > 1 and situation.serving:
        yield warning(
            f"{MODE} is stated twice: {listed([f'{value} in {place}' for place, value in stated.items()])}",
            f"The pod gets one of them: {situation.serving.pod.annotations.get(MODE)}.",
            "State it once, in metadata.",
        )
    if situation.llm:
        yield from _of_llm(situation, stated)


def _of_llm(situation: Situation, stated: dict[str, str]) -> Iterator[Finding]:
    """Annotations of an LLMInferenceService do not reach its pods; our configs fetch the mode all the same."""
    for pod in situation.pods:
        if "metadata" in stated and MODE in pod.initial.annotations and MODE not in pod.annotations:
            yield warning(
                f"{MODE} is stated in metadata, and does not reach the pods of the {pod.role}",
                "KServe passes only spec.annotations on, and the configs in use read the pod's own.",
                "Use the configs of servingruntimes/llm, or state it in spec.annotations.",
                f"spec:\n  annotations:\n    {MODE}: {stated['metadata']}",
            )
    if "spec.prefill" in stated:
        yield warning(
            f"{MODE} is stated in spec.prefill.annotations",
            "Wellhead's configs look at the annotations of the object and of spec, for every pod.",
            "State it once, in metadata.",
        )


def _named(name: str, place: str) -> Finding | None:
    if name.startswith(_DOMAIN):
        if name in ANNOTATIONS:
            return None
        near = get_close_matches(name.removeprefix(_DOMAIN), [each.removeprefix(_DOMAIN) for each in ANNOTATIONS], 1)
        fix = f"Did you mean {_DOMAIN}{near[0]}?" if near else f"Known is {MODE}."
        return warning(f"the annotation {name} in {place} is none of Wellhead's", "It has no effect.", fix)
    domain, _, tail = name.partition("/")
    if "wellhead" in domain.lower() and f"{_DOMAIN}{tail}" in ANNOTATIONS:
        return warning(
            f"the annotation {name} in {place} is none of Wellhead's",
            "It has no effect.",
            f"Did you mean {_DOMAIN}{tail}?",
        )
    return None


def _variables(pod: Pod, situation: Situation) -> Iterator[Finding]:
    if pod.downloads_here:
        yield from _values(pod.environment, "init container", pod)
    if situation.ours:
        yield from _values(pod.served.environment, "server", pod)
        own = {name for name in pod.served.environment if name in _NAMES and name not in _SERVERS}
        own = {name for name in own if pod.served.environment[name] != pod.environment.get(name)}
        if own and not _shared(situation):
            advice = f"For the mode there is the annotation {MODE}." if "WELLHEAD_MODE" in own else ""
            yield warning(
                f"the server of the {pod.role} has {listed(sorted(own))}",
                "These are the init container's settings; on the server they have no effect.",
                advice or "State them in the storage container, for the whole cluster.",
            )


def _shared(situation: Situation) -> bool:
    """LLMInferenceServices have one ConfigMap for all containers."""
    return situation.llm is not None


def _values(environment: dict[str, str], container: str, pod: Pod) -> Iterator[Finding]:
    own = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    try:
        read_settings(own)
    except InvalidConfiguration as failure:
        yield error(
            failure.problem,
            f"The {container} of the {pod.role} ends with this sentence.",
            failure.hint,
            f"metadata:\n  annotations:\n    {MODE}: auto    # or stream, download"
            if "WELLHEAD_MODE" in failure.problem
            else "",
        )
    for name in unknown_variables(own):
        near = get_close_matches(name, _NAMES, 1)
        yield warning(
            f"the {container} of the {pod.role} has the variable {name}, which is no setting of Wellhead's",
            "It has no effect.",
            f"Did you mean {near[0]}?" if near else "See docs/reference.md.",
        )
