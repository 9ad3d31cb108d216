"""The Jobs of `servingruntimes/jobs`, edited as their users edit them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.unit.manifests import MANIFESTS, rendered

JOBS = MANIFESTS / "jobs"
VARIANTS = ("mirror-pvc", "mirror-s3", "mirror-gcs", "mirror-azure")


def edited_job(folder: Path, variant: str, parameters: Mapping[str, str], *, hub: bool = False) -> dict[str, Any]:
    """The Job of a variant in a copy of `jobs`, with these lines of its parameters.yaml changed.

    Args:
        folder: for the copy.
        variant: one of the folders.
        parameters: the new values of lines that are there already.
        hub: whether the line of the component `hub` is uncommented.
    """
    copy = folder / "jobs"
    shutil.copytree(JOBS, copy, dirs_exist_ok=True)
    file = copy / variant / "parameters.yaml"
    content = yaml.safe_load(file.read_text())
    assert parameters.keys() <= content["data"].keys()
    content["data"].update(parameters)
    file.write_text(yaml.safe_dump(content))
    if hub:
        kustomization = copy / variant / "kustomization.yaml"
        text = kustomization.read_text()
        assert "# - ../hub\n" in text
        kustomization.write_text(text.replace("# - ../hub\n", "- ../hub\n"))
    (job,) = rendered(copy / variant).values()
    return job
