"""`wellhead catalog`: what it writes of models in a real bucket, and what it refuses to write."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.storage.model import Model, one_tensor
from tests.storage.pod import LIMIT, WELLHEAD, Pod, contents
from tests.support.counting_proxy import counting_proxy
from tests.support.fake_hub import Repository, fake_hub
from tests.support.fake_registry import fake_registry
from wellhead_cluster.catalog.documents import read_document
from wellhead_cluster.catalog.folder import HEADER
from wellhead_cluster.catalog.model_checks import check_models
from wellhead_cluster.catalog.source_checks import check_sources
from wellhead_storage.mirror.run import Options as MirrorOptions
from wellhead_storage.mirror.run import mirror
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

CARD = b"""---
license: apache-2.0
language: no
pipeline_tag: text-generation
library_name: transformers
---
# Llama

A model for tests.
"""


def catalog(pod: Pod, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, where the pod's credentials are."""
    return subprocess.run(
        [WELLHEAD, "catalog", *map(str, arguments)],
        env={**pod.environment, "TMPDIR": str(pod.folder), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd="/",
    )


def written(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / name).read_text())


def names(folder: Path) -> list[str]:
    return [model["name"] for model in written(folder, "models.yaml")["models"]]


@pytest.fixture
def described(model: Model) -> Model:
    model.put("README.md", CARD)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "catalog"


class TestKubeflow:
    def test_the_source_is_one_that_the_server_loads(self, described: Model, pod: Pod, folder: Path) -> None:
        finished = catalog(pod, described.uri, "--output", folder, "--provider", "Example Org")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert finished.stdout.splitlines() == [str(folder / "models.yaml"), str(folder / "sources.yaml")]
        assert check_models(read_document((folder / "models.yaml").read_text())) == []
        sources = read_document((folder / "sources.yaml").read_text())
        assert check_sources(sources, {"models.yaml": [described.prefix]}) == []

    def test_a_model_has_its_card_and_its_figures(self, described: Model, pod: Pod, folder: Path) -> None:
        assert catalog(pod, described.uri, "--output", folder, "--provider", "Example Org").returncode == 0
        (model,) = written(folder, "models.yaml")["models"]
        assert (model["name"], model["provider"]) == (described.prefix, "Example Org")
        assert (model["license"], model["language"], model["tasks"]) == ("apache-2.0", ["no"], ["text-generation"])
        assert (model["description"], model["readme"]) == ("A model for tests.", "# Llama\n\nA model for tests.\n")
        (artifact,) = model["artifacts"]
        assert artifact["uri"] == described.uri
        values = artifact["customProperties"]
        assert values["load_format"]["string_value"] == "runai_streamer"
        assert values["bytes"]["double_value"] == sum(map(len, described.shards.values()))
        assert values["parameter_count"]["double_value"] == 9 * (64 << 10) // 2
        assert values["dtype"]["string_value"] == "bfloat16"
        assert model["customProperties"]["model_type"]["string_value"] == "generative"

    def test_what_cannot_stream_says_so(self, model: Model, pod: Pod, folder: Path) -> None:
        model.put("stray.safetensors", one_tensor("x"))
        assert catalog(pod, model.uri, "--output", folder).returncode == 0
        (artifact,) = written(folder, "models.yaml")["models"][0]["artifacts"]
        values = artifact["customProperties"]
        assert (values["mode"]["string_value"], values["load_format"]["string_value"]) == ("download", "auto")

    def test_no_weights_are_fetched(self, described: Model, pod: Pod) -> None:
        described.put("README.md", CARD + b"text\n" * 400_000)
        with counting_proxy(described.store.endpoint_url) as proxy:
            finished = catalog(pod, described.uri, AWS_ENDPOINT_URL=proxy.endpoint_url)
        assert finished.returncode == 0, finished.stderr
        assert proxy.body_bytes < 400_000, "a long card is not read to its end"

    def test_without_a_folder_the_files_are_printed(self, llama: Model, pod: Pod) -> None:
        finished = catalog(pod, llama.uri)
        assert finished.returncode == 0, finished.stderr
        models, sources = yaml.safe_load_all(finished.stdout)
        assert [model["name"] for model in models["models"]] == ["llama"]
        assert sources["model_catalogs"][0]["id"] == "wellhead"
        assert llama.store.secret_access_key not in finished.stdout

    def test_a_broken_card_costs_only_itself(self, model: Model, pod: Pod, folder: Path) -> None:
        model.put("README.md", b"---\nlicense: [\n---\nA model.\n")
        model.put("config.json", b'{"architectures": 7, "max_position_embeddings": "many"}')
        finished = catalog(pod, model.uri, "--output", folder)
        assert finished.returncode == 0, finished.stderr
        assert "the card of" in finished.stderr
        (written_model,) = written(folder, "models.yaml")["models"]
        assert written_model["description"] == "A model."
        assert "license" not in written_model


