"""The Jobs that mirror a model: what `kubectl apply -k` sends after a few lines of parameters.yaml were edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.mirror_jobs import JOBS, VARIANTS, edited_job
from tests.unit.manifests import RESTRICTED, rendered
from wellhead_storage import errors

# Exit codes of `wellhead mirror` after which another try, with the same Job, may do better.
MAY_GET_BETTER = {1: "unexpected", 16: "the store did not answer", 17: "it changed meanwhile", 143: "was asked to stop"}
# Codes of `errors.py` that a mirror does not end with: they are about engines, plans, streaming and the doctor.
NOT_OF_A_MIRROR = {14, 18, 20, 21, 22, 23}
IDENTITIES = sorted(set(VARIANTS) - {"mirror-pvc"})


def container(job: dict[str, Any]) -> dict[str, Any]:
    (found,) = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def variables(job: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container(job)["env"]}


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_but_the_job_reaches_the_cluster(variant: str) -> None:
    assert list(rendered(JOBS / variant)) == [("Job", "mirror-llama")]


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_mirrors_what_the_parameters_say(variant: str, tmp_path: Path) -> None:
    job = edited_job(
        tmp_path,
        variant,
        {"name": "mirror-qwen", "source": "hf://Qwen/Qwen3-8B", "destination": "s3://ours/qwen", "hub-secret": "hub"}
        | {"service-account": "writer", "keep-seconds": "60"},
    )
    assert job["metadata"]["name"] == "mirror-qwen"
    assert container(job)["command"] == ["wellhead", "mirror"], "the image's own entry point is `wellhead init`"
    assert container(job)["args"] == ["hf://Qwen/Qwen3-8B", "s3://ours/qwen"]
    assert container(job)["envFrom"][0] == {"secretRef": {"name": "hub", "optional": True}}
    assert container(job)["image"] == "wellhead-initializer:0.1.0"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "writer"
    assert job["spec"]["ttlSecondsAfterFinished"] == 60


def test_s3(tmp_path: Path) -> None:
    job = edited_job(tmp_path, "mirror-s3", {"endpoint": "https://s3.example", "region": "eu", "store-secret": "w"})
    assert container(job)["envFrom"][1] == {"secretRef": {"name": "w", "optional": True}}
    assert variables(job) == {
        "WELLHEAD_LOG_FORMAT": "text",
        "AWS_ENDPOINT_URL": "https://s3.example",
        "AWS_DEFAULT_REGION": "eu",
    }


def test_azure(tmp_path: Path) -> None:
    job = edited_job(tmp_path, "mirror-azure", {"store-secret": "w"})
    assert container(job)["envFrom"][1] == {"secretRef": {"name": "w", "optional": True}}
    assert job["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"


@pytest.mark.parametrize("file", ["/var/secrets/gcs/key.json", ""])
def test_google_with_a_key_or_an_identity(tmp_path: Path, file: str) -> None:
    job = edited_job(tmp_path, "mirror-gcs", {"store-secret": "w", "key-file": file})
    assert variables(job)["GOOGLE_APPLICATION_CREDENTIALS"] == file, "an empty one is none"
    (volume,), (mount,) = job["spec"]["template"]["spec"]["volumes"], container(job)["volumeMounts"]
    assert volume == {"name": mount["name"], "secret": {"secretName": "w", "optional": True}}
    assert mount["mountPath"] == "/var/secrets/gcs"


def test_a_claim(tmp_path: Path) -> None:
    job = edited_job(tmp_path, "mirror-pvc", {"claim": "weights"})
    pod = job["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "models", "persistentVolumeClaim": {"claimName": "weights"}}]
    assert container(job)["volumeMounts"] == [{"name": "models", "mountPath": "/mnt/models"}]
    assert container(job)["args"][1].startswith("/mnt/models/")
    assert pod["securityContext"]["fsGroup"] == 1000, "a new claim belongs to root"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mirror_of_the_hub_has_a_root_and_no_destination(tmp_path: Path, variant: str) -> None:
    job = edited_job(tmp_path, variant, {"destination": "s3://models/hub"}, hub=True)
    assert container(job)["args"] == ["hf://team/llama"]
    assert variables(job)["WELLHEAD_MIRROR"] == "s3://models/hub"


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_fits_into_a_restricted_namespace_and_writes_no_root(variant: str) -> None:
    job = rendered(JOBS / variant)["Job", "mirror-llama"]
    assert container(job)["securityContext"] == RESTRICTED
    assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert container(job)["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container(job)["resources"]["limits"] == {"cpu": "4", "memory": "1Gi"}
    assert container(job)["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_what_may_get_better_is_tried_again(variant: str) -> None:
    spec = rendered(JOBS / variant)["Job", "mirror-llama"]["spec"]
    drained, hopeless = spec["podFailurePolicy"]["rules"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "the API server refuses a policy with any other"
    assert spec["backoffLimit"] == 6
    assert drained == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert hopeless["action"] == "FailJob"
    on = hopeless["onExitCodes"]
    assert (on["containerName"], on["operator"]) == ("mirror", "In")
    tree = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.WellheadError)]
    ours = {each.exit_code for each in tree} | {2}
    assert set(on["values"]) == ours - MAY_GET_BETTER.keys() - NOT_OF_A_MIRROR


def test_every_code_that_is_not_tried_again_is_documented() -> None:
    text = (JOBS.parents[1] / "docs" / "exit-codes.md").read_text()
    spec = rendered(JOBS / "base")["Job", "mirror"]["spec"]
    for code in spec["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"]:
        assert f"\n| {code} | " in text


@pytest.mark.parametrize("variant", IDENTITIES)
def test_a_cloud_identity_needs_no_secret(variant: str) -> None:
    job = rendered(JOBS / variant)["Job", "mirror-llama"]
    pod = job["spec"]["template"]["spec"]
    references = [each["secretRef"] for each in container(job)["envFrom"]]
    references += [each["secret"] for each in pod.get("volumes", [])]
    assert len(references) == 2
    assert all(each["optional"] for each in references)
