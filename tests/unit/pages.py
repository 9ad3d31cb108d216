"""The YAML in the documentation's pages, as objects, and as kustomizations in a folder of the reader's clone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from tests.kserve import Cluster
from tests.kserve.manifests import Manifest
from tests.unit.llm_services import LLM
from tests.unit.llm_services import rendered as llm_configs
from tests.unit.manifests import MANIFESTS, REPOSITORY, bundle, rendered

# A secret and a service account that pages take for granted, once the reader has made them.
_ASSUMED = ("Secret", "ServiceAccount")


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
    (folder / "kustomization.yaml").write_text(re.sub("(?:\\.\\.|…)/servingruntimes", manifests, kustomization))
    return list(rendered(folder).values())


def cluster_with(manifests: Iterable[Manifest], *installed: Manifest) -> Cluster:
    """A cluster with Wellhead, its samples' account for S3, and those objects.

    Args:
        manifests: a page's.
        installed: Wellhead's own, where they are not those of default/.
    """
    assumed = [each for (kind, _), each in bundle("samples/s3").items() if kind in _ASSUMED]
    own = installed or (*bundle("default").values(), *llm_configs(LLM))
    return Cluster.with_stock([*own, *assumed, *manifests])
