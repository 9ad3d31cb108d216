"""Everything that the checks look at: one service, and what is known around it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wellhead_cluster.doctor.inference_service import Serving, serve
from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.kserve import NAMESPACE, Config, Release, config_of, release_of
from wellhead_cluster.doctor.llm_service import LlmServing, serve_llm
from wellhead_cluster.doctor.manifests import Manifest
from wellhead_cluster.doctor.pods import Pod

if TYPE_CHECKING:
    from wellhead_storage.errors import WellheadError
    from wellhead_storage.preview import Preview

SERVICES = ("InferenceService", "LLMInferenceService")


@dataclass(frozen=True, slots=True)
class Probed:
    """What looking into the store gave.

    Attributes:
        preview: what would happen; None where it failed, or was not tried.
        failure: why it failed.
        untried: why it was not tried, in a sentence.
    """

    preview: Preview | None = None
    failure: WellheadError | None = None
    untried: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the model itself.

    Attributes:
        size: bytes of the model, as stated or as probed; 0: not known.
        largest: bytes of its largest tensor; 0: not known.
        probed: what its store said; None where nobody asked for that.
    """

    size: int = 0
    largest: int = 0
    probed: Probed | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """One service and its surroundings.

    Attributes:
        service: the object.
        known: objects around it.
        release: KServe's version.
        config: KServe's ConfigMap.
        facts: about the model.
        serving: of an InferenceService, else None.
        llm: of an LLMInferenceService, else None.
    """

    service: Manifest
    known: Known
    release: Release
    config: Config
    facts: Facts
    serving: Serving | None = None
    llm: LlmServing | None = None

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Every kind of pod that the service has."""
        if self.serving:
            return (self.serving.pod,)
        return self.llm.pods if self.llm else ()

    @property
    def ours(self) -> bool:
        """Whether Wellhead's model server serves it, as far as that is known."""
        if self.serving:
            return bool(self.serving.runtime and self.serving.runtime.ours)
        return any(pod.downloads_here for pod in self.pods)


def situation_of(
    service: Manifest, known: Known, facts: Facts, *, stated_release: str = "", kserve: str = NAMESPACE
) -> Situation:
    """Work everything out.

    Args:
        service: an InferenceService or an LLMInferenceService.
        known: the cluster.
        facts: about the model.
        stated_release: KServe's version, where somebody stated it.
        kserve: KServe's namespace.
    """
    config, release = config_of(known, kserve), release_of(known, stated_release, kserve)
    if service["kind"] == "InferenceService":
        serving = serve(service, known, config, release)
        return Situation(service, known, release, config, facts, serving=serving)
    return Situation(service, known, release, config, facts, llm=serve_llm(service, known, config, kserve))
