"""The links in the pages: files of the repository, and headings of pages."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.unit.docs_blocks import tokens


def link_faults(page: Path, text: str) -> list[str]:
    """Links of a page to what is not there. Addresses in the web are not asked."""
    faults = []
    for link in _links(text):
        address = urlsplit(link)
        if address.scheme or address.netloc:
            continue
        target = (page.parent / unquote(address.path)).resolve() if address.path else page
        if target != page and not target.exists():
            faults.append(f"no such file: {link}")
        elif address.fragment and address.fragment not in _anchors(text if target == page else target.read_text()):
            faults.append(f"no such heading: {link}")
    return faults


def _links(text: str) -> list[str]:
    inline = [child for token in tokens(text) for child in token.children or ()]
    attributes = {"link_open": "href", "image": "src"}
    return [str(each.attrs[attributes[each.type]]) for each in inline if each.type in attributes]


@cache
def _anchors(text: str) -> set[str]:
    """Names of a page's headings, as GitHub makes them: a repeated one gets a number."""
    parsed, seen, found = tokens(text), Counter[str](), set()
    for heading, content in itertools.pairwise(parsed):
        if heading.type == "heading_open":
            plain = "".join(child.content for child in content.children or ())
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found
