"""Values for llm-d's chart: what its Deployments then are."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.llm_d_chart import ROLES, render
from tests.support.llm_d_values import NAMES, VALUES, read_values, servers, variables
from tests.unit.manifests import REPOSITORY, RESTRICTED, RUNTIMES, bundle
from wellhead_runtime.arguments import parse_arguments
from wellhead_storage.settings import unknown_variables
from wellhead_storage.uri import parse

EVERY_POD = [(name, role) for name in NAMES for role in ROLES]
MODELS = {
    "s3": "s3://models/llama",
    "gs": "gs://models/llama",
    "az": "az://models@account/llama",
    "hf": "hf://team/llama:main",
    "hf-mirror": "hf://team/llama:main",
    "pvc": "/model-cache/llama",
}
# Credentials come from one place, which both roles have.
SECRETS = {"s3": "s3-models", "az": "azure-models", "hf-mirror": "s3-models"}


def pod_of(name: str, role: str) -> dict[str, Any]:
    return render(read_values(name), release="llama")[role]


def server_of(name: str, role: str) -> dict[str, Any]:
    return servers(read_values(name))[role]


def test_there_are_no_others() -> None:
    assert {path.name for path in VALUES.iterdir()} == {f"values-{name}.yaml" for name in NAMES}


@pytest.mark.parametrize(("name", "role"), EVERY_POD)
def test_our_image_gets_the_model(name: str, role: str) -> None:
    server = server_of(name, role)
    assert server["image"] == "wellhead-runtime:0.1.0"
    assert server["command"] == ["vllm", "serve"], "the image's own `vllm` is ours"
    assert parse_arguments(server["args"]).model == MODELS[name]
    assert parse(MODELS[name]).location
    plain = [word for word in server["args"] if word.startswith("--model=")]
    assert plain == ([] if name == "pvc" else [f"--model={MODELS[name]}"]), "a plain word would be another served name"


@pytest.mark.parametrize(("name", "role"), EVERY_POD)
def test_no_mount_dangles_and_no_volume_is_left_over(name: str, role: str) -> None:
    pod, server = pod_of(name, role), server_of(name, role)
    mounts = [each["name"] for each in server["volumeMounts"]]
    paths = [each["mountPath"] for each in server["volumeMounts"]]
    assert sorted(mounts) == sorted(each["name"] for each in pod["volumes"])
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(("name", "role"), EVERY_POD)
def test_everything_that_is_written_is_a_volume(name: str, role: str) -> None:
    pod, server = pod_of(name, role), server_of(name, role)
    volumes = {each["name"]: each for each in pod["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in server["volumeMounts"] if not each.get("readOnly")}
    assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory"}
    written = variables(server)
    folders = {"/tmp", written["HOME"], written["WELLHEAD_CACHE_DIR"], written.get("WELLHEAD_MODEL_DIR", "/tmp")}
    assert folders == mounts.keys() - {"/dev/shm"}
    assert all("emptyDir" in each for each in mounts.values())


@pytest.mark.parametrize("name", NAMES)
def test_everything_about_loading_is_stated_once(name: str) -> None:
    values = read_values(name)
    (decode,), (prefill,) = (values[role]["containers"] for role in ROLES)
    assert decode is prefill, "one text with a reference to it"
    assert values["decode"]["volumes"] is values["prefill"]["volumes"]
    assert server_of(name, "decode") == server_of(name, "prefill")


@pytest.mark.parametrize(("name", "role"), EVERY_POD)
def test_streaming_settings_are_known_and_have_one_value(name: str, role: str) -> None:
    server = server_of(name, role)
    names = [entry["name"] for entry in server["env"]]
    assert len(set(names)) == len(names)
    assert unknown_variables(dict.fromkeys(names, "")) == []
    assert all(isinstance(entry.get("value", ""), str) for entry in server["env"])
    if name in {"s3", "gs", "az", "hf-mirror"}:
        assert variables(server)["WELLHEAD_MODE"] == "auto"


@pytest.mark.parametrize(("name", "role"), EVERY_POD)
def test_credentials_are_the_containers_own(name: str, role: str) -> None:
    server = server_of(name, role)
    sources = [{"secretRef": {"name": SECRETS[name]}}] if name in SECRETS else []
    assert server.get("envFrom", []) == sources
    token = {"secretKeyRef": {"name": "hub-token", "key": "HF_TOKEN"}}
    assert variables(server).get("HF_TOKEN") == (token if name.startswith("hf") else None)
    account = "gcs-models" if name == "gs" else "llama-llm-d-modelservice"
    assert pod_of(name, role)["serviceAccountName"] == account


@pytest.mark.parametrize(("name", "role"), EVERY_POD)
def test_probes_are_those_of_our_runtime_and_wait_an_hour(name: str, role: str) -> None:
    server = server_of(name, role)
    (ours,) = bundle("base")["ClusterServingRuntime", RUNTIMES[0]]["spec"]["containers"]
    (port,) = server["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = {"path": "/health", "port": port["name"]}
        assert server[probe] == {**ours[probe], "httpGet": asked}
    assert server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"] >= 3600
    assert server["args"][server["args"].index("--port") + 1] == str(port["containerPort"])


@pytest.mark.parametrize(("name", "role"), EVERY_POD)
def test_it_fits_into_a_restricted_namespace(name: str, role: str) -> None:
    server = server_of(name, role)
    (ours,) = bundle("base")["ClusterServingRuntime", RUNTIMES[0]]["spec"]["containers"]
    assert server["securityContext"] == RESTRICTED
    assert server["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert server["resources"] == ours["resources"], "and GPUs, which the chart adds"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pvc"])
def test_the_chart_mounts_nothing_where_it_has_no_volume(name: str) -> None:
    values = read_values(name)
    assert values["decode"]["containers"][0]["mountModelVolume"] is False
    assert not any(each["mountPath"] == "/model-cache" for each in server_of(name, "decode")["volumeMounts"])


def test_with_it_the_pod_would_be_refused() -> None:
    values = read_values("s3")
    values["decode"]["containers"][0]["mountModelVolume"] = True
    pod = render(values, release="llama")["decode"]
    mounted = {each["name"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounted - {each["name"] for each in pod["volumes"]} == {"model-storage"}


def test_the_uri_that_the_chart_ignores_is_the_one_that_loads() -> None:
    for name in ("s3", "gs", "az"):
        assert read_values(name)["modelArtifacts"]["uri"] == MODELS[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_how_to_names_every_file(name: str) -> None:
    assert f"`values-{name}.yaml`" in (REPOSITORY / "docs" / "llm-d.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_values_file_says_what_it_is_for_and_how_it_is_used(name: str) -> None:
    text = (VALUES / f"values-{name}.yaml").read_text()
    assert text.startswith("# ")
    assert f" -f values-{name}.yaml\n" in text
    assert yaml.safe_load(text)["modelArtifacts"]["name"] == "team/llama"
