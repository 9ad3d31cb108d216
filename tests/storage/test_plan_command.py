"""`wellhead plan URI`: what `init` would do, said without doing it, with the exit code of `init`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import INDEX, Model, one_tensor
from tests.storage.plan_command import ask, report
from tests.storage.pod import Pod
from tests.support.counting_proxy import counting_proxy
from wellhead_runtime.plan_report import PlanReport

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_plan_is_the_one_that_init_writes(llama: Model, pod: Pod) -> None:
    found = report(pod, llama.uri)["plan"]
    assert pod.init(llama.uri).exit_code == 0
    written = json.loads(pod.plan.model_dump_json())
    assert {**found, "phases": {}} == {**written, "phases": {}}


def test_the_figures_are_those_of_the_files(llama: Model, pod: Pod) -> None:
    found = report(pod, llama.uri)
    weights = sum(map(len, llama.shards.values()))
    files = sum(map(len, llama.files.values()))
    assert (found["objects"], found["object_bytes"], found["weight_memory_bytes"]) == (len(llama.files), files, weights)
    assert pod.init(llama.uri).exit_code == 0
    assert found["disk_bytes"] == sum(map(len, pod.files.values()))
    downloaded = report(pod, llama.uri, "--mode", "download")
    assert (downloaded["plan"]["mode"], downloaded["disk_bytes"], downloaded["buffer_bytes"]) == ("download", files, 0)


def test_no_weights_are_fetched_and_nothing_is_left(llama: Model, pod: Pod) -> None:
    with counting_proxy(llama.store.endpoint_url) as proxy:
        found = report(pod, llama.uri, AWS_ENDPOINT_URL=proxy.endpoint_url)
    assert found["plan"]["mode"] == "stream"
    assert proxy.body_bytes < 100_000
    assert pod.is_untouched
    assert not list(pod.folder.glob("wellhead-plan-*"))


def test_only_what_the_decision_needs_is_fetched(model: Model, pod: Pod) -> None:
    model.put("model.joblib", bytes(3 << 20))
    with counting_proxy(model.store.endpoint_url) as proxy:
        found = report(pod, model.uri, AWS_ENDPOINT_URL=proxy.endpoint_url)
    assert proxy.body_bytes < 100_000
    assert not [request.path for request in proxy.requests if "joblib" in request.path or "tokenizer" in request.path]
    assert found["plan"]["fetched"]["bytes"] > 3 << 20, "which init would fetch"


def test_the_page_says_mode_reasons_figures_and_the_plain_command(llama: Model, pod: Pod) -> None:
    finished = ask(pod, llama.uri, "--max-model-len", "4096", "--tensor-parallel-size=2")
    assert finished.returncode == 0, finished.stderr
    rows = dict(line.rstrip().split(maxsplit=1) for line in finished.stdout.splitlines() if line and line[0].isalpha())
    assert (rows["URI"], rows["mode"], rows["because"]) == (llama.uri, "stream", "s3:// can be streamed")
    assert rows["dtypes"] == "BF16 (9)"
    last = finished.stdout.splitlines()[-1]
    assert last.startswith(f"vllm serve {llama.uri} --load-format runai_streamer")
    assert "--max-model-len 4096" in last
    assert llama.store.secret_access_key not in finished.stdout + finished.stderr


def test_programs_get_the_command_in_parts(llama: Model, pod: Pod) -> None:
    found = report(pod, llama.uri, "--max-model-len", "4096")
    assert PlanReport.model_validate(found).version == "1.1"
    assert found["arguments"][:3] == ["vllm", "serve", llama.uri]
    assert found["arguments"][-2:] == ["--max-model-len", "4096"]
    environment = found["environment"]
    assert environment["AWS_SECRET_ACCESS_KEY"] == "$AWS_SECRET_ACCESS_KEY"
    assert environment["AWS_ENDPOINT_URL"] == llama.store.endpoint_url
    names = [word.partition("=")[0] for word in shlex.split(found["command"].replace("\\\n", "")) if "=" in word]
    assert names == sorted(environment)
    assert llama.store.secret_access_key not in json.dumps(found)


def test_after_a_download_the_command_needs_init_first(llama: Model, pod: Pod) -> None:
    finished = ask(pod, llama.uri, "--mode", "download")
    assert f"after `wellhead init {llama.uri} /mnt/models`" in finished.stdout
    assert finished.stdout.splitlines()[-1].startswith("vllm serve /mnt/models ")
    assert "after `wellhead init" not in ask(pod, llama.uri).stdout


def test_parameters_are_counted(llama: Model, pod: Pod) -> None:
    weights = report(pod, llama.uri)["plan"]["weights"]
    assert (weights["tensors"], weights["parameters"]) == (9, 9 * (64 << 10) // 2)


def test_a_reason_to_download_is_on_the_page(model: Model, pod: Pod) -> None:
    model.put("stray.safetensors", one_tensor("x"))
    finished = ask(pod, model.uri)
    assert finished.returncode == 0, finished.stderr
    assert "stray.safetensors lies beside the chosen shards" in finished.stdout


def _nothing(_: Model) -> None:
    """The model as it is."""


# What is wrong with the model, the URI in place of its own, the pod's variables, the code.
DEMANDS: dict[str, tuple[Callable[[Model], None], str, dict[str, str], int]] = {
    "a scheme that nobody serves": (_nothing, "ftp://models/llama", {}, 10),
    "a volume that KServe mounts": (_nothing, "pvc://models/llama", {}, 10),
    "no such folder": (_nothing, "s3://models/none", {}, 11),
    "no such path": (_nothing, "/mnt/nothing/here", {}, 11),
    "a wrong key": (_nothing, "", {"AWS_SECRET_ACCESS_KEY": "wrong"}, 12),
    "a missing shard": (lambda model: model.delete("model-00002-of-00003.safetensors"), "", {}, 13),
    "an index that is none": (lambda model: model.put(INDEX, b"{}"), "", {}, 13),
    "a demand that cannot be met": (
        lambda model: model.put("stray.safetensors", one_tensor("x")),
        "",
        {"WELLHEAD_MODE": "stream"},
        14,
    ),
    "a demand on a store that cannot stream": (_nothing, "runai_streamer://hdfs://namenode/llama", {}, 14),
    "nobody there": (
        _nothing,
        "",
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "WELLHEAD_RETRY_TIMEOUT": "0.1"},
        16,
    ),
    "a mode that does not exist": (_nothing, "", {"WELLHEAD_MODE": "fly"}, 19),
}


@pytest.mark.parametrize("case", DEMANDS)
def test_it_ends_as_init_would(model: Model, pod: Pod, case: str) -> None:
    change, uri, environment, code = DEMANDS[case]
    change(model)
    finished, outcome = ask(pod, uri or model.uri, **environment), pod.init(uri or model.uri, **environment)
    assert (finished.returncode, outcome.exit_code) == (code, code)
    assert finished.stderr.splitlines()[-1] == outcome.sentence
    assert finished.stdout == ""


def test_an_option_that_contradicts_the_plan(llama: Model, pod: Pod) -> None:
    finished = ask(pod, llama.uri, "--load-format=dummy")
    assert (finished.returncode, finished.stdout) == (18, "")


def test_outside_a_pod_the_token_is_taken_for_granted(llama: Model, pod: Pod, tmp_path: Path) -> None:
    without = {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(tmp_path / "none")}
    assert report(pod, llama.uri, **without)["plan"]["mode"] == "download"
    outside = report(pod, llama.uri, KUBERNETES_SERVICE_HOST="", **without)
    assert outside["plan"]["mode"] == "stream"
    assert outside["assumed"] == ["the pod mounts its service-account token, which seals the credentials"]


@pytest.mark.parametrize("more", [{"WELLHEAD_MODE": "download"}, {"WELLHEAD_HANDOFF": "off"}])
def test_where_nothing_is_sealed_no_token_is_assumed(
    llama: Model, pod: Pod, tmp_path: Path, more: dict[str, str]
) -> None:
    outside = {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(tmp_path / "none"), "KUBERNETES_SERVICE_HOST": ""}
    assert report(pod, llama.uri, **outside, **more)["assumed"] == []
