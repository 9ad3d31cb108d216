"""The service account of every pod."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.dialects import AZURE_LABEL, IDENTITIES, S3_PREFIX
from wellhead_cluster.doctor.findings import Finding, error, listed, ok, unknown, warning
from wellhead_cluster.doctor.manifests import annotations_of, labels_of, strings
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation

_IRSA = "eks.amazonaws.com/role-arn"


def check_account(situation: Situation) -> Iterator[Finding]:
    """It exists, and what its annotations are good for."""
    for pod in situation.pods:
        if pod.injected.absent:
            yield error(
                f"ServiceAccount {pod.account} of the {pod.role} does not exist",
                "The API server refuses the pods.",
                "Create it, or name another one.",
                f"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {pod.account}",
            )
            continue
        for text in pod.injected.unknown:
            if text.startswith("ServiceAccount"):
                yield unknown("the service account is not known", f"{text}.", "Give it with a further -f.")
        if pod.injected.account is not None:
            yield from _of_account(situation, pod)


def _of_account(situation: Situation, pod: Pod) -> Iterator[Finding]:
    own = annotations_of(pod.injected.account or {})
    identities = [IDENTITIES[name] for name in own if name in IDENTITIES]
    shown = f"ServiceAccount {pod.account}" + (f", {listed([what for _, what in identities])}" if identities else "")
    yield ok(shown)
    settings = [name for name in own if name.startswith(f"{S3_PREFIX}s3-")]
    if settings and _IRSA not in own:
        yield warning(
            f"ServiceAccount {pod.account} has S3 settings ({listed(settings)}) and no role",
            f"KServe reads them there only beside {_IRSA}; otherwise from the secret's annotations.",
            "Move them to the secret.",
        )
    azure = any(kind == "az" for kind, _ in identities)
    labels = {
        **strings(situation.serving.runtime.spec if situation.serving and situation.serving.runtime else {}, "labels"),
        **labels_of(situation.service if situation.serving else {}),
        **strings(situation.service, *pod.place.split(".")[: 2 if situation.serving else -1], "labels"),
    }
    if azure and labels.get(AZURE_LABEL) != "true":
        yield error(
            f"ServiceAccount {pod.account} stands for an Azure identity, and its pods lack the label {AZURE_LABEL}",
            "Azure's webhook gives the identity to pods with that label only.",
            "Add the label.",
            f'{_labels_snippet(situation)}{AZURE_LABEL}: "true"',
        )


def _labels_snippet(situation: Situation) -> str:
    if situation.serving:
        return "spec:\n  predictor:\n    labels:\n      "
    return "spec:\n  labels:\n    "
