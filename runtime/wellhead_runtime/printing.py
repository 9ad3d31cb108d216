"""The plain `vllm serve` line that does the same, for people who want to see or copy it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from wellhead_runtime.launch import Launch
from wellhead_storage.credentials.kinds import SECRET_VARIABLES


def plain_command(launch: Launch, served_name: str | None = None) -> str:
    """Environment and command for a shell; secrets appear as references to variables of the same name.

    Plain vLLM has no flag for split mode: the URI stands in the model's place, and vLLM then fetches config and
    tokenizer from the bucket itself.
    """
    model = launch.weights or launch.model
    options = list(launch.options)
    if launch.weights and served_name:
        options = ["--served-model-name", served_name, *options]
    command = shlex.join(["vllm", "serve", *([model] if model else []), *options])
    return "".join(f"{line} \\\n" for line in _assignments(launch.variables)) + command


def _assignments(variables: Mapping[str, str]) -> list[str]:
    return [
        f'{name}="${name}"' if name in SECRET_VARIABLES else f"{name}={shlex.quote(value)}"
        for name, value in sorted(variables.items())
    ]
