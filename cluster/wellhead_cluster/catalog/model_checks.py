"""`models.yaml` as Kubeflow Hub's catalog server would load it: what would be lost, or become something else. Pure.

The server is strict and silent at once: an unknown field refuses the whole file, a wrong scheme drops one model, a
missing name drops it without a word, and its own preview call notices none of the last two. Recorded from the real
server, with its words: tests/data/model-catalog/mistakes.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from wellhead_cluster.catalog.artifact_uri import uri_fault
from wellhead_cluster.catalog.problems import Problem
from wellhead_cluster.catalog.values import check_values

MODEL_TYPES = ("generative", "predictive", "unknown")
PERFORMANCE = ("ttft_p90", "hardware_count", "hardware_type", "requests_per_second")
"""Without one of these, `…/artifacts/performance` answers 500 for the model."""

_METRICS = ("performance-metrics", "accuracy-metrics")
_ARTIFACTS = ("model-artifact", "metrics-artifact")
_DIGITS = re.compile(r"-?\d+")

Values = dict[str, dict[str, Any]]


class _Part(BaseModel):
    """As Go decodes JSON: null is like a field that is not there."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Dated(_Part):
    id: str | None = None
    name: str | None = None
    externalId: str | None = None  # noqa: N815 - the server's names, here and below
    description: str | None = None
    createTimeSinceEpoch: str | None = None  # noqa: N815
    lastUpdateTimeSinceEpoch: str | None = None  # noqa: N815
    customProperties: Values | None = None  # noqa: N815


class _Artifact(_Dated):
    model_config = ConfigDict(strict=True, extra="allow")

    uri: str | None = None
    artifactType: str | None = None  # noqa: N815
    metricsType: str | None = None  # noqa: N815


class _Model(_Dated):
    source_id: str | None = None
    readme: str | None = None
    maturity: str | None = None
    language: list[str] | None = None
    tasks: list[str] | None = None
    provider: str | None = None
    logo: str | None = None
    license: str | None = None
    licenseLink: str | None = None  # noqa: N815
    libraryName: str | None = None  # noqa: N815
    artifacts: list[_Artifact] | None = None


class _Models(_Part):
    source: str | None = None
    models: list[_Model] | None = None


def check_models(document: object) -> list[Problem]:
    """The mistakes in a models file.

    Args:
        document: as `documents.read_document` gives it.
    """
    try:
        parsed = _Models.model_validate(document)
    except ValidationError as error:
        return refusals(error, document, "models.yaml", "and the server refuses the whole file")
    models = parsed.models or []
    return [*_doubles(models), *(problem for number, model in enumerate(models) for problem in _check(number, model))]


def refusals(error: ValidationError, document: object, file: str, consequence: str) -> list[Problem]:
    """What pydantic found in a file, in our words."""
    found = []
    for each in error.errors(include_url=False):
        path = _path(document, each["loc"]) or file
        if each["type"] == "extra_forbidden":
            found.append(Problem(path, f"there is no such field, {consequence}"))
        else:
            wrong = each["msg"].removeprefix("Input ")
            found.append(Problem(path, f"it {wrong}, {consequence}"))
    return found


def _path(document: object, places: Iterable[int | str]) -> str:
    """`models[0] 'llama', license`: the name helps more than the number."""
    shown, here = "", document
    for place in places:
        if isinstance(place, int):
            here = here[place] if isinstance(here, Sequence) and place < len(here) else None
            name = here.get("name") or here.get("id") if isinstance(here, dict) else None
            shown += f"[{place}]" + (f" {name!r}" if isinstance(name, str) else "")
        else:
            here = here.get(place) if isinstance(here, dict) else None
            shown += (", " if shown else "") + place
    return shown


def _doubles(models: list[_Model]) -> Iterator[Problem]:
    names = [model.name for model in models]
    for name in dict.fromkeys(names):
        if name and names.count(name) > 1:
            yield Problem(f"model {name!r}", "it stands there twice, and the server keeps the last one only")


def _check(number: int, model: _Model) -> Iterator[Problem]:
    where = f"model {model.name!r}" if model.name else f"models[{number}]"
    if not model.name:
        yield Problem(where, "it has no name, and the server drops it without a word")
    yield from _check_dates(where, model)
    yield from check_values(where, model.customProperties, of_model=True)
    kind = (model.customProperties or {}).get("model_type", {}).get("string_value")
    if kind is not None and kind not in MODEL_TYPES:
        yield Problem(where, f"the model_type {kind!r} is none of {', '.join(MODEL_TYPES)}", lost=False)
    if model.licenseLink and not is_web_address(model.licenseLink):
        yield Problem(where, f"the licenseLink {model.licenseLink!r} leads nowhere", lost=False)
    for index, artifact in enumerate(model.artifacts or []):
        yield from _check_artifact(f"{where}, artifact {index}", artifact)
    yield from _check_performance(where, model.artifacts or [])


def is_web_address(text: str) -> bool:
    """Whether a browser could open it."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", text)


def _check_dates(where: str, part: _Dated) -> Iterator[Problem]:
    for field in ("createTimeSinceEpoch", "lastUpdateTimeSinceEpoch"):
        value = getattr(part, field)
        if value and not _DIGITS.fullmatch(value):
            yield Problem(where, f"the {field} {value!r} is no number, so the server takes its own time", lost=False)


def _check_artifact(where: str, artifact: _Artifact) -> Iterator[Problem]:
    for field in artifact.model_extra or {}:
        yield Problem(where, f"the server ignores its field {field!r}")
    kind = artifact.artifactType or "model-artifact"
    if kind not in _ARTIFACTS:
        yield Problem(where, f"the artifactType {kind!r} is unknown, and the server refuses the whole file")
    elif kind == "model-artifact" and (fault := uri_fault(artifact.uri)):
        yield Problem(where, f"{fault}, and the server drops the whole model")
    elif kind == "metrics-artifact" and artifact.metricsType not in _METRICS:
        yield Problem(where, f"the metricsType {artifact.metricsType!r} is unknown, and the server drops the artifact")
    yield from _check_dates(where, artifact)
    yield from check_values(where, artifact.customProperties, of_model=False)


def _check_performance(where: str, artifacts: list[_Artifact]) -> Iterator[Problem]:
    measured = [each for each in artifacts if each.metricsType == "performance-metrics"]
    missing = [key for key in PERFORMANCE if not any(key in (each.customProperties or {}) for each in measured)]
    if measured and missing:
        yield Problem(where, f"without {', '.join(missing)} its page of performance is an error", lost=False)
