"""The reference is what the code says, and nothing that the code reads is missing from it."""

from __future__ import annotations

import re

from tests.unit.builders import REPOSITORY
from tests.unit.reference import PAGE, reference, variables
from wellhead_storage.settings import ANNOTATIONS, Settings

SOURCES = [
    path.read_text() for package in ("storage", "runtime", "cluster") for path in (REPOSITORY / package).rglob("*.py")
]
# Between our own processes, and examples in explanations.
INTERNAL = {"WELLHEAD_ARRIVALS", "WELLHEAD_X_SERVICE_HOST", "WELLHEAD_X_PORT"}


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == reference(), "make reference"


def test_every_variable_of_the_code_is_there() -> None:
    named = {name for text in SOURCES for name in re.findall(r"\bWELLHEAD_[A-Z][A-Z_]*[A-Z]\b", text)}
    assert len(named) > 10
    missing = named - variables().keys() - INTERNAL
    assert {name for name in missing if not name.startswith("WELLHEAD_DST_")} == set()


def test_every_annotation_of_the_code_and_the_manifests_is_there() -> None:
    manifests = [path.read_text() for path in (REPOSITORY / "servingruntimes").rglob("*.yaml")]
    named = {name for text in [*SOURCES, *manifests] for name in re.findall(r"\bwellhead\.dev/[a-z][a-z-]*", text)}
    # The last one is of a storage container, for people.
    assert named - {"wellhead.dev/needs"} == ANNOTATIONS.keys()
    assert set(ANNOTATIONS.values()) <= Settings.model_fields.keys()


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, meaning in variables().items() if len(meaning) < 10] == []