class TestBackstage:
    def test_a_model_is_a_resource(self, described: Model, pod: Pod, folder: Path) -> None:
        arguments = ("--output", folder, "--format", "backstage", "--owner", "group:default/ml")
        finished = catalog(pod, f"org/llama={described.uri}", *arguments)
        assert (finished.returncode, finished.stderr) == (0, "")
        assert [path.name for path in folder.iterdir()] == ["catalog-info.yaml"]
        entity = written(folder, "catalog-info.yaml")
        assert (entity["kind"], entity["metadata"]["name"]) == ("Resource", "org-llama")
        assert entity["metadata"]["annotations"]["wellhead.dev/uri"] == described.uri

    def test_it_needs_an_owner(self, llama: Model, pod: Pod) -> None:
        finished = catalog(pod, llama.uri, "--format", "both")
        assert finished.returncode == 2
        assert "--owner" in finished.stderr

    def test_names_that_become_one_are_refused(self, llama: Model, pod: Pod, folder: Path) -> None:
        arguments = (f"a/b={llama.uri}", f"a-b={llama.uri}")
        finished = catalog(pod, *arguments, "--output", folder, "--format", "both", "--owner", "ml")
        assert finished.returncode == 10
        assert "Two models are called a-b" in finished.stderr
        assert not folder.exists()


class TestSeveralRuns:
    def test_models_are_added_and_replaced_by_name(
        self, new_model: Callable[[], Model], pod: Pod, folder: Path
    ) -> None:
        first, second = new_model(), new_model()
        both = ("--output", folder, "--format", "both", "--owner", "ml")
        assert catalog(pod, f"a={first.uri}", f"b={first.uri}", *both).returncode == 0
        assert catalog(pod, f"a={second.uri}", f"c={second.uri}", *both).returncode == 0
        assert names(folder) == ["a", "b", "c"]
        uris = [model["artifacts"][0]["uri"] for model in written(folder, "models.yaml")["models"]]
        assert uris == [second.uri, first.uri, second.uri]
        entities = list(yaml.safe_load_all((folder / "catalog-info.yaml").read_text()))
        assert [entity["metadata"]["name"] for entity in entities] == ["a", "b", "c"]

    def test_what_somebody_changed_stays(self, llama: Model, pod: Pod, folder: Path) -> None:
        assert catalog(pod, f"a={llama.uri}", "--output", folder, "--source-id", "team").returncode == 0
        path = folder / "models.yaml"
        path.write_text(path.read_text().replace('name: "a"\n', 'name: "a"\n  maturity: "Tested"\n'))
        sources = folder / "sources.yaml"
        sources.write_text(sources.read_text().replace("Wellhead models", "Ours"))
        assert catalog(pod, f"b={llama.uri}", "--output", folder).returncode == 0
        assert written(folder, "models.yaml")["models"][0]["maturity"] == "Tested"
        (source,) = written(folder, "sources.yaml")["model_catalogs"]
        assert (source["id"], source["name"]) == ("team", "Ours")
        assert catalog(pod, f"b={llama.uri}", "--output", folder, "--source-name", "Theirs").returncode == 0
        (source,) = written(folder, "sources.yaml")["model_catalogs"]
        assert (source["id"], source["name"], source["labels"]) == ("team", "Theirs", ["Theirs"])

    def test_a_second_run_changes_nothing(self, llama: Model, pod: Pod, folder: Path) -> None:
        both = ("--output", folder, "--format", "both", "--owner", "ml")
        assert catalog(pod, llama.uri, *both).returncode == 0
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert catalog(pod, llama.uri, *both).returncode == 0
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_a_file_of_somebody_else_is_not_touched(self, llama: Model, pod: Pod, folder: Path) -> None:
        folder.mkdir()
        (folder / "models.yaml").write_text("# ours, with comments\nmodels: []\n")
        finished = catalog(pod, llama.uri, "--output", folder)
        assert finished.returncode == 19
        assert "was not written by `wellhead catalog`" in finished.stderr
        assert (folder / "models.yaml").read_text() == "# ours, with comments\nmodels: []\n"
        assert [path.name for path in folder.iterdir()] == ["models.yaml"]

    @pytest.mark.parametrize(
        ("name", "change", "words"),
        [
            ("models.yaml", ('name: "a"', "name: no"), "it should be a valid string, and the server refuses the whole"),
            ("models.yaml", ("s3://", "hf://"), "has the scheme hf"),
            ("models.yaml", ("models:", "models: ["), "cannot be read"),
            ("sources.yaml", ("enabled: true", "enabled: false"), "none of its models is shown"),
        ],
    )
    def test_a_changed_file_that_loses_models_is_refused(
        self, llama: Model, pod: Pod, folder: Path, name: str, change: tuple[str, str], words: str
    ) -> None:
        assert catalog(pod, f"a={llama.uri}", "--output", folder).returncode == 0
        path = folder / name
        path.write_text(path.read_text().replace(*change))
        before = {each.name: each.read_bytes() for each in folder.iterdir()}
        finished = catalog(pod, f"b={llama.uri}", "--output", folder)
        assert finished.returncode == 19
        assert words in finished.stderr
        assert str(path) in finished.stderr
        assert {each.name: each.read_bytes() for each in folder.iterdir()} == before

    def test_what_is_only_shown_otherwise_is_a_warning(self, llama: Model, pod: Pod, folder: Path) -> None:
        folder.mkdir()
        value = "{metadataType: MetadataDoubleValue, double_value: 1}"
        (folder / "models.yaml").write_text(f"{HEADER}models:\n- name: a\n  customProperties: {{x: {value}}}\n")
        finished = catalog(pod, f"b={llama.uri}", "--output", folder)
        assert finished.returncode == 0
        assert "the server shows only strings of a model" in finished.stderr
        assert names(folder) == ["a", "b"]


