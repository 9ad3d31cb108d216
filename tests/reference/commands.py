"""The commands with their arguments and options, in the words of `--help`, in Markdown."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperGroup
from typer.main import get_command

from tests.reference.tables import table
from wellhead_cluster.cli import app


def commands() -> str:
    """Every command of `wellhead`, under a heading of its own."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return "\n".join(_section(name, command) for name, command in group.commands.items())


def _section(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    arguments = [_argument(each) for each in command.params if isinstance(each, TyperArgument)]
    options = [each.get_help_record(context) for each in command.params if not isinstance(each, TyperArgument)]
    usage = " ".join(["wellhead", name, *(["[OPTIONS]"] if options else []), *arguments])
    parts = [f"### wellhead {name}", f"`{usage}`", command.help]
    if options:
        parts.append(table(["option", "meaning"], ([f"`{option}`", meaning] for option, meaning in options)).rstrip())
    return "\n\n".join(parts) + "\n"


def _argument(argument: TyperArgument) -> str:
    word = str(argument.metavar)
    if argument.required and argument.nargs == -1 and "…" not in word:
        return f"{word} …"
    return word if argument.required or word.startswith(("[", "--")) else f"[{word}]"
