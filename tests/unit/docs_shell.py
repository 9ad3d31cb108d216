"""The command lines in the pages: each is given to whoever would read it, as far as no cluster is needed for that."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from tests.unit.manifests import REPOSITORY
from wellhead_cluster.cli import app
from wellhead_cluster.render.engine_options import check_options
from wellhead_runtime.arguments import parse_arguments
from wellhead_storage.errors import ArgumentConflict
from wellhead_storage.mirror.places import DESTINATION_PREFIX
from wellhead_storage.settings import PREFIX, unknown_variables

# Not ours, and not installed here.
FOREIGN = {
    "aws": "the command line of a cloud",
    "az": "the command line of a cloud",
    "gcloud": "the command line of a cloud",
    "curl": "talks to a running server",
}
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")
_OPERATORS = {"|", "||", "&&", ";"}
_VARIABLE = re.compile(rf"{PREFIX}[A-Z0-9_]*[A-Z0-9]")

Words = Sequence[str]


def is_shell(text: str) -> bool:
    """Whether every line begins with a command that is known here, or sets variables only."""
    try:
        found = list(commands(text))
    except ValueError:
        return False
    return bool(found) and all(not words or words[0] in {*READERS, *FOREIGN} for words in found)


def commands(text: str) -> Iterator[Words]:
    """The commands of lines, without variables in front of them.

    Raises:
        ValueError: a quotation does not end.
    """
    for line in text.replace("\\\n", "").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        parts = [words]
        for word in lexer:
            if word in _OPERATORS:
                words = []
                parts.append(words)
            elif words or not _ASSIGNMENT.match(word):
                words.append(word)
        yield from (part for part in parts if part or not _is_blank(line))


def _is_blank(line: str) -> bool:
    return not line.partition("#")[0].strip()


def shell_faults(text: str, written: set[str]) -> list[str]:
    """What is wrong with command lines.

    Args:
        text: the lines.
        written: files that the page tells the reader to write.
    """
    found = [fault for words in commands(text) if words for fault in _command_faults(words, written)]
    return found + [f"no variable of Wellhead's: {name}" for name in unknown_names(text)]


def unknown_names(text: str) -> list[str]:
    """Names that begin like a variable of ours and are none. One that only a test run reads is `WELLHEAD_TEST_…`."""
    names = {
        name for name in _VARIABLE.findall(text) if not f"{name}_".startswith((DESTINATION_PREFIX, PREFIX + "TEST_"))
    }
    return unknown_variables(dict.fromkeys(names, ""))


def _command_faults(words: Words, written: set[str]) -> Iterator[str]:
    if words[0] in READERS:
        yield from READERS[words[0]](words[1:], written)


def _wellhead(words: Words, written: set[str]) -> Iterator[str]:
    """The real command line, up to where a command begins to run; vLLM's options as far as they are ours."""
    name, rest = words[0], list(words[1:])
    if name == "serve":
        yield from _serve([word for word in rest if word != "--print-command"], written)
        return
    command = _cli().get(name)
    if command is None:
        yield f"no command of wellhead: {name}"
        return
    try:
        options = command.make_context(name, rest).params.get("options") or ()
        (check_options if name == "render" else parse_arguments)(options)
    except TyperException as error:
        yield f"wellhead {name}: {error.format_message()}"
    except ArgumentConflict as error:
        yield f"wellhead {name}: {error}"


@cache
def _cli() -> dict[str, Any]:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(group.commands)


def _vllm(words: Words, written: set[str]) -> Iterator[str]:
    if words[:1] == ["serve"]:
        yield from _serve(words[1:], written)


def _serve(words: Words, written: set[str]) -> Iterator[str]:
    try:
        if parse_arguments(words).model is None:
            yield "serve: no model is named"
    except ArgumentConflict as error:
        yield f"serve: {error}"


def _make(words: Words, written: set[str]) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    yield from (f"no target of make: {word}" for word in words if "=" not in word and word not in targets)


def _kubectl(words: Words, written: set[str]) -> Iterator[str]:
    """Kustomizations and files that are there, or that the page had the reader write."""
    for option, value in itertools.pairwise(words):
        if option in {"-k", "kustomize"} and value != "…" and f"{value}/kustomization.yaml" not in written:
            if not (REPOSITORY / value / "kustomization.yaml").is_file():
                yield f"no such kustomization: {value}"
        elif option == "-f" and value not in written and not (REPOSITORY / value).exists():
            yield f"no such file: {value}"


def _helm(words: Words, written: set[str]) -> Iterator[str]:
    """Paths only: tests/chart/test_helm_page.py knows the verbs and options."""
    for word in words:
        path = word.partition("=")[2] if word.startswith("--") else word
        if path.startswith("servingruntimes/") and not (REPOSITORY / path).exists():
            yield f"no such path: {path}"


def _docker(words: Words, written: set[str]) -> Iterator[str]:
    """Targets and arguments of `docker build`, as the Dockerfile has them."""
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    arguments = set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))
    for option, value in itertools.pairwise(words):
        if option == "--target" and value not in stages:
            yield f"no target of the Dockerfile: {value}"
        if option == "--build-arg" and value.partition("=")[0] not in arguments:
            yield f"no argument of the Dockerfile: {value}"


def _python(words: Words, written: set[str]) -> Iterator[str]:
    if words[:1] == ["-m"]:
        module = REPOSITORY / words[1].replace(".", "/")
        if not (module / "__main__.py").is_file() and not module.with_suffix(".py").is_file():
            yield f"no such module: {words[1]}"


READERS: dict[str, Callable[[Words, set[str]], Iterator[str]]] = {
    "wellhead": _wellhead,
    "vllm": _vllm,
    "make": _make,
    "kubectl": _kubectl,
    "oc": _kubectl,
    "helm": _helm,
    "docker": _docker,
    "python": _python,
}