class TestWhatLeadsToABucket:
    def test_a_hugging_face_model_has_the_uri_of_its_mirror(self, described: Model, pod: Pod, folder: Path) -> None:
        root = f"s3://models/{pod.folder.name}-hub"
        with fake_hub() as hub:
            hub.repositories["org/llama"] = Repository(contents(described.original))
            environment = {**hub.environment, "HF_HUB_DISABLE_XET": "1"}
            settings = Settings(mirror=root)
            mirror("hf://org/llama", None, MirrorOptions(), settings, {**environment, **described.store.environment()})
            finished = catalog(pod, "hf://org/llama", "--output", folder, WELLHEAD_MIRROR=root, **environment)
            commit = hub.repositories["org/llama"].commit
            missing = catalog(pod, "hf://org/llama", WELLHEAD_MIRROR="s3://models/nothing-here", **environment)
        assert finished.returncode == 0, finished.stderr
        (model,) = written(folder, "models.yaml")["models"]
        assert (model["name"], model["artifacts"][0]["uri"]) == ("org/llama", f"{root}/org/llama/{commit}")
        assert missing.returncode == 10
        assert "has the scheme hf" in missing.stderr
        assert "Mirror the model into a bucket first" in missing.stderr

    def test_a_name_in_a_registry_has_the_uri_behind_it(self, llama: Model, pod: Pod, folder: Path) -> None:
        with fake_registry() as registry:
            registry.add("llama", "v1", llama.uri)
            finished = catalog(
                pod, "model-registry://llama/v1", "--output", folder, MODEL_REGISTRY_BASE_URL=registry.host
            )
        assert finished.returncode == 0, finished.stderr
        (model,) = written(folder, "models.yaml")["models"]
        assert (model["name"], model["artifacts"][0]["uri"]) == ("llama/v1", llama.uri)


REFUSED: dict[str, tuple[str, int, str]] = {
    "hf": ("hf://Qwen/Qwen3-8B", 10, "Mirror it first (`wellhead mirror hf://Qwen/Qwen3-8B s3://bucket/model`)"),
    "wrapped": ("runai_streamer://s3://models/llama", 10, "Give s3://models/llama"),
    "a folder here": ("/mnt/models", 10, "`wellhead mirror /mnt/models s3://bucket/model`"),
    "a volume": ("pvc://claim/llama", 10, "Give the model's folder in a bucket"),
    "a library's": ("hdfs://namenode/llama", 10, "Give the model's folder in a bucket"),
    "unknown": ("ftp://models/llama", 10, "unknown scheme"),
    "no such folder": ("s3://models/none", 11, "holds no objects"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_in_a_catalog_says_what_to_do(llama: Model, pod: Pod, folder: Path, case: str) -> None:
    uri, code, words = REFUSED[case]
    finished = catalog(pod, llama.uri, f"x={uri}", "--output", folder)
    assert finished.returncode == code, finished.stderr
    assert words in finished.stderr.splitlines()[-1]
    assert finished.stdout == ""
    assert not folder.exists(), "all or nothing"


def test_one_of_several_that_fails_is_named(llama: Model, pod: Pod) -> None:
    finished = catalog(pod, llama.uri, f"second={llama.uri}", AWS_SECRET_ACCESS_KEY="wrong")
    assert finished.returncode == 12
    assert finished.stderr.splitlines()[-1].startswith("llama: ")
    assert not catalog(pod, llama.uri, AWS_SECRET_ACCESS_KEY="wrong").stderr.startswith("llama: ")


def test_two_of_one_name_are_refused(llama: Model, pod: Pod) -> None:
    finished = catalog(pod, llama.uri, llama.uri)
    assert finished.returncode == 10
    assert "Two models are called llama" in finished.stderr


def test_a_folder_that_cannot_be_is_a_sentence(llama: Model, pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finished = catalog(pod, llama.uri, "--output", tmp_path / "file")
    assert finished.returncode == 19
    assert "Traceback" not in finished.stderr
