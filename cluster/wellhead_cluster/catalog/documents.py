"""YAML as Go's libraries read it, and written so that they cannot misread it.

Kubeflow Hub's catalog server reads YAML 1.1 through go-yaml 2: unquoted `no`, `on` and `y` are booleans, a key may
stand once. PyYAML keeps `y` a string and lets the last of two keys win, so both are added here. What is written has
every string in quotes. Anchors are refused: nobody needs them here, and a few lines of them can stand for gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml


class Unreadable(ValueError):
    """Not YAML, or YAML with a double key or an anchor; the text says where."""


class _PlainLoader(yaml.BaseLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        _refuse_alias(self)
        return super().compose_node(parent, index)


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        _refuse_alias(self)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise Unreadable(f'line {key.start_mark.line + 1}: key "{name}" stands there twice')
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def _refuse_alias(loader: _PlainLoader | _Loader) -> None:
    if loader.check_event(yaml.AliasEvent):
        line = loader.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        raise Unreadable(f"line {line} refers to an anchor")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


_TRUE = {"y", "yes", "on", "true"}
_LETTERS = re.compile(r"[yYnN]$")
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
for each in (_Loader, _Dumper):
    each.add_implicit_resolver("tag:yaml.org,2002:bool", _LETTERS, list("yYnN"))
# Go reads these two without YAML 1.1's dates and times: what it does not know as a number is a string.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))
_Loader.add_constructor("tag:yaml.org,2002:bool", lambda loader, node: str(node.value).lower() in _TRUE)


# YAML's other line breaks, which a reader of a block turns into the common one.
_ODD_BREAKS = re.compile("[\r\x85\u2028\u2029]")


def _string(dumper: _Dumper, text: str) -> yaml.Node:
    block = "\n" in text.rstrip("\n") and not _ODD_BREAKS.search(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if block else '"')


def _mapping(dumper: _Dumper, content: dict[str, object]) -> yaml.Node:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", content.items())
    for key, _ in node.value:
        if _PLAIN_KEY.fullmatch(key.value):
            key.style = None  # quoted all the same where it would be read as something else
    return node


_Dumper.add_representer(str, _string)
_Dumper.add_representer(dict, _mapping)


def read_documents(text: str) -> list[object]:
    """Every document of a file.

    Raises:
        Unreadable: with the place.
    """
    return _read(text, _Loader)


def read_plain(text: str) -> object:
    """The first document with every scalar as the string that stands there: `no` is Norwegian, and tags mean nothing.

    Raises:
        Unreadable: with the place.
    """
    found = _read(text, _PlainLoader)
    return found[0] if found else None


def _read(text: str, loader: type[_Loader | _PlainLoader]) -> list[object]:
    try:
        return list(yaml.load_all(text, loader))
    except Unreadable:
        raise
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Unreadable(f"{line}{error.problem or error.context}") from None
    except RecursionError:
        raise Unreadable("too deeply nested") from None
    except (yaml.YAMLError, ValueError, LookupError) as error:
        raise Unreadable(str(error).partition("\n")[0]) from None


def read_document(text: str) -> object:
    """The only document of a file; None where it is empty.

    Raises:
        Unreadable: with the place; more than one document.
    """
    found = read_documents(text)
    if len(found) > 1:
        raise Unreadable("it holds more than one document")
    return found[0] if found else None


def write_documents(documents: Iterable[object]) -> str:
    """The text of a file with these documents; keys keep their order."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=False
    )
