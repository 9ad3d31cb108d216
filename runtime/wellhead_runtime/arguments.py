"""vLLM's command line as far as Wellhead has a say in it. Pure.

Everything passes through untouched except the model, `--load-format` and `--model-loader-extra-config`, which
belong to the plan. vLLM's own parser is not asked: importing it takes ten seconds. Spellings follow
`vllm/utils/argparse_utils.py` of 0.32: `--a-b`, `--a_b`, `--a-b=x`, and dotted JSON keys `--a-b.key x`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from wellhead_storage.errors import ArgumentConflict

EXTRA_CONFIG = "--model-loader-extra-config"
_SHORT = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
    "-dpl": "--data-parallel-size-local",
    "-dpb": "--data-parallel-backend",
    "-q": "--quantization",
}


@dataclass(frozen=True, slots=True)
class EngineArguments:
    """A user's arguments, taken apart.

    Attributes:
        model: directory, URI or Hugging Face id; None where none was named.
        load_format: the user's choice, lower-case, or None.
        extra_config: the user's loader extra config, merged from all its spellings.
        rest: everything else, in order.
    """

    model: str | None
    load_format: str | None
    extra_config: dict[str, object]
    rest: tuple[str, ...]

    def value(self, option: str) -> str | None:
        """The last value of an option among the rest, or None."""
        found = None
        for position, token in enumerate(self.rest):
            name, mark, inline = token.partition("=")
            if _canonical(name) == option:
                found = inline if mark else next(iter(self.rest[position + 1 : position + 2]), None)
        return found

    def has(self, option: str) -> bool:
        """Whether an option is among the rest."""
        return any(_canonical(token.partition("=")[0]) == option for token in self.rest)

    def count(self, option: str) -> int:
        """The value of an option that counts something, 1 unless given as a number."""
        value = self.value(option) or "1"
        return int(value) if value.isdecimal() and int(value) > 0 else 1

    @property
    def tensor_parallel(self) -> int:
        """`--tensor-parallel-size`, 1 unless given as a number."""
        return self.count("--tensor-parallel-size")

    @property
    def replicas(self) -> int:
        """Engines with data parallelism in this container, 1 unless given as a number."""
        own = "--data-parallel-size-local"
        return self.count(own if self.has(own) else "--data-parallel-size")


def parse_arguments(argv: Sequence[str]) -> EngineArguments:
    """Take the arguments behind `serve` apart.

    Raises:
        ArgumentConflict: the model named twice and differently, an option without its value, an extra config that is
            no JSON object.
    """
    model = load_format = None
    extra: dict[str, object] = {}
    rest: list[str] = []
    tokens = list(argv)
    if tokens and not tokens[0].startswith("-"):
        model = tokens.pop(0)
    while tokens:
        token = tokens.pop(0)
        name, mark, inline = token.partition("=")
        option = _canonical(name)
        base, _, key = option.partition(".")
        if option not in {"--model", "--load-format"} and base != EXTRA_CONFIG:
            rest.append(token)
            continue
        if not mark and not tokens:
            raise ArgumentConflict(f"{name} has no value.", "Give it one.")
        value = inline if mark else tokens.pop(0)
        if option == "--model":
            model = _one_model(model, value)
        elif option == "--load-format":
            load_format = value.lower()
        elif key:
            extra[key.replace("-", "_")] = _json(value)
        else:
            extra.update(_json_object(value))
    if model is None:
        model = _positional(rest)
    return EngineArguments(model, load_format, extra, tuple(rest))


def looks_like_path_or_uri(text: str) -> bool:
    """Whether a model argument is ours to resolve, and not a Hugging Face id."""
    return text.startswith(("/", "./", "../")) or "://" in text


def _one_model(first: str | None, second: str) -> str:
    if first is not None and first.rstrip("/") != second.rstrip("/"):
        raise ArgumentConflict(f"The model is named twice: {first} and {second}.", "Name it once.")
    return second


def _positional(rest: list[str]) -> str | None:
    """A model that stands somewhere behind options.

    Without vLLM's parser nobody knows which options take a value, so only what follows `--option=value` or another
    plain word and is a path or URI counts; it is removed from `rest`.
    """
    for position, token in enumerate(rest):
        before = rest[position - 1] if position else ""
        free = not before.startswith("-") or "=" in before
        if free and not token.startswith("-") and looks_like_path_or_uri(token):
            return rest.pop(position)
    return None


def _canonical(name: str) -> str:
    if not name.startswith("--"):
        return _SHORT.get(name, name)
    option, dot, keys = name.partition(".")
    return option.replace("_", "-") + dot + keys


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _json_object(text: str) -> dict[str, object]:
    value = _json(text)
    if not isinstance(value, dict):
        raise ArgumentConflict(f"{EXTRA_CONFIG} is not a JSON object: {text}", 'Write it as {"concurrency": 8}.')
    return value


def is_uri(text: str) -> bool:
    """Whether a model argument names a store, so that the model has to be prepared first."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.lower() != "file"
