"""`wellhead doctor` on LLMInferenceServices: their configs, and what goes for every kind of pod."""

from __future__ import annotations

from typing import Any

from tests.kserve.recorded import account, llm_service, secret
from tests.unit.examining import NOT_GIVEN, findings, only, situation
from tests.unit.manifests import MANIFESTS, rendered
from wellhead_cluster.doctor.situation import Situation

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
READER = (account("default", "creds"), secret("creds", KEYS))


def llm(*names: str, uri: str = "s3://models/llama", rest: str = "", **spec: Any) -> Situation:
    template = {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    service = llm_service(uri, *names, **{"template": template, **spec})
    return situation(service, *rendered(MANIFESTS / "llm").values(), *READER, rest=rest)


def test_gpus_follow_the_parallelism_of_the_service() -> None:
    assert "2 of nvidia.com/gpu" in only(llm("wellhead", parallelism={"tensor": 2}), "accelerators", "ok").seen
    assert "4 are needed" in only(llm("wellhead", parallelism={"tensor": 4}), "accelerators", "error").seen


def test_a_config_that_is_nearly_right() -> None:
    assert only(llm("welhead"), "LLM configs", "error").fix == "Did you mean wellhead?"


def test_configs_that_do_not_go_together() -> None:
    found = llm("wellhead", "wellhead-prefill-any-uri")
    assert any("mix configs" in each.seen for each in findings(found, "LLM configs", "error"))


def test_a_config_of_ours_for_the_main_pods_only() -> None:
    found = llm("wellhead", prefill={"template": {"containers": [{"name": "main"}]}})
    assert "nothing of the prefill pod is Wellhead's" in only(found, "LLM configs", "warning").seen


def test_the_wrapper_is_no_scheme_to_go() -> None:
    found = llm("wellhead", uri="runai_streamer://s3://models/llama")
    assert "wellhead.dev/mode: stream" in only(found, "LLM configs", "error").snippet


def test_workers_need_parallelism() -> None:
    assert "has workers" in only(llm("wellhead", "wellhead-worker"), "LLM configs", "error").seen


def test_adapters_need_kserves_initializer() -> None:
    model = {"uri": "gs://models/llama", "lora": {"adapters": [{"name": "sql", "uri": "s3://adapters/sql"}]}}
    assert "initializer is off" in only(llm("wellhead-any-uri", model=model), "LLM configs", "error").seen


def test_a_config_that_nobody_has_shown() -> None:
    service = llm_service("s3://models/llama", "wellhead")
    assert NOT_GIVEN in only(situation(service, rest=NOT_GIVEN), "LLM configs", "unknown").why.lower()
