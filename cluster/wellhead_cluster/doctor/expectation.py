"""Stream or download? What can be said before anybody has looked at the model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wellhead_cluster.doctor.manifests import is_ours
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation
from wellhead_storage.decision import obstacles_to_store
from wellhead_storage.settings import Settings
from wellhead_storage.uri import StorageUri

Way = Literal["stream", "either", "download", "mounted", "unknown"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """How the weights will reach the engine.

    Attributes:
        way: `stream`: demanded, or found by a probe; `either`: streams if the model allows it; `mounted`: they are on a
            volume already; `unknown`: nobody knows which init container the pod gets.
        demanded: the service fails rather than downloads.
        reason: in words.
    """

    way: Way
    reason: str
    demanded: bool = False

    @property
    def may_stream(self) -> bool:
        """Whether it can come to streaming."""
        return self.way in {"stream", "either"}


def expect(situation: Situation, pod: Pod) -> Expectation:
    """For the model of one pod."""
    uri, settings = pod.uri, pod.settings
    if situation.serving and situation.serving.container.needless and not pod.own_initializer:
        return Expectation("mounted", situation.serving.container.needless)
    if uri is None:
        return Expectation("unknown", "there is no URI that can be read")
    if uri.kind in {"mounted", "file"}:
        return Expectation("mounted", f"{uri.scheme}:// is read in place")
    if situation.serving and pod.initializer is None:
        candidates = situation.serving.container.candidates
        if len(candidates) > 1:
            return Expectation("unknown", "KServe throws dice between storage containers")
        return Expectation("unknown", "the init container is not known")
    if pod.initializer is None or not is_ours(pod.initializer):
        return Expectation("download", "the init container is not Wellhead's")
    if settings is None:
        return Expectation("unknown", "Wellhead's settings are not valid")
    return _of_ours(situation, uri, settings)


def _of_ours(situation: Situation, uri: StorageUri, settings: Settings) -> Expectation:
    demanded = uri.forced_stream or (settings.mode == "stream" and settings.engine == "vllm")
    probed = situation.facts.probed
    if probed and probed.preview:
        mode = probed.preview.plan.mode
        way: Way = "stream" if mode == "stream" else "download"
        return Expectation(way, "; ".join(probed.preview.plan.reasons), demanded)
    if settings.mode == "download" and not uri.forced_stream:
        return Expectation("download", "mode download was asked for")
    if uri.kind == "registry":
        return Expectation("either", "the registry says where the model is", demanded)
    if uri.kind == "hf" and settings.mirror:
        return Expectation("either", "a mirror may have the model", demanded)
    if obstacles := obstacles_to_store(uri, settings):
        return Expectation("download", "; ".join(obstacles), demanded)
    if demanded:
        return Expectation("stream", "streaming is demanded", demanded)
    return Expectation("either", f"{uri.scheme}:// can be streamed, if the model can")
