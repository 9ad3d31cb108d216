"""GPUs asked for against those that vLLM's parallelism needs."""

from __future__ import annotations

from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, listed, ok, unknown, warning
from wellhead_cluster.doctor.manifests import Manifest, section
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation
from wellhead_runtime.arguments import EngineArguments
from wellhead_storage.errors import ArgumentConflict

# KServe's own list (IsGPUEnabled, kserve.md 7.5); slices of a GPU have names of their own.
_RESOURCES = (
    "nvidia.com/gpu",
    "amd.com/gpu",
    "intel.com/gpu",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
    "habana.ai/gaudi",
)
_SLICES = "nvidia.com/mig-"
_OPTIONS = {
    "--tensor-parallel-size": "-tp",
    "--pipeline-parallel-size": "-pp",
    "--data-parallel-size-local": "-dpl",
}


def check_accelerators(situation: Situation) -> Iterator[Finding]:
    """Of Wellhead's servers on GPUs."""
    if not situation.ours:
        return
    for pod in situation.pods:
        try:
            arguments = pod.engine_arguments
        except ArgumentConflict:  # which another check says
            continue
        if not _for_processors(pod.server):
            yield _compare(situation, pod, arguments)


def _compare(situation: Situation, pod: Pod, arguments: EngineArguments) -> Finding:
    limits = section(pod.server, "resources", "limits")
    asked = {name: value for name, value in limits.items() if name in _RESOURCES or name.startswith(_SLICES)}
    needed, words = _needed(situation, pod, arguments)
    if not asked and pod.spec.get("resourceClaims"):
        return unknown(f"the {pod.role} claims its accelerators (resourceClaims)", "How many that gives is not known.")
    if not asked:
        return warning(
            f"the {pod.role} asks for no GPU",
            "vLLM finds none and does not start, unless the node gives GPUs to everybody.",
            "Ask for them in the limits, or take the runtime for CPUs.",
            _snippet(pod, needed),
        )
    count = sum(int(str(value)) for value in asked.values() if str(value).isdecimal())
    seen = f"{count} of {listed(sorted(asked))} for the {pod.role}, and {words}"
    if needed > count:
        return error(
            f"{seen}: {needed} are needed", "vLLM refuses to start.", "Make them agree.", _snippet(pod, needed)
        )
    if needed < count:
        return warning(
            f"{seen}: {needed} would do",
            "The others are reserved and stay idle.",
            f"Ask for fewer, or let vLLM use them (--tensor-parallel-size={count}).",
        )
    return ok(seen)


def _needed(situation: Situation, pod: Pod, arguments: EngineArguments) -> tuple[int, str]:
    """On one node; ranks of other nodes are other pods'."""
    sizes = {option: _number(arguments, option, short) for option, short in _OPTIONS.items()}
    if situation.llm:
        workload = section(situation.llm.spec, "prefill") if pod.role.startswith("prefill") else situation.llm.spec
        parallelism = section(workload, "parallelism")
        sizes["--data-parallel-size-local"] = (
            _whole(parallelism.get("dataLocal")) or sizes["--data-parallel-size-local"]
        )
    elif not arguments.has("--data-parallel-size-local"):
        sizes["--data-parallel-size"] = _number(arguments, "--data-parallel-size", "-dp")
    used = {option: size for option, size in sizes.items() if size > 1}
    total = 1
    for size in used.values():
        total *= size
    return total, listed([f"{option} {size}" for option, size in used.items()]) if used else "no parallelism"


def _number(arguments: EngineArguments, option: str, short: str) -> int:
    return _whole(arguments.value(option) or arguments.value(short)) or 1


def _whole(value: object) -> int:
    text = str(value or "")
    return int(text) if text.isdecimal() else 0


def _for_processors(server: Manifest) -> bool:
    image = str(server.get("image") or "").rpartition("/")[2].partition("@")[0].partition(":")[0]
    return image.endswith("-cpu")


def _snippet(pod: Pod, count: int) -> str:
    if pod.part != "containers":
        resources = f'resources:\n        limits:\n          nvidia.com/gpu: "{count}"'
        return f"spec:\n  predictor:\n    {pod.part}:\n      {resources}"
    return f'containers:\n- name: main\n  resources:\n    limits:\n      nvidia.com/gpu: "{count}"'
