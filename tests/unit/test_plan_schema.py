"""The published schemas are those that the code writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.builders import REPOSITORY
from wellhead_cluster.doctor.findings import Reports
from wellhead_runtime.plan_report import PlanReport
from wellhead_storage.plan import Plan

if TYPE_CHECKING:
    from pydantic import BaseModel


@pytest.mark.parametrize(("name", "model"), [("plan", Plan), ("plan-report", PlanReport), ("doctor-report", Reports)])
def test_the_published_schema_is_current(name: str, model: type[BaseModel]) -> None:
    published = REPOSITORY / "docs" / f"{name}.schema.json"
    assert json.loads(published.read_text()) == model.model_json_schema(), "run make schema"
