"""How long Kubernetes waits for a model to load: startup probe, progress deadline."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.expectation import expect
from wellhead_cluster.doctor.findings import Finding, ok, unknown, warning
from wellhead_cluster.doctor.manifests import Manifest, section
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation
from wellhead_storage.files import in_gib

_MODE = "serving.kserve.io/deploymentMode"
_KNATIVE = ("Knative", "Serverless")
_DEADLINE = "serving.knative.dev/progress-deadline"
_KNATIVE_SECONDS = 600
_STANDARD_SECONDS = 600  # KServe's own for every Deployment (kserve.md 7.4)
_ENGINE_SECONDS = 120  # what vLLM wants besides the weights, generously (baseline-measurements.md: 40 on two cores)
_SHORT = 600
_FAST = 512 * 2**20  # bytes a second that half a link of 10 Gbit/s gives


def check_patience(situation: Situation) -> Iterator[Finding]:
    """Of Wellhead's servers; those of LLMInferenceServices take their probes from KServe's templates."""
    for pod in situation.pods:
        if not situation.ours:
            continue
        if pod.server.get("startupProbe") or situation.serving:
            yield _probe(situation, pod)
    if situation.serving and situation.ours:
        yield from _deadline(situation)


def _probe(situation: Situation, pod: Pod) -> Finding:
    startup, liveness = section(pod.server, "startupProbe"), section(pod.server, "livenessProbe")
    if not startup and not liveness:
        return ok(f"no probe ends the {pod.role} while it loads")
    seconds = _window(startup or liveness)
    which = "startup" if startup else "liveness"
    seen = f"the {which} probe gives the {pod.role} {seconds:,} s to load"
    longer = "startupProbe:\n  periodSeconds: 2\n  failureThreshold: 1800"
    size = situation.facts.size
    if size and expect(situation, pod).way != "unknown":
        rate = size / max(1, seconds - _ENGINE_SECONDS)
        seen += f": {in_gib(size)} need {in_gib(int(rate))} a second"
        if rate > _FAST:
            return warning(
                seen,
                "A slower store or disk means a server that is killed while it loads, again and again.",
                "Give it longer.",
                longer,
            )
    elif seconds < _SHORT:
        return warning(
            seen,
            "Large models take longer, and a server that is killed while it loads starts from the beginning.",
            "Keep the runtime's startup probe, which gives an hour.",
            longer,
        )
    return ok(seen)


def _window(probe: Manifest) -> int:
    """Seconds until the kubelet gives up; Kubernetes' defaults are 10 s and 3 failures."""
    numbers = {"initialDelaySeconds": 0, "periodSeconds": 10, "failureThreshold": 3}
    read = {
        name: int(probe[name]) if isinstance(probe.get(name), int) else default for name, default in numbers.items()
    }
    return read["initialDelaySeconds"] + read["periodSeconds"] * read["failureThreshold"]


def _deadline(situation: Situation) -> Iterator[Finding]:
    (pod,) = situation.pods
    default = str(situation.config.of("deploy").get("defaultDeploymentMode") or "")
    mode = pod.annotations.get(_MODE) or ("" if situation.config.assumed else default)
    if not mode:
        yield unknown(
            "whether the service runs on Knative or as a Deployment is not known",
            f"The service does not say, and KServe's ConfigMap is not known: {situation.config.assumed}.",
            f"State {_MODE}.",
        )
        return
    window = _window(section(pod.server, "startupProbe"))
    if mode in _KNATIVE:
        given = _seconds(pod.annotations.get(_DEADLINE, ""))
        if (given or _KNATIVE_SECONDS) < window:
            yield warning(
                f"Knative gives the service {given or _KNATIVE_SECONDS:,} s to become ready, its probe {window:,} s",
                "Knative gives a revision up after that, whatever the probes say.",
                "Give it as long as the probe, and the download in front of it.",
                f"metadata:\n  annotations:\n    {_DEADLINE}: {2 * window}s",
            )
        else:
            yield ok(f"Knative gives the service {given:,} s to become ready")
        return
    deployment = situation.known.find("Deployment", f"{situation.service['metadata']['name']}-predictor")
    found = section(deployment, "spec").get("progressDeadlineSeconds") if isinstance(deployment, dict) else None
    seconds = found if isinstance(found, int) else _STANDARD_SECONDS
    yield ok(f"after {seconds:,} s the Deployment reports ProgressDeadlineExceeded, which stops nothing")


def _seconds(text: str) -> int:
    """Go's durations, as far as Knative's users write them: 7200s, 120m, 2h; 0 where there is none."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = text[:-1], text[-1:]
    return int(number) * units[unit] if number.isdecimal() and unit in units else 0
