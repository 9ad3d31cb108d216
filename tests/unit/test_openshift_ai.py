"""OpenShift AI: the dashboard's template is our runtime, and every key of a connection is one that is understood."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.kserve import Cluster, build, recorded
from tests.kserve.manifests import Manifest
from tests.unit.manifests import REPOSITORY, bundle, overlay
from wellhead_storage.credentials.azure import azure_credentials
from wellhead_storage.credentials.gcs import gcs_credentials
from wellhead_storage.credentials.s3 import s3_credentials
from wellhead_storage.uri import parse

TEMPLATE = ("Template", "wellhead-vllm")
TYPES = {name: ("ConfigMap", f"wellhead-{name}") for name in ("s3", "gcs", "azure")}


S3 = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_S3_ENDPOINT": "https://minio.example",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_S3_BUCKET": "models",
}


def template() -> Manifest:
    return bundle("openshift-ai")[TEMPLATE]


def runtime() -> Manifest:
    """What the dashboard makes of the template in a project."""
    (inner,) = template()["objects"]
    assert isinstance(inner, dict)
    return inner


def fields(kind: str) -> list[dict[str, Any]]:
    found = json.loads(bundle("openshift-ai")[TYPES[kind]]["data"]["fields"])
    assert isinstance(found, list)
    return found


class TestTemplate:
    def test_the_bundle_is_the_template_and_the_connection_types(self) -> None:
        assert set(bundle("openshift-ai")) == {TEMPLATE, *TYPES.values()}

    def test_its_runtime_is_ours_with_what_the_platform_needs(self, tmp_path: Path) -> None:
        known = overlay(tmp_path, "base", components=("pin-storage-container", "openshift"))
        ours = known["ClusterServingRuntime", "wellhead-vllm"]
        assert (runtime()["apiVersion"], runtime()["kind"]) == (ours["apiVersion"], "ServingRuntime")
        assert runtime()["spec"] == ours["spec"]
        assert runtime()["metadata"] == ours["metadata"]

    def test_beside_that_it_is_the_runtime_of_base(self) -> None:
        base = bundle("base")["ClusterServingRuntime", "wellhead-vllm"]["spec"]
        assert {**runtime()["spec"], "annotations": None} == {**base, "annotations": None}
        assert base["annotations"].items() <= runtime()["spec"]["annotations"].items()

    def test_the_dashboard_lists_it_for_generative_models_on_one_server(self) -> None:
        metadata = template()["metadata"]
        assert metadata["labels"] == {"opendatahub.io/dashboard": "true"}
        annotations = metadata["annotations"]
        assert json.loads(annotations["opendatahub.io/modelServingSupport"]) == ["single"]
        assert json.loads(annotations["opendatahub.io/model-type"]) == ["generative"]
        assert annotations["opendatahub.io/apiProtocol"] == "REST"
        assert (
            annotations["openshift.io/display-name"]
            == runtime()["metadata"]["annotations"]["openshift.io/display-name"]
        )

    def test_it_takes_no_parameters(self) -> None:
        assert not re.search(r"\$\{", json.dumps(template()))

    def test_the_version_is_that_of_the_image(self) -> None:
        version = runtime()["metadata"]["annotations"]["opendatahub.io/runtime-version"]
        assert f"vllm/vllm-openai:{version}\n" in (REPOSITORY / "Dockerfile").read_text()

    def test_an_overlay_sets_its_image(self, tmp_path: Path) -> None:
        images = [{"name": "wellhead-runtime", "newName": "registry.example/runtime", "newTag": "9"}]
        (inner,) = overlay(tmp_path, "openshift-ai", images=images)[TEMPLATE]["objects"]
        assert inner["spec"]["containers"][0]["image"] == "registry.example/runtime:9"


class TestConnectionTypes:
    @pytest.mark.parametrize("kind", TYPES)
    def test_the_dashboard_offers_it(self, kind: str) -> None:
        manifest = bundle("openshift-ai")[TYPES[kind]]
        assert manifest["metadata"]["labels"]["opendatahub.io/connection-type"] == "true"
        assert json.loads(manifest["data"]["category"]) == ["Object storage"]
        for field in fields(kind):
            assert field.keys() == {"type", "name", "envVar", "required", "properties"}
            assert field["type"] in {"short-text", "hidden", "file", "uri"}
            assert re.fullmatch(r"[-_.a-zA-Z0-9]+", field["envVar"])

    def test_it_takes_them_for_models(self) -> None:
        """The dashboard looks for these keys."""
        keys = {kind: {field["envVar"] for field in fields(kind)} for kind in TYPES}
        s3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_ENDPOINT", "AWS_S3_BUCKET"}
        assert s3 <= keys["s3"]
        assert "URI" in keys["gcs"] & keys["azure"]

    @pytest.mark.parametrize("kind", TYPES)
    def test_secrets_are_typed_in_unseen(self, kind: str) -> None:
        for field in fields(kind):
            secret = "SECRET" in field["envVar"] or field["envVar"].endswith("ACCESS_KEY") or "json" in field["envVar"]
            assert (field["type"] in {"hidden", "file"}) == secret


def filled(kind: str, **values: str) -> dict[str, str]:
    """The data of a connection: exactly the keys that the form asks for."""
    assert {field["envVar"] for field in fields(kind)} == values.keys()
    return values


def pod_of(model: Manifest, account: str, *objects: Manifest) -> Manifest:
    """The pod of a service in a project, with the runtime that the dashboard makes of the template."""
    project = {**runtime(), "metadata": {**runtime()["metadata"], "namespace": recorded.NAMESPACE}}
    cluster = Cluster.with_stock([*bundle("default").values(), project, *objects])
    service = recorded.inference_service(
        {"runtime": "wellhead-vllm", "modelFormat": {"name": "vLLM"}, "storageUri": None, **model},
        serviceAccountName=account,
    )
    outcome = build(cluster, service)
    assert outcome.candidates == ("wellhead",)
    assert outcome.pod["metadata"]["annotations"]["wellhead.dev/engine"] == "vllm"
    return outcome.pod


def environment_of(pod: Manifest, secret: dict[str, str]) -> dict[str, str]:
    """What the init container sees, with references to the secret followed."""
    found = {}
    for variable in recorded.initializer(pod)["env"]:
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference and reference["key"] in secret:
            found[variable["name"]] = secret[reference["key"]]
        elif "value" in variable:
            found[variable["name"]] = variable["value"]
    return found


class TestConnections:
    def test_s3(self) -> None:
        """Open Data Hub's controller makes an entry of `storage-config` of it, and refers to that."""
        connection = filled("s3", **S3)
        entry = {
            "type": "s3",
            "access_key_id": connection["AWS_ACCESS_KEY_ID"],
            "secret_access_key": connection["AWS_SECRET_ACCESS_KEY"],
            "endpoint_url": connection["AWS_S3_ENDPOINT"],
            "bucket": connection["AWS_S3_BUCKET"],
            "region": connection["AWS_DEFAULT_REGION"],
        }
        config = {"bucket-of-ours": json.dumps(entry)}
        objects = (recorded.secret("storage-config", config), recorded.secret("bucket-of-ours", connection))
        storage = {"storage": {"key": "bucket-of-ours", "path": "llama"}}
        pod = pod_of(storage, "bucket-of-ours-sa", recorded.account("bucket-of-ours-sa", "bucket-of-ours"), *objects)
        assert recorded.initializer(pod)["args"][0] == "s3://models/llama"
        credentials = s3_credentials(environment_of(pod, {**connection, **config}))
        link = credentials.connection
        assert (link.endpoint_url, link.region, link.identity) == ("https://minio.example", "eu-west-1", "static")
        assert credentials.secret
        assert credentials.secret.secret_access_key.get_secret_value() == "secret"

    def test_s3_in_the_engines_own_environment(self) -> None:
        """As with `envFrom`, which passes every key of the connection on as it is."""
        connection = filled("s3", **S3)
        link = s3_credentials(connection).connection
        assert (link.endpoint_url, link.region, link.identity) == ("https://minio.example", "eu-west-1", "static")

    def test_google(self, tmp_path: Path) -> None:
        key = "gcloud-application-credentials.json"
        content = json.dumps({"type": "service_account", "private_key": "secret"})
        connection = filled("gcs", **{"URI": "gs://models/llama", key: content})
        objects = (recorded.account("google-sa", "google"), recorded.secret("google", connection))
        pod = pod_of({"storageUri": connection["URI"]}, "google-sa", *objects)
        path = environment_of(pod, connection)["GOOGLE_APPLICATION_CREDENTIALS"]
        assert path.endswith(key)
        (tmp_path / key).write_text(content)
        credentials = gcs_credentials({"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / key)})
        assert credentials.connection.identity == "static"
        assert recorded.initializer(pod)["args"][0] == "gs://models/llama"

    def test_azure(self) -> None:
        uri = "abfss://models@account.dfs.core.windows.net/llama"
        connection = filled("azure", URI=uri, AZURE_STORAGE_ACCESS_KEY="c2VjcmV0")
        objects = (recorded.account("azure-sa", "azure"), recorded.secret("azure", connection))
        pod = pod_of({"storageUri": connection["URI"]}, "azure-sa", *objects)
        asked = parse(recorded.initializer(pod)["args"][0])
        credentials = azure_credentials(environment_of(pod, connection), asked.account, asked.suffix)
        assert (credentials.connection.account, credentials.connection.identity) == ("account", "static")
        assert credentials.secret
        assert credentials.secret.account_key
        assert credentials.secret.account_key.get_secret_value() == "c2VjcmV0"
