"""The pages for a platform team: their manifests do what the text around them says."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from tests.kserve import Cluster, Outcome, build, recorded
from tests.kserve.manifests import Manifest
from tests.unit.manifests import REPOSITORY, bundle
from tests.unit.pages import applied, blocks, cluster_with, objects, page
from wellhead_storage.credentials.s3 import s3_credentials


def made(block: list[Manifest], *installed: Manifest) -> Outcome:
    """What KServe makes of the service in a block, on a cluster with Wellhead."""
    [service] = [each for each in block if each["kind"] == "InferenceService"]
    return build(cluster_with(block, *installed), service)


def test_reasons_are_quoted_as_they_are_spoken() -> None:
    table = page("concepts").partition("| reason | what to do |")[2].partition("\n\n")[0]
    quoted = [line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:]]
    sentences = [each for each in quoted if each and not each.startswith("**")]
    assert len(sentences) > 20
    spoken = said_by("decision.py", "stores/gcs.py")
    for sentence in sentences:
        for part in re.split(r"…| (?=\(role)", sentence):  # the role is put behind a sentence
            assert part.strip() in spoken, part


def said_by(*modules: str) -> str:
    """Every text in modules of the initializer, with `…` for what is filled in."""
    texts = []
    for module in modules:
        for node in ast.walk(ast.parse((REPOSITORY / "storage/wellhead_storage" / module).read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values))  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


class TestClaims:
    def test_without_a_token_the_server_has_its_own_keys_and_nothing_is_handed_over(self, tmp_path: Path) -> None:
        [kustomization] = blocks("credentials", kustomizations=True)
        [block] = objects("credentials")
        pod = made(block, *applied(kustomization, tmp_path)).pod
        assert recorded.environment(recorded.initializer(pod))["WELLHEAD_HANDOFF"] == "off"
        server = recorded.server(pod)
        assert server["envFrom"] == [{"secretRef": {"name": "s3-models"}}]
        assert not [each for each in server["volumeMounts"] if "serviceaccount" in each["mountPath"]]
        [secret] = [each for each in block if each["kind"] == "Secret"]
        assert s3_credentials(secret["stringData"]).connection.endpoint_url == "http://minio.minio.svc:9000"

    def test_settings_of_the_initializer_reach_it(self, tmp_path: Path) -> None:
        [kustomization] = blocks("operations", kustomizations=True)
        service = next(block for block in objects("operations") if block[0]["kind"] == "InferenceService")
        pod = made(service, *applied(kustomization, tmp_path)).pod
        initializer = recorded.initializer(pod)
        assert initializer["image"] == "registry.example/ml/wellhead-initializer:0.1.0"
        assert recorded.environment(initializer).keys() >= {"WELLHEAD_MIRROR", "HTTPS_PROXY", "NO_PROXY"}
        assert recorded.environment(recorded.server(pod)).keys().isdisjoint({"WELLHEAD_MIRROR", "HTTPS_PROXY"})

    def test_the_environment_of_a_service_does_not_reach_the_init_container(self) -> None:
        block = next(each for each in objects("operations") if each[0]["metadata"]["name"] == "qwen")
        pod = made(block).pod
        assert recorded.environment(recorded.server(pod))["HF_HUB_OFFLINE"] == "1"
        assert "HF_HUB_OFFLINE" not in recorded.environment(recorded.initializer(pod))

    def test_a_volume_of_that_name_takes_the_model(self) -> None:
        block = next(each for each in objects("operations") if "volumes" in predictor(each))
        pod = made(block).pod
        [volume] = [each for each in pod["spec"]["volumes"] if each["name"] == "kserve-provision-location"]
        assert "emptyDir" not in volume
        assert volume["ephemeral"]
        mounts = [each for each in recorded.initializer(pod)["volumeMounts"] if each["name"] == volume["name"]]
        assert [each["mountPath"] for each in mounts] == ["/mnt/models"]

    def test_public_buckets_take_a_secret_whose_keys_are_not_used(self) -> None:
        secret = next(
            block[0] for block in objects("credentials/s3") if block[0]["metadata"]["name"] == "public-models"
        )
        settings = {name: value for name, value in initializer_variables(secret).items() if isinstance(value, str)}
        found = s3_credentials(settings | secret["stringData"])
        assert (found.connection.identity, found.secret) == ("anonymous", None)

    def test_settings_on_a_service_account_count_beside_a_role_only(self) -> None:
        [account] = next(
            block for block in objects("credentials/s3") if "eks" in str(block[0]["metadata"].get("annotations"))
        )
        assert initializer_variables(account)["AWS_DEFAULT_REGION"] == "eu-central-1"
        metadata = account["metadata"]
        settings = {name: value for name, value in metadata["annotations"].items() if "s3" in name}
        without_role = {**account, "metadata": {**metadata, "annotations": settings}}
        assert "AWS_DEFAULT_REGION" not in initializer_variables(without_role)

    def test_of_a_secret_with_azures_key_alone_nothing_else_is_passed_on(self) -> None:
        secret = next(block[0] for block in objects("credentials/azure") if block[0]["metadata"]["name"] == "azure-key")
        more = {**secret, "stringData": {**secret["stringData"], "AZURE_STORAGE_ACCOUNT_NAME": "account"}}
        variables = initializer_variables(more)
        assert "AZURE_STORAGE_ACCESS_KEY" in variables
        assert "AZURE_STORAGE_ACCOUNT_NAME" not in variables


def predictor(block: list[Manifest]) -> dict[str, Any]:
    return next((each["spec"]["predictor"] for each in block if each["kind"] == "InferenceService"), {})


def initializer_variables(manifest: Manifest) -> dict[str, Any]:
    """What KServe makes of a secret, or a service account, for the init container of a service in S3."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "models"},
        "secrets": [{"name": name}],
    }
    own = [manifest, account] if kind == "Secret" else [manifest]
    service = recorded.inference_service(serviceAccountName="models" if kind == "Secret" else name)
    namespaced = [{**each, "metadata": {**each["metadata"], "namespace": recorded.NAMESPACE}} for each in own]
    cluster = Cluster.with_stock([*bundle("default").values(), *namespaced, service])
    return recorded.environment(recorded.initializer(build(cluster, service).pod))
