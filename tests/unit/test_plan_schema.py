"""The published schema is the one that the code writes."""

from __future__ import annotations

import json
from pathlib import Path

from wellhead_storage.plan import Plan

PUBLISHED = Path(__file__).parents[2] / "docs" / "plan.schema.json"


def test_the_published_schema_is_current() -> None:
    assert json.loads(PUBLISHED.read_text()) == Plan.model_json_schema(), "run make schema"
