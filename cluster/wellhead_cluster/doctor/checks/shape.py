"""What KServe or the API server refuses in an InferenceService, whatever its model."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, listed, ok, warning
from wellhead_cluster.doctor.inference_service import Serving
from wellhead_cluster.doctor.manifests import Manifest, entries, section
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
_MULTI_NODE = ("pvc://", "oci://")


def check_shape(situation: Situation) -> Iterator[Finding]:
    """Fields that exclude each other, and what merging with the runtime leads to."""
    found = [*(_of_service(situation.serving) if situation.serving else ())]
    for pod in situation.pods:
        found += _of_server(pod)
    yield from found or [ok("nothing in its shape that KServe or the API server would refuse")]


def _of_service(serving: Serving) -> Iterator[Finding]:
    predictor = serving.predictor
    model = predictor.model or {}
    refused = "KServe's webhook refuses the service."
    if predictor.uri and predictor.pairs:
        yield error("both storageUri and storageUris are set", refused, "Keep one of them.")
    if predictor.uri and "path" in (predictor.storage or {}):
        yield error("both storageUri and storage.path are set", "KServe makes no Deployment.", "Keep one of them.")
    if model.get("name"):
        yield error("spec.predictor.model has a name", refused, "Remove it: KServe names the container.")
    if model and not predictor.asked and section(model, "modelFormat").get("name") != "huggingface":
        yield error(
            "the service names no model: no storageUri, storageUris or storage",
            "KServe takes it for a server of many models, and adds an agent to it. A --model in `args` does not count.",
            "Give storageUri.",
            "spec:\n  predictor:\n    model:\n      storageUri: s3://bucket/folder",
        )
    multi_node = predictor.spec.get("workerSpec") is not None
    if multi_node and not predictor.uri.startswith(_MULTI_NODE):
        yield error(
            "a multi-node service (workerSpec) with a model that is neither on pvc:// nor in oci://",
            refused,
            "Use an LLMInferenceService with worker, or a volume claim.",
        )
    yield from _folders(serving)


def _folders(serving: Serving) -> Iterator[Finding]:
    pairs = serving.predictor.pairs
    for uri, path in pairs:
        if not uri or not path.startswith("/") or ".." in path or path == "/":
            yield error(
                f"storageUris has {uri or 'an empty URI'} at {path}",
                "KServe's webhook refuses empty URIs, and folders that are not absolute, are / or hold `..`.",
                "Correct the entry.",
            )
        if uri.startswith("pvc://") and "/" in uri.removeprefix("pvc://").rstrip("/"):
            yield warning(
                f"storageUris has {uri}",
                "There KServe mounts a claim whole and ignores the path behind its name.",
                f"Expect the model in a folder under {path}.",
            )
    downloads = [path for uri, path in pairs if not uri.startswith("pvc://") and path.startswith("/")]
    if len(downloads) > 1 and posixpath.commonpath(downloads) == "/":
        yield error(
            f"the folders of storageUris ({listed(downloads)}) share no parent but /",
            "KServe's webhook refuses the service: all of them lie on one volume.",
            "Put them under one folder, /mnt for example.",
        )
    claims = [path for uri, path in pairs if uri.startswith("pvc://")]
    model = serving.pod.engine_model
    if pairs and serving.runtime and serving.runtime.ours and model and model not in {*downloads, *claims}:
        yield error(
            f"the server reads {model}, and storageUris fill {listed([*downloads, *claims])}",
            "There is no model in that folder.",
            "Give one of storageUris that mountPath, or name its folder.",
            f"spec:\n  predictor:\n    storageUris:\n    - uri: {pairs[0][0]}\n      mountPath: {model}",
        )


def _of_server(pod: Pod) -> Iterator[Finding]:
    ports = Counter(str(each["name"]) for each in entries(pod.server, "ports") if each.get("name"))
    for name, count in ports.items():
        if count > 1:
            yield error(
                f"{count} ports of the {pod.role}'s server are called {name}",
                "Ports of runtime and service merge by number, not by name; the API server refuses the Service.",
                "Give your port another name.",
            )
    for probe in _PROBES:
        handlers = [each for each in _HANDLERS if each in section(pod.server, probe)]
        if len(handlers) > 1:
            yield error(
                f"the {probe} of the {pod.role}'s server asks in {len(handlers)} ways: {listed(handlers)}",
                "Probes of runtime and service merge field by field; the API server refuses the pod.",
                "Ask in the runtime's way, or set the other one to null.",
            )
    yield from _volumes(pod)
    for variable in entries(pod.server, "env"):
        if variable.get("name") == "PYTHONPATH":
            yield error("the server has the variable PYTHONPATH", "KServe's webhook refuses it.", "Remove it.")


def _volumes(pod: Pod) -> Iterator[Finding]:
    volumes = entries(pod.spec, "volumes")
    names = {each.get("name") for each in volumes}
    for volume in volumes:
        kinds = [key for key, value in volume.items() if key != "name" and isinstance(value, dict)]
        if len(kinds) > 1:
            yield error(
                f"volume {volume.get('name')} has {len(kinds)} kinds: {listed(kinds)}",
                "A service cannot change the kind of a runtime's volume, only its fields; the API server refuses both.",
                "Use a volume of another name.",
            )
    for container in (pod.server, pod.initializer or {}):
        for mount in _dangling(container, names):
            yield error(
                f"a container of the {pod.role} mounts {mount}, and the pod has no such volume",
                "The API server refuses the pod.",
                "Declare the volume.",
            )


def _dangling(container: Manifest, names: set[object]) -> list[str]:
    provided = {"kserve-provision-location", "kserve-pvc-source"}
    return [
        str(each.get("name")) for each in entries(container, "volumeMounts") if each.get("name") not in names | provided
    ]
