"""vLLM's options as they may stand in an object of KServe's. Pure.

What contradicts the load plan, `wellhead_runtime` refuses. Here stands what would not survive KServe, or would show a
secret to everybody who may read the service.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from wellhead_runtime.arguments import EngineArguments, parse_arguments
from wellhead_storage.errors import ArgumentConflict
from wellhead_storage.preview import MODELS

_RESERVED = {
    "--port": "Leave it out: probes and Services ask the runtime's own port.",
    "--headless": "Leave it out: KServe's LLMInferenceService starts workers without a server.",
}
_SECRET = {"--api-key": "VLLM_API_KEY", "--hf-token": "HF_TOKEN"}  # option → variable that vLLM reads, too
PARALLEL = ("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size")


def check_options(options: Sequence[str]) -> EngineArguments:
    """Take a user's options for vLLM.

    Raises:
        ArgumentConflict: one belongs to the runtime, carries a secret, or would be read by KServe.
    """
    for option in options:
        if "{{" in option:
            raise ArgumentConflict(
                f"KServe would take the {{{{ in {option!r} for a placeholder of its own.",
                "Put a template into a file of the model or of a volume, and name the file.",
            )
    if options and not options[0].startswith("-"):
        raise ArgumentConflict(f"{options[0]!r} is no option of vLLM.", "The model is what --uri names.")
    arguments = parse_arguments([str(MODELS), *options])
    for name, hint in _RESERVED.items():
        if arguments.has(name):
            raise ArgumentConflict(f"{name} belongs to the serving runtime.", hint)
    for name, variable in _SECRET.items():
        if arguments.has(name):
            raise ArgumentConflict(
                f"{name} would show its value to everybody who may read the service.",
                f"Put it into a secret, and that into the container's env as {variable}.",
            )
    return arguments


def for_the_shell(options: Sequence[str]) -> list[str]:
    """As an LLMInferenceService needs them: KServe's script hands them to `eval`."""
    return [shlex.quote(option) for option in options]
