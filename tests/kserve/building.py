"""The way in: from a cluster and an object that makes pods to what the cluster would hold afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kserve.cluster import Cluster
from tests.kserve.errors import NotModelledError, Refused
from tests.kserve.inference_service import admit_inference_service, create_pod, reconcile
from tests.kserve.llm_configs import stored_service
from tests.kserve.llm_service import reconcile_llm
from tests.kserve.local_models import download_jobs
from tests.kserve.manifests import Manifest
from tests.kserve.settings import Settings
from tests.kserve.storage_containers import Chooser

WORKLOAD_KINDS = ("InferenceService", "LLMInferenceService", "LocalModelCache", "LocalModelNode")


@dataclass(frozen=True)
class Outcome:
    """What one object leads to.

    Attributes:
        service: the object as it is stored.
        workloads: its Deployments, LeaderWorkerSets or Jobs.
        pods: one for each pod template of the workloads, in their order; none for Jobs, which are their template.
        storage_container: name of the ClusterStorageContainer that was used.
        candidates: all that KServe could have used as well, because it chooses at random; itself included.
    """

    service: Manifest
    workloads: tuple[Manifest, ...]
    pods: tuple[Manifest, ...]
    storage_container: str | None = None
    candidates: tuple[str, ...] = ()

    @property
    def pod(self) -> Manifest:
        """The only pod.

        Raises:
            ValueError: there are more, or none.
        """
        (pod,) = self.pods
        return pod


def build(cluster: Cluster, service: Manifest, storage_container: str | None = None) -> Outcome:
    """What the cluster makes of an object; `service` need not be among the cluster's.

    Args:
        storage_container: the one to use where KServe chooses at random; the first by name without.

    Raises:
        Refused: the cluster says no.
        NotModelledError: nobody knows what the cluster does.
    """
    settings, chooser = Settings.of(cluster), Chooser(cluster, storage_container)
    if service["kind"] == "InferenceService":
        stored = admit_inference_service(service, cluster, settings)
        deployment = reconcile(stored, cluster, settings, chooser)
        pod = create_pod(deployment, cluster, settings, chooser)
        return Outcome(stored, (deployment,), (pod,), chooser.chosen, chooser.candidates)
    if service["kind"] in {"LocalModelNode", "LocalModelCache"}:
        jobs = download_jobs(service, cluster, settings, chooser)
        return Outcome(service, tuple(jobs), (), chooser.chosen, chooser.candidates)
    if service["kind"] == "LLMInferenceService":
        stored = stored_service(service)
        made = reconcile_llm(stored, cluster, settings)
        return Outcome(stored, made.workloads, made.pods)
    raise NotModelledError(f"kind {service['kind']}")


def build_all(cluster: Cluster, service: Manifest) -> list[Outcome | Refused]:
    """Every outcome that is possible: one, or one for each storage container that KServe may choose."""
    first = _attempt(cluster, service, None)
    candidates = first.candidates if isinstance(first, Outcome) else _matching(cluster)
    others = [_attempt(cluster, service, name) for name in candidates]
    distinct: list[Outcome | Refused] = []
    for outcome in others or [first]:
        if not any(_same(outcome, known) for known in distinct):
            distinct.append(outcome)
    return distinct


def _attempt(cluster: Cluster, service: Manifest, storage_container: str | None) -> Outcome | Refused:
    try:
        return build(cluster, service, storage_container)
    except Refused as refusal:
        return refusal


def _matching(cluster: Cluster) -> list[str]:
    return sorted(each["metadata"]["name"] for each in cluster.of_kind("ClusterStorageContainer"))


def _same(one: Outcome | Refused, other: Outcome | Refused) -> bool:
    if isinstance(one, Refused) or isinstance(other, Refused):
        return str(one) == str(other) and type(one) is type(other)
    return one.workloads == other.workloads and one.pods == other.pods
