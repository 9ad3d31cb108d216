"""The pages that have such parts, and where in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tests.reference.commands import commands
from tests.reference.tables import entity_annotations, exit_codes, stated_annotations, variables
from tests.unit.manifests import REPOSITORY

SECTIONS: Mapping[str, Callable[[], str]] = {
    "variables": variables,
    "exit codes": exit_codes,
    "annotations": stated_annotations,
    "annotations in Backstage": entity_annotations,
    "commands": commands,
}
PAGES = tuple(REPOSITORY / "docs" / f"{name}.md" for name in ("settings", "exit-codes", "reference"))
_SECTION = re.compile(r"(<!-- (.+): make reference -->\n)(?:.*\n)*?(<!-- end of \2 -->\n)")


def with_sections(page: str) -> str:
    """A page with its parts as they have to be.

    Raises:
        KeyError: there is no such part.
    """
    return _SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n{found[3]}", page)


def sections_of(page: str) -> list[str]:
    """Names of the parts that a page has."""
    return [found[1] for found in _SECTION.findall(page)]
