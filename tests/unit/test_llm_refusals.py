"""Mistakes in an LLMInferenceService: who says what about them, and how early."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kserve import Refused, recorded
from tests.kserve.manifests import Manifest
from tests.unit.builders import wellhead
from tests.unit.llm_services import OWN, mode, pods_of, service


def refusal(service: Manifest) -> Refused:
    with pytest.raises(Refused) as caught:
        pods_of(service)
    return caught.value


@pytest.mark.parametrize("uri", ["gs://b/m", "az://c/m", "model-registry://llama"])
def test_kserve_refuses_other_schemes_with_its_initializer_on(uri: str) -> None:
    refused = refusal(service("single node", uri=uri))
    assert refused.stage == "reconcile"
    assert refused.message.endswith(f"unsupported schema in model URI: {uri}")


@pytest.mark.parametrize("suffix", ["", OWN])
def test_kserve_refuses_what_it_cannot_read(suffix: str) -> None:
    refused = refusal(service("single node", suffix, "runai_streamer://gs://b/m"))
    assert (refused.stage, "first path segment" in refused.message) == ("LLMInferenceService", True)
    assert refusal(service("single node", suffix, "models/llama")).message.endswith("invalid model URI: models/llama")


def test_kserve_refuses_a_mode_with_quotes() -> None:
    service_ = recorded.annotated(service("single node"), **{"wellhead.dev__mode": '"stream"'})
    assert refusal(service_).message.startswith("failed to unmarshal config from template")


@pytest.mark.parametrize("command", ["init", "serve"])
def test_wellhead_names_an_unknown_mode(command: str, tmp_path: Path) -> None:
    (pod,) = pods_of(recorded.annotated(service("single node"), **{"wellhead.dev__mode": "fast"}))
    arguments = ["s3://models/llama", str(tmp_path)] if command == "init" else [str(tmp_path)]
    environment = {"WELLHEAD_MODE": str(mode(pod)), "WELLHEAD_TERMINATION_LOG": str(tmp_path / "said")}
    finished = wellhead(command, *arguments, environment=environment)
    assert finished.returncode == 19
    assert "WELLHEAD_MODE='fast' is not valid: input should be 'auto', 'stream' or 'download'" in finished.stderr
    assert (tmp_path / "said").read_text().strip() == finished.stderr.splitlines()[-1]


def test_wellhead_names_a_scheme_that_nobody_serves(tmp_path: Path) -> None:
    (pod,) = pods_of(service("single node", OWN, "ftp://host/model"))
    uri, _ = recorded.initializer(pod)["args"]
    finished = wellhead("init", uri, str(tmp_path), environment={"WELLHEAD_TERMINATION_LOG": str(tmp_path / "said")})
    assert finished.returncode == 10
    assert "ftp://" in finished.stderr.splitlines()[-1]


def test_the_api_server_refuses_one_way_to_the_model_mixed_with_the_other() -> None:
    refused = refusal(recorded.llm_service("s3://models/llama", "wellhead", f"wellhead-prefill{OWN}"))
    assert refused.stage == "Pod"
    assert 'mountPath: Invalid value: "/mnt/models": must be unique' in refused.message


def test_an_init_container_that_nobody_gave_a_uri_says_so() -> None:
    """The other mixture: KServe's initializer is off, and the config for prefill relies on it."""
    _, prefill = pods_of(recorded.llm_service("gs://models/llama", f"wellhead{OWN}", "wellhead-prefill"))
    assert "args" not in recorded.initializer(prefill)
    finished = wellhead("init")
    assert finished.returncode == 2
    assert "Missing argument 'SRC DEST" in finished.stderr


def test_the_api_server_refuses_workers_without_parallelism() -> None:
    """KServe then takes no template of its own: no command, and a probe without an address."""
    refused = refusal(recorded.llm_service("s3://models/llama", "wellhead", "wellhead-worker"))
    assert refused.stage == "Pod"
    assert "startupProbe: Required value: must specify a handler type" in refused.message
