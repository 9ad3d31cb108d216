"""Which storage container downloads a model, and who refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import Outcome, Refused, build, build_all, recorded
from tests.kserve.manifests import Manifest

DENIED = 'admission webhook "inferenceservice.kserve-webhook-server.pod-mutator" denied the request: '


def storage_container(name: str, *formats: Manifest, disabled: bool = False, **spec: Any) -> Manifest:
    container = {"name": "storage-initializer", "image": f"registry.example/{name}:1"}
    known = list(formats or [{"prefix": "s3://"}])
    manifest: Manifest = {
        "kind": "ClusterStorageContainer",
        "metadata": {"name": name},
        "spec": {"container": container, "supportedUriFormats": known, "workloadType": "initContainer", **spec},
    }
    return {**manifest, "disabled": True} if disabled else manifest


def sklearn(uri: str = "s3://models/iris", **predictor: Any) -> Manifest:
    """A service of KServe's own runtime, which pins nothing."""
    return recorded.inference_service({"modelFormat": {"name": "sklearn"}, "storageUri": uri}, **predictor)


def chosen(service: Manifest, *manifests: Manifest) -> str | None:
    return build(recorded.cluster(*manifests, without=("wellhead",)), service).storage_container


def refusal(service: Manifest, *manifests: Manifest) -> Refused:
    with pytest.raises(Refused) as caught:
        build(recorded.cluster(*manifests), service)
    return caught.value


def test_a_prefix_or_a_regular_expression_anywhere_matches() -> None:
    own = storage_container("own", {"regex": "model=[0-9]+$"})
    assert chosen(sklearn("x://y?model=7"), own) == "own"
    assert chosen(sklearn("own://y"), storage_container("own", {"prefix": "own://"})) == "own"


def test_where_both_are_set_the_prefix_counts() -> None:
    own = storage_container("own", {"prefix": "own://", "regex": "s3://"})
    assert chosen(sklearn(), own) == "default"


def test_disabled_ones_and_those_for_jobs_are_passed_over() -> None:
    others = [storage_container("a", disabled=True), storage_container("b", workloadType="localModelDownloadJob")]
    assert chosen(sklearn(), *others) == "default"


def test_where_two_match_both_outcomes_can_be_had() -> None:
    cluster = recorded.cluster()
    first = build(cluster, sklearn())
    assert (first.storage_container, first.candidates) == ("default", ("default", "wellhead"))
    assert build(cluster, sklearn(), "wellhead").storage_container == "wellhead"
    outcomes = build_all(cluster, sklearn())
    assert [each.storage_container for each in outcomes if isinstance(each, Outcome)] == ["default", "wellhead"]


def test_one_that_is_chosen_by_name_has_no_rivals() -> None:
    outcome = build(recorded.cluster(), sklearn(storageContainerName="wellhead"))
    assert outcome.candidates == ("wellhead",)
    assert len(build_all(recorded.cluster(), sklearn(storageContainerName="wellhead"))) == 1


def test_a_name_in_the_service_beats_the_runtimes_pin() -> None:
    service = recorded.inference_service(storageContainerName="default")
    assert build(recorded.cluster(), service).storage_container == "default"


def test_a_disabled_one_by_name_is_refused() -> None:
    refused = refusal(sklearn(storageContainerName="off"), storage_container("off", disabled=True))
    assert (refused.stage, refused.message) == ("Pod", f'{DENIED}ClusterStorageContainer "off" is disabled')


def test_one_for_jobs_by_name_is_refused() -> None:
    job = storage_container("job", workloadType="localModelDownloadJob")
    assert refusal(sklearn(storageContainerName="job"), job).stage == "Pod"


@pytest.mark.parametrize("uri", ["pvc://claim/x", "oci://registry.example/x:1"])
def test_a_named_one_must_list_even_what_it_never_sees(uri: str) -> None:
    refused = refusal(recorded.inference_service({"storageUri": uri}, storageContainerName="wellhead-only-wrapper"))
    words = f'ClusterStorageContainer "wellhead-only-wrapper" does not support storageUri "{uri}"'
    assert refused.message == DENIED + words


@pytest.mark.parametrize("uri", ["pvc://claim/x", "oci://registry.example/x:1"])
def test_what_needs_no_initializer_uses_no_storage_container(uri: str) -> None:
    outcome = build(recorded.cluster(), recorded.inference_service({"storageUri": uri}))
    assert (outcome.storage_container, outcome.candidates) == (None, ())


