"""Manifests from files, folders and standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wellhead_cluster.doctor.manifests import Manifest, name_of
from wellhead_storage.errors import InvalidConfiguration, ObjectNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = {".yaml", ".yml", ".json"}
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def read_manifests(places: Sequence[str]) -> list[Manifest]:
    """The objects of files, folders (every YAML or JSON file under them) and, for `-`, of standard input.

    Raises:
        ObjectNotFound: there is no such file or folder.
        InvalidConfiguration: it cannot be read, is no YAML, or holds what is no Kubernetes object; a kustomization,
            which has to be rendered before it says what will be applied.
    """
    return [manifest for place in places for source, text in _texts(place) for manifest in _parse(source, text)]


def _texts(place: str) -> Iterator[tuple[str, str]]:
    if place == "-":
        yield "standard input", sys.stdin.read()
        return
    path = Path(place)
    if not path.exists():
        raise ObjectNotFound(f"There is no file or folder {place}.", "Name one with -f, or - for standard input.")
    if path.is_dir():
        if any((path / name).exists() for name in _KUSTOMIZATIONS):
            raise InvalidConfiguration(
                f"{place} is a kustomization, which has to be rendered first.",
                f"Write kubectl kustomize {place} | wellhead doctor -f -.",
            )
        files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
        if not files:
            raise ObjectNotFound(f"The folder {place} holds no YAML files.", "Name another one.")
    else:
        files = [path]
    for file in files:
        try:
            yield str(file), file.read_text()
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"{file} cannot be read: {error}.", "Check the file.") from None


def _parse(source: str, text: str) -> Iterator[Manifest]:
    import yaml

    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        # The parser's own words repeat lines of the file, which may be a secret's.
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidConfiguration(f"{source} is no valid YAML{where}.", "Correct the file.") from None
    for document in documents:
        if document is None:
            continue
        items = document.get("items") if isinstance(document, dict) else None
        for each in items if isinstance(items, list) else [document]:
            if not isinstance(each, dict) or not isinstance(each.get("kind"), str) or not name_of(each):
                raise InvalidConfiguration(
                    f"{source} holds something that is no Kubernetes object: kind and metadata.name are missing.",
                    "Give manifests only; templates of a chart have to be rendered first.",
                )
            yield each
