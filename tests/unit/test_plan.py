"""The load plan: written whole, read back equal, tolerant of newer minor versions and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import downloaded_plan, make_plan
from wellhead_storage.errors import UnreadablePlan
from wellhead_storage.plan import VERSION, Fetched, Plan, PlannedFile, Weights, plan_path, read_plan, write_plan

PLANS = {"stream": make_plan(), "download": downloaded_plan(), "local": downloaded_plan(mode="local")}


def written(folder: Path, **changes: Any) -> dict[str, Any]:
    """The JSON of a plan in `folder`, with changes, written back."""
    write_plan(folder, make_plan())
    document: dict[str, Any] = json.loads(plan_path(folder).read_text()) | changes
    plan_path(folder).write_text(json.dumps(document))
    return document


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_round_trip(tmp_path: Path, plan: Plan) -> None:
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_where_it_is_and_who_may_read_it(tmp_path: Path) -> None:
    write_plan(tmp_path, make_plan())
    path = tmp_path / ".wellhead" / "plan.json"
    assert plan_path(tmp_path) == path
    assert path.stat().st_mode & 0o777 == 0o644, "the engine's container runs as another user"
    assert [entry.name for entry in path.parent.iterdir()] == ["plan.json"], "nothing temporary stays"
    assert path.read_text().endswith("}\n")


def test_it_is_readable_for_people_and_other_programs(tmp_path: Path) -> None:
    write_plan(tmp_path, make_plan())
    document = json.loads(plan_path(tmp_path).read_text())
    assert document["version"] == VERSION
    assert document["mode"] == "stream"
    assert document["weights"]["files"][0] == {
        "name": "model-00001-of-00002.safetensors",
        "size": 700,
        "etag": '"e1"',
    }
    assert document["connection"] == {
        "kind": "s3",
        "endpoint_url": "http://minio.minio.svc:9000",
        "region": "eu-west-1",
        "virtual_hosted": None,
        "verify_tls": True,
        "ca_bundle": None,
        "identity": "static",
    }
    assert document["credentials"] == {"handoff": "sealed", "identity": "static"}


def test_a_folder_without_a_plan(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_plan(tmp_path) is None
    assert read_plan(tmp_path / "missing") is None
    assert read_plan(tmp_path / "file") is None


def test_a_newer_minor_version_is_read_and_its_additions_ignored(tmp_path: Path) -> None:
    document = written(tmp_path)
    major = VERSION.partition(".")[0]
    document |= {"version": f"{major}.99", "tomorrow": {"a": 1}}
    for part in ("weights", "connection", "credentials", "fetched"):
        document[part] |= {"tomorrow": True}
    document["weights"]["files"][0] |= {"tomorrow": []}
    document["left"][0] |= {"tomorrow": []}
    plan_path(tmp_path).write_text(json.dumps(document))
    assert read_plan(tmp_path) == make_plan(version=f"{major}.99")


@pytest.mark.parametrize("version", ["0.9", "2.0", "2", "10.0", "11", "v1.0", "", "next"])
def test_another_major_version_names_both(tmp_path: Path, version: str) -> None:
    written(tmp_path, version=version, weights="of another shape")
    with pytest.raises(UnreadablePlan) as caught:
        read_plan(tmp_path)
    assert f"version {version}," in caught.value.problem
    assert f"version {VERSION}" in caught.value.problem
    assert "same release" in caught.value.hint
    assert caught.value.exit_code == 22


def test_nothing_may_be_counted_as_zero(tmp_path: Path) -> None:
    weights = Weights(uri="/m", layout="none", files=(PlannedFile(name="x", size=0),), total_bytes=0)
    plan = downloaded_plan(weights=weights, fetched=Fetched(files=0, bytes=0))
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    assert (plan.weights.largest_tensor_bytes, plan.weights.tensors, plan.weights.dtypes) == (0, 0, {})


DAMAGED = {
    "empty": "",
    "cut off": '{"version": "1.0", "mo',
    "a list": "[]",
    "null": "null",
    "no version": "{}",
    "a version that is a number": '{"version": 1.0}',
    "not UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_plan(tmp_path: Path, content: str | bytes) -> None:
    plan_path(tmp_path).parent.mkdir()
    plan_path(tmp_path).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UnreadablePlan) as caught:
        read_plan(tmp_path)
    assert str(plan_path(tmp_path)) in caught.value.problem
    assert "damaged" in caught.value.problem


FIELDS: dict[str, dict[str, Any]] = {
    "mode": {"mode": "teleport"},
    "reasons": {"reasons": []},
    "weights.total_bytes": {"weights": {"uri": "s3://a/b", "layout": "safetensors", "total_bytes": -1}},
    "weights.layout": {"weights": {"uri": "s3://a/b", "layout": "tar", "total_bytes": 1}},
    "credentials.handoff": {"credentials": {"handoff": "in the clear"}},
    "connection.s3.identity": {"connection": {"kind": "s3", "identity": "root"}},
    "weights.tensors": {"weights": {"uri": "s3://a/b", "layout": "none", "total_bytes": 0, "tensors": -1}},
    "fetched": {"fetched": None},
    "fetched.files": {"fetched": {"files": -1, "bytes": 0}},
    "fetched.bytes": {"fetched": {"files": 0, "bytes": -1}},
}


@pytest.mark.parametrize(("where", "change"), FIELDS.items(), ids=FIELDS)
def test_a_plan_that_is_damaged_in_one_place_says_where(tmp_path: Path, where: str, change: dict[str, Any]) -> None:
    written(tmp_path, **change)
    with pytest.raises(UnreadablePlan, match=rf"damaged at {where}\b"):
        read_plan(tmp_path)


def test_a_folder_where_the_plan_should_be(tmp_path: Path) -> None:
    plan_path(tmp_path).mkdir(parents=True)
    with pytest.raises(UnreadablePlan, match="cannot be read"):
        read_plan(tmp_path)


@given(st.text(min_size=1), st.text(max_size=5), st.dictionaries(st.text(max_size=5), st.floats(0, 1e6), max_size=3))
def test_any_names_survive(tmp_path: Path, reason: str, name: str, phases: dict[str, float]) -> None:
    plan = make_plan(reasons=(reason,), uri=name, phases=phases)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


@given(st.binary())
def test_any_bytes_are_a_plan_or_unreadable(tmp_path: Path, raw: bytes) -> None:
    plan_path(tmp_path).parent.mkdir(exist_ok=True)
    plan_path(tmp_path).write_bytes(raw)
    with pytest.raises(UnreadablePlan):
        read_plan(tmp_path)
