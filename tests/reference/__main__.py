"""What `make reference` runs."""

from __future__ import annotations

from tests.reference.pages import PAGES, with_sections

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_sections(page.read_text()))
