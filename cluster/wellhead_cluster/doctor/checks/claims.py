"""Volume claims that a pod waits for."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, ok, unknown
from wellhead_cluster.doctor.manifests import entries, section
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation

KIND = "PersistentVolumeClaim"
_SCHEME = "pvc://"


def check_claims(situation: Situation) -> Iterator[Finding]:
    """Of the pods' volumes and of `pvc://` URIs."""
    for pod in situation.pods:
        for name in claims_of(situation, pod):
            found = situation.known.find(KIND, name)
            if isinstance(found, dict):
                yield ok(f"{KIND} {name}")
            elif found.certain:
                yield error(
                    f"{KIND} {name} does not exist",
                    "The pod stays Pending.",
                    "Create it in the service's namespace, or correct its name.",
                )
            else:
                yield unknown(f"{KIND} {name} is not known", f"{found.reason}.", "Give it with a further -f.")


def claims_of(situation: Situation, pod: Pod) -> list[str]:
    """Names of claims, each once."""
    volumes = [section(each, "persistentVolumeClaim").get("claimName") for each in entries(pod.spec, "volumes")]
    mounted = [uri for uri, _ in (*pod.sources, *(situation.serving.predictor.pairs if situation.serving else ()))]
    named = [uri.removeprefix(_SCHEME).partition("/")[0] for uri in mounted if uri.startswith(_SCHEME)]
    return sorted({str(name) for name in (*volumes, *named) if name})
