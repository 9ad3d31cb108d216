"""KServe v0.18.1, which merges a storage container's variables by position."""

from __future__ import annotations

import pytest

from tests.kserve import Refused, Release, build, recorded

OLD = Release.V0_18


def test_a_storage_container_without_variables_works() -> None:
    service = recorded.case("runai-streamer")[-1]
    outcome = build(recorded.cluster(without=("wellhead",), release=OLD), service)
    assert list(outcome.workloads) == [recorded.result("runai-streamer", "deployment", recorded.V0_18)]
    assert outcome.pod == recorded.result("runai-streamer", "pod", recorded.V0_18)


def test_a_storage_container_with_variables_makes_an_invalid_pod_as_soon_as_there_are_credentials() -> None:
    expected = recorded.result("container-with-env", "refused", recorded.V0_18)
    service = recorded.case("s3-secret")[-1]
    with pytest.raises(Refused) as caught:
        build(recorded.cluster(release=OLD), service, storage_container="wellhead")
    assert expected == {"refused": caught.value.stage, "message": caught.value.message}


def test_without_credentials_the_variables_survive() -> None:
    pod = build(recorded.cluster(release=OLD), recorded.inference_service(), storage_container="wellhead").pod
    assert "WELLHEAD_LOG_FORMAT" in recorded.environment(recorded.initializer(pod))


def test_the_runtime_cannot_pin_a_storage_container_there() -> None:
    def image(release: Release) -> str:
        pod = build(recorded.cluster(release=release), recorded.inference_service()).pod
        return str(recorded.initializer(pod)["image"])

    assert image(Release.V0_18) == "kserve/storage-initializer:latest"
    assert image(Release.V0_20) == "registry.example/wellhead-initializer:0.1.0"
