"""`wellhead catalog`: look at the models, put the files together, check them, write them; nothing if one fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wellhead_cluster.catalog import backstage, kubeflow
from wellhead_cluster.catalog.entry import Entry
from wellhead_cluster.catalog.folder import checked_text, merged, read_ours, write
from wellhead_cluster.catalog.look import look, refuse_uri, split_name
from wellhead_cluster.catalog.model_checks import check_models
from wellhead_cluster.catalog.problems import Problem
from wellhead_cluster.catalog.source_checks import check_sources
from wellhead_storage.errors import InvalidUri, WellheadError
from wellhead_storage.settings import Settings

SOURCE_ID = "wellhead"
SOURCE_NAME = "Wellhead models"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; empty is not said.

    Attributes:
        output: folder for the files; None prints them.
        kubeflow: write Kubeflow Hub's two files.
        backstage: write Backstage's file.
        source_id: of the source.
        source_name: what people read of it.
        provider: who offers the models.
        owner: their owner in Backstage.
    """

    output: Path | None = None
    kubeflow: bool = True
    backstage: bool = False
    source_id: str = ""
    source_name: str = ""
    provider: str = ""
    owner: str = ""


def catalog(
    arguments: Sequence[str], options: Options, settings: Settings, environment: Mapping[str, str]
) -> dict[Path, str]:
    """Make the files of a catalog; with `options.output` they are written there.

    Args:
        arguments: `[NAME=]URI` each.
        options: of the command line.
        settings: Wellhead's own.
        environment: for credentials.

    Returns:
        Path → text of each file.

    Raises:
        InvalidUri: a URI that a catalog cannot hold, or two models of one name.
        InvalidConfiguration: a file of somebody else, or one in which something would be lost.
        WellheadError: what `wellhead init` would raise about one of the models.
    """
    named = [split_name(argument) for argument in arguments]
    _refuse_doubles([name for name, _ in named])
    for _, text in named:
        refuse_uri(text, settings)
    folder = options.output or Path()
    old = _Old(options.output, options)  # before the models are looked at, which takes longer
    entries = [_look(name, text, settings, environment, alone=len(named) == 1) for name, text in named]
    files: dict[Path, str] = {}
    if options.kubeflow:
        files |= _kubeflow(folder, old, entries, options)
    if options.backstage:
        entities = [backstage.entity_document(entry, options.owner) for entry in entries]
        path = folder / backstage.FILE
        documents = merged(old.entities, entities, backstage.identity_of)
        _refuse_doubles([backstage.identity_of(each)[-1] for each in entities])
        files[path] = checked_text(path, documents, backstage.check_entities)
    if options.output:
        for path, text in files.items():
            write(path, text)
    return files


class _Old:
    """What earlier runs left."""

    def __init__(self, output: Path | None, options: Options) -> None:
        self.models: list[dict[str, Any]] = []
        self.sources: dict[str, Any] | None = None
        self.entities: list[dict[str, Any]] = []
        if output and options.kubeflow:
            for document in read_ours(output / kubeflow.MODELS, _check_models):
                self.models = document.get("models") or []
            names = [model["name"] for model in self.models]
            for document in read_ours(output / kubeflow.SOURCES, _source_check(names)):
                self.sources = document
        if output and options.backstage:
            self.entities = read_ours(output / backstage.FILE, backstage.check_entities)


def _look(name: str, text: str, settings: Settings, environment: Mapping[str, str], *, alone: bool) -> Entry:
    try:
        return look(name, text, settings, environment)
    except WellheadError as error:
        if not alone:
            error.problem = f"{name}: {error.problem}"
        raise


def _kubeflow(folder: Path, old: _Old, entries: Sequence[Entry], options: Options) -> dict[Path, str]:
    new = [kubeflow.model_document(entry, options.provider) for entry in entries]
    models = merged(old.models, new, lambda model: str(model["name"]))
    names = [str(model["name"]) for model in models]
    path, sources = folder / kubeflow.MODELS, folder / kubeflow.SOURCES
    return {
        path: checked_text(path, [{"models": models}], _check_models),  # before the file that names it
        sources: checked_text(sources, [_sources(old.sources, options)], _source_check(names)),
    }


def _sources(old: dict[str, Any] | None, options: Options) -> dict[str, Any]:
    """An earlier one stays as it is, with what somebody changed in it, unless it is to be called otherwise."""
    if old and not (options.source_id or options.source_name):
        return old
    first = old["model_catalogs"][0] if old and old.get("model_catalogs") else {}
    return kubeflow.sources_document(
        options.source_id or first.get("id") or SOURCE_ID, options.source_name or first.get("name") or SOURCE_NAME
    )


def _check_models(documents: Sequence[object]) -> list[Problem]:
    return _single(documents) or check_models(documents[0])


def _source_check(names: Sequence[str]) -> Any:
    return lambda documents: _single(documents) or check_sources(documents[0], {kubeflow.MODELS: names})


def _single(documents: Sequence[object]) -> list[Problem]:
    return [] if len(documents) == 1 else [Problem("the file", f"it holds {len(documents)} documents instead of one")]


def _refuse_doubles(names: Sequence[object]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidUri(f"Two models are called {name}, and a catalog keeps one of them.", "Write NAME=URI.")
