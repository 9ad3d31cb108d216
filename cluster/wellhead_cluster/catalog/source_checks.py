"""`sources.yaml` as Kubeflow Hub's catalog server would load it. Pure.

A mistake in this file ends the server at its start; while it runs, the old sources stay and only the log tells.
Recorded from the real server: tests/data/model-catalog, mistakes.json and source-file-mistakes.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from wellhead_cluster.catalog.model_checks import refusals
from wellhead_cluster.catalog.problems import Problem

PATH = "yamlCatalogPath"

_TYPES = ("yaml", "hf")
_OPERATORS = ("=", "!=", ">", "<", ">=", "<=", "LIKE", "ILIKE", "IN", "NOT IN")
_ENDS = "and the server ends at its start"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Source(_Part):
    id: str | None = None
    name: str | None = None
    type: str | None = None
    enabled: bool | None = None
    labels: list[str] | None = None
    assetType: str | None = None  # noqa: N815 - the server's names
    properties: dict[str, Any] | None = None
    includedModels: list[str] | None = None  # noqa: N815
    excludedModels: list[str] | None = None  # noqa: N815


class _Filter(_Part):
    operator: str | None = None
    value: Any = None


class _Query(_Part):
    assetType: str | None = None  # noqa: N815
    filters: dict[str, _Filter] | None = None


class _Sources(_Part):
    model_catalogs: list[_Source] | None = None
    catalogs: list[_Source] | None = None
    mcp_catalogs: list[Any] | None = None
    labels: list[dict[str, Any]] | None = None
    namedQueries: dict[str, _Query] | None = None  # noqa: N815


def check_sources(document: object, files: Mapping[str, Sequence[str]]) -> list[Problem]:
    """The mistakes in a sources file.

    Args:
        document: as `documents.read_document` gives it.
        files: path of each models file that there is → names of its models.
    """
    try:
        parsed = _Sources.model_validate(document)
    except ValidationError as error:
        return refusals(error, document, "sources.yaml", _ENDS)
    found = []
    if parsed.catalogs is not None:
        found.append(Problem("catalogs", "that key is an old one, now called model_catalogs", lost=False))
    sources = [*(parsed.model_catalogs or []), *(parsed.catalogs or [])]
    ids = [source.id for source in sources]
    found += [
        Problem(f"source {name!r}", f"two sources have this id, {_ENDS}")
        for name in dict.fromkeys(ids)
        if name and ids.count(name) > 1
    ]
    found += [problem for source in sources for problem in _check(source, files)]
    for query, content in (parsed.namedQueries or {}).items():
        found += [
            Problem(f"named query {query!r}", f"the operator {each.operator!r} is unknown, {_ENDS}")
            for each in (content.filters or {}).values()
            if (each.operator or "").upper() not in _OPERATORS
        ]
    return found


def _check(source: _Source, files: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    where = f"source {source.id!r}"
    if not source.id:
        yield Problem(f"source {source.name!r}", f"it has no id, {_ENDS}")
    if source.enabled is False:
        yield Problem(where, "it is not enabled, so none of its models is shown")
    if source.type not in _TYPES:
        yield Problem(where, f"the type {source.type!r} is unknown, so none of its models is shown")
    if source.type == "yaml":
        yield from _check_path(where, source, files)


def _check_path(where: str, source: _Source, files: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    properties = source.properties or {}
    for name in properties:
        if name != PATH:
            yield Problem(where, f"the server ignores its property {name!r}", lost=False)
    path = properties.get(PATH)
    if not isinstance(path, str) or not path:
        yield Problem(where, f"its property {PATH} is missing, so none of its models is shown")
    elif path not in files:
        yield Problem(where, f"there is no file {path!r}, so none of its models is shown")
    else:
        for model in files[path]:
            if not _allows(model, source.includedModels, source.excludedModels):
                yield Problem(where, f"its patterns leave out the model {model!r}")


def _allows(name: str, included: Iterable[str] | None, excluded: Iterable[str] | None) -> bool:
    """`*` stands for anything, slashes too; case does not count (the server's name filter)."""
    wanted = [_pattern(each) for each in included or ()]
    unwanted = [_pattern(each) for each in excluded or ()]
    return (not wanted or any(each.fullmatch(name) for each in wanted)) and not any(
        each.fullmatch(name) for each in unwanted
    )


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.strip().split("*"))), re.IGNORECASE | re.DOTALL)
