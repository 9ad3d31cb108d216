"""vLLM's arguments, by the rules of `wellhead serve` itself (`wellhead_runtime.arguments` and `launch`)."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.expectation import expect
from wellhead_cluster.doctor.findings import Finding, error, ok, warning
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation
from wellhead_runtime.arguments import EngineArguments, is_uri
from wellhead_runtime.launch import plain_launch
from wellhead_runtime.machine import Machine
from wellhead_storage.errors import ArgumentConflict
from wellhead_storage.plan import CredentialsTravel, Fetched, Plan, Weights

# Enough for any rule that is about arguments; memory has a check of its own.
_MACHINE = Machine(cpus=8, memory=2**50, available=2**50, engine="cuda", engine_version="")


def check_arguments(situation: Situation) -> Iterator[Finding]:
    """Of Wellhead's servers."""
    if not situation.ours:
        return
    for pod in situation.pods:
        try:
            arguments = pod.engine_arguments
        except ArgumentConflict as failure:
            yield error(failure.problem, f"The server of the {pod.role} ends with this sentence.", failure.hint)
            continue
        found = [*_model(pod, arguments), *_plan(situation, pod, arguments)]
        yield from found or [ok(f"the arguments of the {pod.role} agree with each other and with the load plan")]


def _model(pod: Pod, arguments: EngineArguments) -> Iterator[Finding]:
    if arguments.model is None and not arguments.has("--config"):
        yield error(
            f"the server of the {pod.role} names no model",
            "`wellhead serve` ends at once.",
            "Take the runtime's arguments, and add yours in `args`.",
        )
    elif arguments.model and is_uri(arguments.model):
        yield warning(
            f"the server of the {pod.role} is told to prepare {arguments.model.partition('?')[0]} itself",
            "The init container prepares a model as well, which is not used then.",
            "Drop the model from the arguments.",
        )


def _plan(situation: Situation, pod: Pod, arguments: EngineArguments) -> Iterator[Finding]:
    """Against the plan that a probe has found, else against the plainest one that streams."""
    expected, probed = expect(situation, pod), situation.facts.probed
    if probed and probed.preview:
        plan = probed.preview.plan
    elif expected.may_stream and pod.uri is not None:
        plan = _streaming(pod.uri.location)
    else:
        return
    certain = bool(probed and probed.preview) or expected.demanded
    try:
        plain_launch(plan, arguments, pod.folder, _MACHINE, {})
    except ArgumentConflict as failure:
        say = error if certain else warning
        yield say(
            failure.problem,
            f"The server of the {pod.role} ends with this sentence"
            + ("." if certain else ", if the model turns out to be one that streams."),
            failure.hint,
        )


def _streaming(uri: str) -> Plan:
    return Plan(
        uri=uri,
        resolved=uri,
        mode="stream",
        reasons=("assumed",),
        weights=Weights(
            uri=uri if uri.startswith(("s3://", "gs://", "az://")) else f"s3://{uri}",
            layout="safetensors",
            total_bytes=0,
        ),
        credentials=CredentialsTravel(handoff="none"),
        fetched=Fetched(files=0, bytes=0),
    )
