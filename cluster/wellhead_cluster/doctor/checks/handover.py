"""Whether the engine's container gets at the store: sealed hand-over, an identity, or credentials of its own."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.expectation import Expectation, expect
from wellhead_cluster.doctor.findings import Finding, error, ok, unknown, warning
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.reach import reach_of
from wellhead_cluster.doctor.situation import Situation

_AUTOMOUNT = "automountServiceAccountToken"


def check_handover(situation: Situation) -> Iterator[Finding]:
    """Only where weights may stream with a secret: an identity serves both containers anyway."""
    for pod in situation.pods:
        expected, uri = expect(situation, pod), pod.uri
        if uri is None or pod.settings is None or not expected.may_stream or not pod.downloads_here:
            continue
        if uri.kind not in {"s3", "gs", "az"} or not reach_of(uri, pod.environment, pod.injected.files).static:
            continue
        if reach_of(uri, pod.served.environment, {}).static:
            yield ok(f"the server of the {pod.role} has credentials of its own, which win over the sealed ones")
        elif pod.settings.handoff == "off":
            say = error if expected.demanded else warning
            yield say(
                f"WELLHEAD_HANDOFF is off, and the server of the {pod.role} has no credentials that are known",
                "The engine streams with nothing to sign its requests with.",
                "Drop the setting, or give the server credentials of its own.",
            )
        else:
            yield from _token(pod, expected)


def _token(pod: Pod, expected: Expectation) -> Iterator[Finding]:
    """The credentials are sealed with the service account's token, which both containers mount."""
    own = (pod.injected.account or {}).get(_AUTOMOUNT)
    if pod.automount is False or (pod.automount is None and own is False):
        who = "the pod" if pod.automount is False else f"ServiceAccount {pod.account}"
        say = error if expected.demanded else warning
        outcome = "the service fails" if expected.demanded else "the model is downloaded instead of streamed"
        place = "\n".join("  " * depth + f"{part}:" for depth, part in enumerate(pod.place.split(".")))
        yield say(
            f"{who} says {_AUTOMOUNT}: false",
            f"Without the token the credentials cannot be sealed for the engine, and {outcome}.",
            "Let the pod mount it, give the engine credentials of its own, or use an identity of the cloud.",
            f"{place}\n{'  ' * len(pod.place.split('.'))}{_AUTOMOUNT}: true",
        )
    elif pod.injected.account is None and pod.automount is None and pod.account != "default":
        yield unknown(
            "whether the pod mounts its service-account token is not known",
            f"ServiceAccount {pod.account} may say {_AUTOMOUNT}: false.",
        )
    else:
        yield ok(f"the credentials of the {pod.role} are handed over sealed: the pod mounts its service-account token")
