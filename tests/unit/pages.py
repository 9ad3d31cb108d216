"""The YAML in the documentation's pages, as objects, and as kustomizations in a folder of the reader's clone."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.kserve.manifests import Manifest
from tests.unit.manifests import MANIFESTS, REPOSITORY, rendered


def page(name: str) -> str:
    return (REPOSITORY / "docs" / f"{name}.md").read_text()


def blocks(name: str, kustomizations: bool) -> list[str]:
    """The YAML of a page: its kustomizations, or the objects."""
    found = re.findall(r"^```yaml\n(.*?)^```$", page(name), re.DOTALL | re.MULTILINE)
    return [each for each in found if ("\nkind: Kustomization\n" in each) is kustomizations]


def objects(name: str) -> list[list[Manifest]]:
    return [list(yaml.safe_load_all(each)) for each in blocks(name, kustomizations=False)]


def applied(kustomization: str, folder: Path) -> list[Manifest]:
    """As in a folder of the clone."""
    manifests = "../" * (len(folder.resolve().parts) - 1) + MANIFESTS.relative_to("/").as_posix()
    (folder / "kustomization.yaml").write_text(kustomization.replace("../servingruntimes", manifests))
    return list(rendered(folder).values())
