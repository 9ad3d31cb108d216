"""LLMInferenceServices that use our configs, and what KServe makes of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tests.kserve import Cluster, build, recorded
from tests.kserve.cli import read_manifests
from tests.kserve.manifests import Manifest
from tests.unit.builders import REPOSITORY

LLM = REPOSITORY / "servingruntimes" / "llm"
SAMPLES = REPOSITORY / "servingruntimes" / "samples"
OWN = "-any-uri"
NAMES = ("wellhead", "wellhead-prefill", "wellhead-worker", "wellhead-prefill-worker")
PARALLEL = {"parallelism": {"data": 4, "dataLocal": 2}}
# The configs that make a service of that shape, and what the service has to say besides; pods, and who is headless.
SHAPES: dict[str, tuple[list[str], Manifest, list[bool]]] = {
    "single node": (["wellhead"], {}, [False]),
    "prefill and decode": (["wellhead", "wellhead-prefill"], {}, [False, False]),
    "multi-node": (["wellhead", "wellhead-worker"], PARALLEL, [False, True]),
    "multi-node prefill and decode": (list(NAMES), {**PARALLEL, "prefill": PARALLEL}, [False, True, False, True]),
}
EVERY_POD = [(shape, suffix) for shape in SHAPES for suffix in ("", OWN)]


@cache
def rendered(folder: Path) -> tuple[Manifest, ...]:
    return tuple(read_manifests(str(folder)))


def service(shape: str, suffix: str = "", uri: str = "", **spec: Any) -> Manifest:
    names, own, _ = SHAPES[shape]
    uri = uri or ("gs://models/llama" if suffix else "s3://models/llama")
    return recorded.llm_service(uri, *(name + suffix for name in names), **own, **spec)


def pods_of(service: Manifest, *manifests: Manifest) -> tuple[Manifest, ...]:
    return build(Cluster.with_stock([*rendered(LLM), *manifests]), service).pods


def main(pod: Manifest) -> Manifest:
    return recorded.named(pod["spec"]["containers"], "main")


def mode(pod: Manifest) -> object:
    return recorded.environment(recorded.initializer(pod))["WELLHEAD_MODE"]


def loader(pod: Manifest) -> object:
    return recorded.environment(recorded.initializer(pod))["WELLHEAD_LOADER"]
