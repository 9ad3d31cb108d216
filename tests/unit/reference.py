"""docs/reference.md, made of the code: commands, settings, annotations, exit codes.

python -m tests.unit.reference      writes the page (make reference)
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tests.unit.builders import REPOSITORY
from wellhead_cluster.cli import app
from wellhead_storage import errors
from wellhead_storage.mirror.places import DESTINATION_PREFIX
from wellhead_storage.settings import ANNOTATIONS, PREFIX, Settings

PAGE = REPOSITORY / "docs" / "reference.md"
_HEAD = """# Reference

Made of the code by `make reference`; do not edit. What the settings of stores are called, and what `wellhead serve`
sets for vLLM: [settings](settings.md). What the exit codes mean for each command: [exit codes](exit-codes.md).
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_commands(), *_settings(), *_annotations(), *_exit_codes()])


def variables() -> dict[str, str]:
    """Wellhead's own variables → what they say."""
    found = {f"{PREFIX}{name.upper()}": str(field.description) for name, field in Settings.model_fields.items()}
    of_mirror = "credentials of `wellhead mirror`'s destination: the store's usual variables with this prefix"
    return found | {f"{DESTINATION_PREFIX}*": of_mirror}


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        yield f"### wellhead {name}\n"
        yield "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")) + "\n"
        yield "| argument or option | meaning |\n|---|---|"
        for parameter in command.params:
            yield _row(f"`{_name(parameter)}`", getattr(parameter, "help", None) or "")
        yield ""


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.human_readable_name)
    takes = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    return f"{', '.join(parameter.opts)}{takes}"


def _settings() -> Iterator[str]:
    yield "## Settings\n\nEnvironment variables; an empty one counts as unset.\n"
    yield "| variable | values (default) | meaning |\n|---|---|---|"
    for name, field in Settings.model_fields.items():
        yield _row(f"`{PREFIX}{name.upper()}`", _values(field.annotation, field.default), str(field.description))
    prefix = f"{DESTINATION_PREFIX}*"
    yield _row(f"`{prefix}`", "", variables()[prefix])
    yield ""


def _values(annotation: object, default: object) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        words = [f"**{each}**" if each == default else str(each) for each in typing.get_args(annotation) if each]
        return ", ".join(words)
    kind = {int: "number", float: "seconds", str: "text"}.get(annotation, "path")  # type: ignore[call-overload]
    stated = isinstance(default, (int, float, Path)) or (isinstance(default, str) and default)
    return f"{kind} (**{default:g}**)" if isinstance(default, float) else f"{kind} (**{default}**)" if stated else kind


def _annotations() -> Iterator[str]:
    yield "## Annotations\n\nOf an InferenceService, its predictor, or a runtime; of an LLMInferenceService see"
    yield "[its configs](../servingruntimes/llm/README.md).\n"
    yield "| annotation | becomes |\n|---|---|"
    for name, setting in ANNOTATIONS.items():
        yield _row(f"`{name}`", f"`{PREFIX}{setting.upper()}` of the init container")
    yield ""


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| code | error | |\n|---|---|---|"
    for kind in sorted(_kinds(errors.WellheadError), key=lambda kind: kind.exit_code):
        first = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0]
        yield _row(str(kind.exit_code), f"`{kind.__name__}`", first)
    yield ""


def _kinds(base: type[errors.WellheadError]) -> Iterator[type[errors.WellheadError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
        yield from _kinds(kind)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
