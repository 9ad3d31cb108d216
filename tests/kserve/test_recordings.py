"""Every manifest that was given to the real KServe v0.20.0 leads here to what it led to there, field by field."""

from __future__ import annotations

import pytest

from tests.kserve import Outcome, Refused, build, build_all, recorded
from tests.kserve.manifests import Manifest

SERVICES = recorded.cases("InferenceService")
BUILT = [name for name in SERVICES if recorded.result(name, "refused") is None]
REFUSED = [name for name in SERVICES if name not in BUILT]
LLM_SERVICES = [name for name in recorded.cases("LLMInferenceService") if recorded.result(name, "refused") is None]
KUBECTL = "Error from server"


def built(name: str) -> Outcome:
    manifests = recorded.case(name)
    return build(recorded.cluster(*manifests), manifests[-1])


def refusal(name: str) -> Refused:
    with pytest.raises(Refused) as caught:
        built(name)
    return caught.value


def workload_file(workload: Manifest, service: str) -> str:
    name = workload["metadata"].get("name") or workload["metadata"]["generateName"]
    return f"{workload['kind'].lower()}-{name.removeprefix(f'{service}-').removesuffix('-node-1')}"


def test_there_are_recordings_of_everything() -> None:
    assert len(BUILT) >= 20
    assert len(REFUSED) >= 9
    assert len(LLM_SERVICES) >= 7


@pytest.mark.parametrize("name", BUILT)
def test_an_inference_service_is_stored_like_this(name: str) -> None:
    stored = built(name).service
    metadata = {field: stored["metadata"].get(field) for field in ("name", "annotations", "labels")}
    assert {"metadata": metadata, "spec": stored["spec"]} == recorded.result(name, "inferenceservice")


@pytest.mark.parametrize("name", BUILT)
def test_an_inference_service_leads_to_this_deployment(name: str) -> None:
    assert list(built(name).workloads) == [recorded.result(name, "deployment")]


@pytest.mark.parametrize("name", BUILT)
def test_a_deployment_leads_to_this_pod(name: str) -> None:
    assert built(name).pod == recorded.result(name, "pod")


@pytest.mark.parametrize("name", ["sklearn-unpinned", "storage-uris-unpinned"])
def test_a_choice_at_random_has_the_recorded_outcome_among_its_own(name: str) -> None:
    manifests = recorded.case(name)
    outcomes = [each for each in build_all(recorded.cluster(*manifests), manifests[-1]) if isinstance(each, Outcome)]
    assert [outcome.storage_container for outcome in outcomes] == ["default", "wellhead"]
    assert recorded.result(name, "pod") in [outcome.pod for outcome in outcomes]


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_the_recorded_stage_and_words(name: str) -> None:
    expected, refused = recorded.result(name, "refused"), refusal(name)
    assert expected is not None
    assert refused.stage == expected["refused"]
    if "message" in expected:
        assert expected["message"].startswith(KUBECTL)
        assert expected["message"].endswith(f": {refused.message}")
        return
    assert expected["events"] == [f"InternalError: {refused.message}"]
    failure = expected["status"]["modelStatus"].get("lastFailureInfo")
    if failure is not None:
        assert failure == {"reason": refused.reason, "message": refused.status_message}
    for condition in expected["status"]["conditions"]:
        assert (condition["reason"], condition["message"]) == (refused.reason, refused.message)


@pytest.mark.parametrize("name", [name for name in REFUSED if recorded.result(name, "deployment") is not None])
def test_what_is_refused_as_a_pod_has_its_deployment(name: str) -> None:
    """The refusal comes after it: the controller is content."""
    assert refusal(name).stage == "Pod"


@pytest.mark.parametrize("name", LLM_SERVICES)
def test_an_llm_service_leads_to_these_workloads(name: str) -> None:
    workloads = {workload_file(each, name): each for each in built(name).workloads}
    files = {path.stem for path in (recorded.V0_20 / name).glob("*.yaml")}
    assert workloads == {file: recorded.result(name, file) for file in files}


def test_an_llm_service_is_refused_with_the_recorded_words() -> None:
    expected, refused = recorded.result("llm-gs-refused", "refused"), refusal("llm-gs-refused")
    assert expected is not None
    assert refused.stage == expected["refused"]
    for condition in expected["conditions"]:
        assert (condition["reason"], condition["message"]) == (refused.reason, refused.message)


def test_a_local_model_node_leads_to_these_jobs() -> None:
    jobs = {workload_file(each, "local-model-cache"): each for each in built("local-model-cache").workloads}
    assert jobs == {
        "job-llama": recorded.result("local-model-cache", "job-llama"),
        "job-model": recorded.result("local-model-cache", "job-model"),
    }
