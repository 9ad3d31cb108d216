"""Which container gets which credentials, and whether they are for this store."""

from __future__ import annotations

import json
from collections.abc import Iterator

from wellhead_cluster.doctor.dialects import IDENTITIES, SERVES, WORDS
from wellhead_cluster.doctor.expectation import expect
from wellhead_cluster.doctor.findings import Finding, error, listed, ok, unknown, warning
from wellhead_cluster.doctor.injection import bundle_of
from wellhead_cluster.doctor.manifests import annotations_of
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.reach import Reach, reach_of
from wellhead_cluster.doctor.situation import Situation

_KINDS = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure", "hf": "Hugging Face", "http": "a web server"}
_NEEDED = {"s3", "gs", "az"}


def check_credentials(situation: Situation) -> Iterator[Finding]:
    """For the init container of every pod."""
    for pod in situation.pods:
        if expect(situation, pod).way == "mounted" or pod.uri is None:
            continue
        if situation.serving and pod.own_initializer:
            yield ok("KServe adds no credentials to an init container of the service's own, which brings them itself")
        if pod.own_initializer and situation.llm:
            yield ok(f"KServe's initializer is off, so the {pod.role} gets no credentials from KServe")
        yield from _of_pod(pod)
        yield from _bundle(situation, pod)


def _of_pod(pod: Pod) -> Iterator[Finding]:
    uri = pod.uri
    if uri is None:
        return
    if uri.kind not in _KINDS:
        kinds = [WORDS[dialect] for dialect in pod.injected.secrets.values() if dialect]
        what = f"the init container gets {listed(kinds)}" if kinds else "the init container gets none"
        yield ok(f"{what}; which are needed shows only where {uri.scheme}:// leads")
        return
    reach = reach_of(uri, pod.environment, pod.injected.files)
    if reach.problem:
        yield error(reach.problem, "The init container ends with this sentence.", reach.hint)
    elif reach.static:
        yield ok(f"the init container gets {reach.words} for {_KINDS[uri.kind]}; the server gets none from KServe")
    else:
        yield from _without(pod, uri.kind, reach)
    others = {WORDS[dialect] for dialect in pod.injected.secrets.values() if dialect and SERVES[dialect] != uri.kind}
    if others and not reach.static and uri.kind in _NEEDED:
        yield warning(
            f"the service account has {listed(sorted(others))}, and the model is in {_KINDS[uri.kind]}",
            "They are for another store.",
            "Add a secret for this one.",
        )


def _without(pod: Pod, kind: str, reach: Reach) -> Iterator[Finding]:
    own = annotations_of(pod.injected.account or {})
    identities = [what for name, (of, what) in IDENTITIES.items() if name in own and of == kind]
    if identities:
        yield ok(f"{identities[0]} serves both containers")
    elif reach.anonymous:
        yield ok(f"access to {_KINDS[kind]} is anonymous, as asked for")
    elif pod.injected.unknown or pod.initial.unknown:
        yield unknown(
            f"whether the init container gets credentials for {_KINDS[kind]} is not known",
            f"{'; '.join([*pod.injected.unknown, *pod.initial.unknown])}.",
            "Give service accounts and secrets with a further -f.",
        )
    elif kind not in _NEEDED:
        yield ok(f"no credentials: enough for what is public at {_KINDS[kind]}")
    elif reach.elsewhere:
        yield error(
            f"no credentials for {_KINDS[kind]}, and an endpoint that is not the cloud's own",
            "No identity of a cloud is good there, so the init container ends at once.",
            "List a secret on the service account, or state anonymous access.",
            _ACCOUNT,
        )
    else:
        yield warning(
            f"no credentials for {_KINDS[kind]} are found",
            "It works only where the node, or an association outside of these manifests (EKS Pod Identity), "
            f"gives the pod an identity{'' if kind == 's3' else ', or where anybody may read'}.",
            "List a secret on the service account, or give the account an identity.",
            _ACCOUNT,
        )


_ACCOUNT = "spec:\n  predictor:\n    serviceAccountName: s3-models    # ServiceAccount with secrets: [{name: …}]"


def _bundle(situation: Situation, pod: Pod) -> Iterator[Finding]:
    """The ConfigMap with certificates, which KServe mounts without looking whether it is there."""
    if not pod.sources or (pod.own_initializer and situation.serving):
        return
    name = bundle_of(pod.injected.environment, situation.config)
    if not name:
        return
    found = situation.known.find("ConfigMap", name)
    if isinstance(found, dict):
        yield ok(f"certificates from ConfigMap {name}")
    elif found.certain:
        yield error(
            f"ConfigMap {name} with the certificates does not exist",
            "The pod waits for it and never starts.",
            "Create it in the service's namespace.",
            json.dumps({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"cabundle.crt": "…"}}),
        )
    else:
        yield unknown(f"ConfigMap {name} with the certificates is not known", f"{found.reason}.")
