"""The plain `vllm serve` line that does the same, for people who want to see or copy it. Pure."""

from __future__ import annotations

import shlex

from wellhead_runtime.launch import Launch
from wellhead_storage.credentials.kinds import SECRET_VARIABLES


def plain_command(launch: Launch, served_name: str | None = None) -> str:
    """Environment and command for a shell; secrets appear as references to variables of the same name."""
    lines = [
        f'{name}="{value}"' if name in SECRET_VARIABLES else f"{name}={shlex.quote(value)}"
        for name, value in plain_environment(launch).items()
    ]
    return "".join(f"{line} \\\n" for line in lines) + shlex.join(plain_arguments(launch, served_name))


def plain_arguments(launch: Launch, served_name: str | None = None) -> list[str]:
    """The command as a list.

    Plain vLLM has no flag for split mode: the URI stands in the model's place, and vLLM then fetches config and
    tokenizer from the bucket itself.
    """
    model = launch.weights or launch.model
    named = ["--served-model-name", served_name] if launch.weights and served_name else []
    return ["vllm", "serve", *([model] if model else []), *named, *launch.options]


def plain_environment(launch: Launch) -> dict[str, str]:
    """What is added to the environment, sorted; in place of a secret stands `$` and the variable's name."""
    return {name: f"${name}" if name in SECRET_VARIABLES else value for name, value in sorted(launch.variables.items())}