@pytest.mark.parametrize("uri", ["/data/model", "models/x", "file:///data", "gs://b/x", "hf://a/b", "https://h/x"])
def test_what_no_storage_container_lists_falls_to_kserves_settings(uri: str) -> None:
    cluster = recorded.cluster(storage_container("default", disabled=True), without=("wellhead",))
    outcome = build(cluster, sklearn(uri))
    assert outcome.storage_container is None
    assert recorded.initializer(outcome.pod)["image"] == "kserve/storage-initializer:latest"


@pytest.mark.parametrize("uri", ["ftp://a/b", "az://c/x", "oci+modelcar://r/x"])
def test_any_other_scheme_needs_one_that_lists_it(uri: str) -> None:
    only_ours = storage_container("wellhead", {"prefix": "runai_streamer://"})
    refused = refusal(sklearn(uri), only_ours)
    assert refused.stage == "reconcile"
    assert refused.message.startswith("StorageURI not supported: storageUri, must be one of: [gs://, s3://, ")
    assert refused.message.endswith(f"StorageUri [{uri}] is not supported")


@pytest.mark.parametrize("regex", ["s3://(", "(?!gs)://", r"(a)\1"])
def test_a_broken_regular_expression_breaks_other_peoples_services(regex: str) -> None:
    refused = refusal(sklearn(), storage_container("broken", {"regex": regex}))
    assert "error checking storage container broken: error parsing regexp: " in refused.message


def test_its_fields_are_laid_over_kserves() -> None:
    own = storage_container("own", {"prefix": "own://"})
    own["spec"]["container"] |= {
        "command": ["/bin/own"],
        "resources": {"limits": {"cpu": "8"}},
        "env": [{"name": "HF_XET_HIGH_PERFORMANCE", "value": "0"}, {"name": "OWN", "value": "1"}],
        "envFrom": [{"secretRef": {"name": "own"}}],
    }
    container = recorded.initializer(build(recorded.cluster(own), sklearn("own://x")).pod)
    assert container["command"] == ["/bin/own"]
    assert container["args"] == ["own://x", "/mnt/models"]
    assert container["resources"] == {
        "limits": {"cpu": "8", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "100Mi"},
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert recorded.environment(container)["HF_XET_HIGH_PERFORMANCE"] == "0"
    assert list(recorded.environment(container))[:2] == ["HF_XET_HIGH_PERFORMANCE", "OWN"]


def test_its_arguments_would_replace_uri_and_path() -> None:
    own = storage_container("own", {"prefix": "own://"})
    own["spec"]["container"]["args"] = ["--help"]
    assert recorded.initializer(build(recorded.cluster(own), sklearn("own://x")).pod)["args"] == ["--help"]


def test_its_variables_win_over_credentials_and_keep_their_place() -> None:
    own = storage_container("own", {"prefix": "own://"})
    own["spec"]["container"]["env"] = [{"name": "S3_ENDPOINT", "value": "elsewhere"}, {"name": "A", "value": "a"}]
    pod = build(recorded.cluster(own), sklearn("own://x", serviceAccountName="s3-reader")).pod
    environment = recorded.environment(recorded.initializer(pod))
    assert environment["S3_ENDPOINT"] == "elsewhere"
    assert list(environment)[:5] == [
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_USE_HTTPS"),
        *("S3_ENDPOINT", "A"),
    ]


def test_its_name_becomes_the_containers() -> None:
    own = storage_container("own", {"prefix": "own://"})
    own["spec"]["container"]["name"] = "fetcher"
    pod = build(recorded.cluster(own), sklearn("own://x")).pod
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["fetcher"]


def test_a_volume_of_its_own_must_be_in_the_pod_already() -> None:
    own = storage_container("own", {"prefix": "own://"})
    own["spec"]["container"]["volumeMounts"] = [{"name": "cache", "mountPath": "/cache"}]
    refused = refusal(sklearn("own://x"), own)
    assert refused.stage == "Pod"
    assert refused.message == (
        'The Pod "llama-predictor-0" is invalid: spec.initContainers[0].volumeMounts[0].name: Not found: "cache"'
    )
    volumes = [{"name": "cache", "emptyDir": {}}]
    assert build(recorded.cluster(own), sklearn("own://x", volumes=volumes)).storage_container == "own"
