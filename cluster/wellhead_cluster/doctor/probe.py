"""`--probe`: what `wellhead init` would do with the model, asked from here with the credentials of the manifests."""

from __future__ import annotations

from wellhead_cluster.doctor.expectation import expect
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.reach import brought, reach_of
from wellhead_cluster.doctor.situation import Probed, Situation
from wellhead_storage.errors import WellheadError
from wellhead_storage.settings import PREFIX, read_settings

_NEEDED = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure"}
# A person waits: give up earlier than a pod would.
_IMPATIENT = {f"{PREFIX}RETRY_TIMEOUT": "5", f"{PREFIX}STALL_TIMEOUT": "10", f"{PREFIX}REQUEST_TIMEOUT": "30"}


def probe(situation: Situation) -> Probed:
    """Look at the model of the first pod, as `wellhead plan` does; this machine's own credentials are left alone."""
    if not situation.pods:
        return Probed(untried="the service has no pods that are known")
    pod = situation.pods[0]
    if untried := _untried(situation, pod):
        return Probed(untried=untried)
    from wellhead_storage.preview import preview

    own = pod.environment
    if not own.get("HF_TOKEN"):  # not even one that huggingface_hub would find on this machine
        own = own | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    try:
        with brought(own, pod.injected.files) as usable:
            environment = usable | _IMPATIENT
            settings = read_settings(environment)
            return Probed(preview=preview(pod.sources[0][0], settings, environment))
    except WellheadError as error:
        return Probed(failure=error)


def _untried(situation: Situation, pod: Pod) -> str:
    """Why there is nothing to ask, or nobody to ask it as."""
    expected, uri = expect(situation, pod), pod.uri
    if uri is None or expected.way == "mounted":
        return expected.reason
    if pod.injected.missing or pod.injected.absent or pod.injected.problems:
        return "the credentials have to be put right first"
    if pod.settings is None:
        return "Wellhead's settings are not valid"
    reach = reach_of(uri, pod.environment, pod.injected.files)
    if uri.kind in _NEEDED and not reach.static and not reach.anonymous and not reach.problem:
        return f"the manifests hold no secret for {_NEEDED[uri.kind]}, and a pod's identity cannot be borrowed here"
    return ""
