"""Which ServingRuntime or ClusterServingRuntime serves an InferenceService."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kserve.cluster import Cluster
from tests.kserve.errors import NotModelledError, Refused
from tests.kserve.manifests import Manifest, annotations_of, name_of
from tests.kserve.zero_values import without_zero_values

_PROTOCOLS = ("v1", "v2", "grpc-v1", "grpc-v2")
_SERVER_TYPE = "serving.kserve.io/server-type"
# Servers for which KServe adds variables and labels of their own.
_WITH_OWN_DEFAULTS = ("mlserver", "torchserve", "tritonserver")


@dataclass(frozen=True)
class Runtime:
    """A runtime as KServe uses it.

    Attributes:
        annotations: of its metadata; those for pods are in the spec.
    """

    name: str
    spec: Manifest
    annotations: dict[str, str]

    @property
    def server_type(self) -> str:
        """What KServe takes the server for: an annotation says so, or the name of one of KServe's own runtimes."""
        own, prefix, name = self.name.rpartition("kserve-")
        return self.annotations.get(_SERVER_TYPE) or (name if prefix and not own else "")


def select_runtime(cluster: Cluster, model: Manifest, namespace: str) -> Runtime:
    """The runtime that the model names, or the best of those that select themselves for its format.

    Raises:
        Refused: at the stage "reconcile".
        NotModelledError: one of KServe's runtimes with defaults of its own.
    """
    runtime = _named(cluster, model, namespace) if model.get("runtime") else _automatic(cluster, model, namespace)
    if runtime.server_type in _WITH_OWN_DEFAULTS:
        raise NotModelledError(f"KServe's defaults for {runtime.server_type}")
    return runtime


def _named(cluster: Cluster, model: Manifest, namespace: str) -> Runtime:
    name = model["runtime"]
    found = cluster.find("ServingRuntime", name, namespace) or cluster.find("ClusterServingRuntime", name)
    if found is None:
        raise Refused(
            "reconcile",
            f"No ServingRuntimes or ClusterServingRuntimes with the name: {name}",
            reason="RuntimeNotRecognized",
            status_message="Waiting for runtime to become available",
        )
    spec = found["spec"]
    if spec.get("disabled"):
        raise _refusal(name, "is disabled", "RuntimeDisabled")
    protocol = model.get("protocolVersion")
    if protocol is not None and not _speaks(spec, protocol):
        raise _refusal(name, "does not support specified protocol version")
    if not _serves(spec, model["modelFormat"], any_format=True):
        raise _refusal(name, "does not support specified framework/version")
    return Runtime(name, without_zero_values(spec), annotations_of(found))


def _refusal(name: str, problem: str, reason: str = "NoSupportingRuntime") -> Refused:
    shown = f"Specified runtime {problem}"
    return Refused("reconcile", f"specified runtime {name} {problem}", reason=reason, status_message=shown)


def _automatic(cluster: Cluster, model: Manifest, namespace: str) -> Runtime:
    """Those of the namespace first; then by priority, by protocol, and the newest first; then by name."""
    wanted, protocol = model["modelFormat"], model.get("protocolVersion") or "v1"
    scopes = [cluster.of_kind("ServingRuntime", namespace), cluster.of_kind("ClusterServingRuntime")]
    for scope in scopes:
        fitting = [
            each
            for each in scope
            if not each["spec"].get("disabled")
            and not each["spec"].get("multiModel")
            and "workerSpec" not in each["spec"]
            and _serves(each["spec"], wanted, any_format=False)
            and _speaks(each["spec"], protocol)
        ]
        if fitting:
            best = _in_order(fitting, wanted["name"])[0]
            return Runtime(name_of(best), without_zero_values(best["spec"]), annotations_of(best))
    # Go prints the version as a pointer; its address means nothing.
    shown = f"{{{wanted['name']} {'<nil>' if wanted.get('version') is None else '0xc000000000'}}}"
    raise Refused(
        "reconcile",
        f"no runtime found to support predictor with model type: {shown}",
        reason="NoSupportingRuntime",
        status_message="No runtime found to support specified framework/version",
    )


def _in_order(runtimes: list[Manifest], wanted: str) -> list[Manifest]:
    by_name = sorted(runtimes, key=name_of)
    by_age = sorted(by_name, key=lambda each: str(each["metadata"].get("creationTimestamp") or ""), reverse=True)
    by_protocol = sorted(by_age, key=lambda each: _protocol_rank(each["spec"]))
    return sorted(by_protocol, key=lambda each: -_priority(each["spec"], wanted))


def _serves(spec: Manifest, wanted: Manifest, *, any_format: bool) -> bool:
    """Names are compared as they are written; a version only where the service gives one."""
    for known in spec.get("supportedModelFormats") or []:
        if (any_format or known.get("autoSelect")) and known["name"] == wanted["name"]:
            version = wanted.get("version")
            if version is None or known.get("version") == version:
                return True
    return False


def _speaks(spec: Manifest, protocol: str) -> bool:
    protocols = spec.get("protocolVersions")
    return not protocols or protocol in protocols


def _priority(spec: Manifest, wanted: str) -> int:
    """0 for none, which is lower than any that is allowed."""
    known = [each for each in spec["supportedModelFormats"] if each["name"] == wanted]
    return int(known[0].get("priority") or 0)


def _protocol_rank(spec: Manifest) -> int:
    """A runtime that names none that KServe knows comes last."""
    known = [_PROTOCOLS.index(each) for each in spec.get("protocolVersions") or [] if each in _PROTOCOLS]
    return min(known, default=len(_PROTOCOLS))
