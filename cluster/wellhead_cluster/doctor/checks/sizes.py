"""Memory and disk against the model, as far as its size is known."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.expectation import Expectation, expect
from wellhead_cluster.doctor.findings import Finding, error, ok, unknown, warning
from wellhead_cluster.doctor.manifests import Manifest, entries, section
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.quantities import quantity
from wellhead_cluster.doctor.situation import Situation
from wellhead_storage.files import in_gib


def check_sizes(situation: Situation) -> Iterator[Finding]:
    """Of every pod whose model comes through an init container."""
    for pod in situation.pods:
        expected = expect(situation, pod)
        if expected.may_stream and situation.ours:
            yield _buffer(situation, pod)
        if expected.way in {"download", "either"}:
            yield from _disk(situation, pod, expected)


def _buffer(situation: Situation, pod: Pod) -> Finding:
    """The rule of `wellhead_runtime.tuning`: the streamer's buffer must hold the largest tensor."""
    limit, largest = quantity(section(pod.server, "resources", "limits").get("memory")), situation.facts.largest
    if limit is None:
        return ok(f"the server of the {pod.role} has no memory limit")
    if not largest:
        return unknown(
            f"whether the largest tensor fits into {in_gib(limit)} (the memory limit of the {pod.role}) is not known",
            "Nobody has looked at the model.",
            "Look with --probe, or state it with --largest-tensor.",
        )
    seen = f"the largest tensor has {in_gib(largest)}, and the {pod.role} may use {in_gib(limit)} of memory"
    if largest > limit:
        return error(
            seen,
            "The streamer's buffer must hold it: the server ends before vLLM starts.",
            "Raise the limit, or drop it.",
            f"resources:\n  limits:\n    memory: {_rounded(2 * largest)}",
        )
    return ok(seen)


def _disk(situation: Situation, pod: Pod, expected: Expectation) -> Iterator[Finding]:
    size, volume = situation.facts.size, pod.model_volume
    whether = "" if expected.way == "download" else ", if it is downloaded"
    if "emptyDir" in volume or not volume:
        yield from _scratch(situation, pod, section(volume, "emptyDir"), whether)
    elif size:
        yield unknown(
            f"whether {in_gib(size)} fit into volume {volume.get('name')} is not known",
            "Its size is that of a claim.",
        )


def _scratch(situation: Situation, pod: Pod, scratch: Manifest, whether: str) -> Iterator[Finding]:
    size = situation.facts.size
    in_memory = scratch.get("medium") == "Memory"
    limits = {"sizeLimit of the model's volume": quantity(scratch.get("sizeLimit"))}
    if not in_memory:
        limits["ephemeral-storage of the pod's containers"] = _ephemeral(pod)
    else:
        limits["memory limit of the init container, which files in memory count against"] = quantity(
            section(pod.initializer or {}, "resources", "limits").get("memory")
        )
    stated = {name: limit for name, limit in limits.items() if limit is not None}
    if not stated:
        yield ok(f"no limit on the disk of the {pod.role}{whether}: the node's own counts")
    for name, limit in stated.items():
        if not size:
            yield unknown(
                f"whether the model fits into {in_gib(limit)} ({name}) is not known{whether}",
                "Nobody has looked at the model.",
                "Look with --probe, or state it with --model-size.",
            )
        elif size > limit:
            say = warning if whether else error
            yield say(
                f"the model has {in_gib(size)}, and {in_gib(limit)} is the {name}{whether}",
                "The init container fails, or the pod is evicted.",
                f"Raise it to {_rounded(size + size // 10)} or more, or stream.",
            )
        else:
            yield ok(f"the model has {in_gib(size)}, and {in_gib(limit)} is the {name}{whether}")


def _ephemeral(pod: Pod) -> int | None:
    """What the kubelet evicts the pod for: the containers' limits together, or an init container's if that is more."""
    together = [_storage(each) for each in (pod.server, *entries(pod.spec, "containers"))]
    known = [each for each in together if each is not None]
    first = _storage(pod.initializer or {})
    if not known and first is None:
        return None
    return max(sum(known), first or 0)


def _storage(container: Manifest) -> int | None:
    return quantity(section(container, "resources", "limits").get("ephemeral-storage"))


def _rounded(count: int) -> str:
    return f"{-(-count // 2**30)}Gi"
