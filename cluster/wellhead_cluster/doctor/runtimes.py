"""Which ServingRuntime or ClusterServingRuntime serves an InferenceService (kserve.md 7.2). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.manifests import (
    ENGINE,
    MAIN,
    Manifest,
    entries,
    is_ours,
    name_of,
    named,
    section,
    strings,
    words,
)

KINDS = ("ServingRuntime", "ClusterServingRuntime")
_PROTOCOLS = ("v1", "v2", "grpc-v1", "grpc-v2")


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """What KServe makes of format, protocol and name.

    Attributes:
        runtime: the one that serves; None where there is none, or where it is not known.
        problem: why KServe refuses, in a sentence.
        unknown: why nobody can tell.
        by_name: the service names it.
    """

    runtime: Manifest | None = None
    problem: str = ""
    unknown: str = ""
    by_name: bool = False

    @property
    def spec(self) -> Manifest:
        """Its spec; empty without one."""
        return section(self.runtime or {}, "spec")

    @property
    def server(self) -> Manifest:
        """Its main container; empty without one."""
        return named(entries(self.spec, "containers"), MAIN)

    @property
    def ours(self) -> bool:
        """Whether it is one of Wellhead's: its pods say that they understand a load plan, or its image is ours."""
        return ENGINE in strings(self.spec, "annotations") or is_ours(self.server)


def choose_runtime(model: Manifest, known: Known) -> RuntimeChoice:
    """The runtime that the model names, or the best of those that select themselves for its format."""
    if name := str(model.get("runtime") or ""):
        return _by_name(name, model, known)
    wanted = section(model, "modelFormat")
    protocol = str(model.get("protocolVersion") or "v1")
    gaps = [f"{kind}s: {gap}" for kind in KINDS if (gap := known.gap(kind))]
    for kind in KINDS:
        fitting = [each for each in known.all(kind) if _selects_itself(section(each, "spec"), wanted, protocol)]
        if fitting:
            best = _in_order(fitting, str(wanted.get("name")))[0]
            return RuntimeChoice(best, unknown="; ".join(gaps))
    shown = _format(wanted)
    if gaps:
        return RuntimeChoice(unknown="; ".join(gaps))
    return RuntimeChoice(problem=f"no runtime selects itself for format {shown} and protocol {protocol}")


def formats(runtime: Manifest) -> list[str]:
    """The formats that a runtime serves, as they have to be written."""
    return sorted({str(each.get("name")) for each in entries(runtime, "spec", "supportedModelFormats")})


def _by_name(name: str, model: Manifest, known: Known) -> RuntimeChoice:
    reasons = []
    for kind in KINDS:
        found = known.find(kind, name)
        if isinstance(found, dict):
            return RuntimeChoice(found, _mismatch(found, model), by_name=True)
        if not found.certain:
            reasons.append(f"{kind}s: {found.reason}")
    if reasons:
        return RuntimeChoice(unknown="; ".join(reasons), by_name=True)
    return RuntimeChoice(problem=f"there is no ServingRuntime and no ClusterServingRuntime {name}", by_name=True)


def _mismatch(runtime: Manifest, model: Manifest) -> str:
    spec, wanted = section(runtime, "spec"), section(model, "modelFormat")
    if spec.get("disabled"):
        return f"runtime {name_of(runtime)} is disabled"
    protocol = model.get("protocolVersion")
    if protocol and not _speaks(spec, str(protocol)):
        spoken = ", ".join(words(spec, "protocolVersions"))
        return f"runtime {name_of(runtime)} does not speak protocol {protocol} (it speaks {spoken})"
    if not _serves(spec, wanted, any_format=True):
        return f"runtime {name_of(runtime)} does not serve format {_format(wanted)}"
    return ""


def _format(wanted: Manifest) -> str:
    version = wanted.get("version")
    return f"{wanted.get('name')!r}" + (f" version {version!r}" if version is not None else "")


def _selects_itself(spec: Manifest, wanted: Manifest, protocol: str) -> bool:
    if spec.get("disabled") or spec.get("multiModel") or "workerSpec" in spec:
        return False
    return _serves(spec, wanted, any_format=False) and _speaks(spec, protocol)


def _serves(spec: Manifest, wanted: Manifest, *, any_format: bool) -> bool:
    """Names are compared as they are written; a version only where the service gives one."""
    version = wanted.get("version")
    return any(
        (any_format or known.get("autoSelect"))
        and known.get("name") == wanted.get("name")
        and (version is None or known.get("version") == version)
        for known in entries(spec, "supportedModelFormats")
    )


def _speaks(spec: Manifest, protocol: str) -> bool:
    spoken = words(spec, "protocolVersions")
    return not spoken or protocol in spoken


def _in_order(runtimes: list[Manifest], wanted: str) -> list[Manifest]:
    """By priority, then by protocol, then the newest, then by name."""
    by_name = sorted(runtimes, key=name_of)
    by_age = sorted(
        by_name, key=lambda each: str(section(each, "metadata").get("creationTimestamp") or ""), reverse=True
    )
    return sorted(by_age, key=lambda each: (-_priority(each, wanted), _protocol_rank(section(each, "spec"))))


def _priority(runtime: Manifest, wanted: str) -> int:
    known = named(entries(runtime, "spec", "supportedModelFormats"), wanted)
    return int(known.get("priority") or 0)


def _protocol_rank(spec: Manifest) -> int:
    known = [_PROTOCOLS.index(each) for each in words(spec, "protocolVersions") if each in _PROTOCOLS]
    return min(known, default=len(_PROTOCOLS))
