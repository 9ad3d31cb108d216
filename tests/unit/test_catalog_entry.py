"""One model, as the two kinds of catalog show it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.builders import WEIGHTS, make_plan
from wellhead_cluster.catalog.backstage import check_entities, entity_document, entity_name, is_reference
from wellhead_cluster.catalog.card import Card
from wellhead_cluster.catalog.documents import read_document, write_documents
from wellhead_cluster.catalog.entry import Entry, accelerator_memory, make_entry
from wellhead_cluster.catalog.kubeflow import MODELS, model_document, sources_document
from wellhead_cluster.catalog.model_checks import check_models
from wellhead_cluster.catalog.source_checks import check_sources
from wellhead_storage.preview import Figures

CARD = Card(
    description="A model.",
    readme="# A\n",
    license="llama3.1",
    license_link="https://example.org/licence",
    languages=("en", "no"),
    tasks=("text-generation",),
    library="transformers",
)
ENTRY = Entry(
    name="wellhead/llama-3.1-8b",
    uri="s3://models/llama",
    mode="stream",
    layout="safetensors",
    weight_bytes=16_060_556_376,
    shards=4,
    parameters=8_030_261_248,
    dtype="bfloat16",
    context_length=131_072,
    model_type="generative",
    card=CARD,
)
BARE = Entry("a", "gs://models/a", "download", "none")


def made(config: object = None, **changes: Any) -> Entry:
    raw = b"" if config is None else json.dumps(config).encode()
    figures = Figures(objects=9, object_bytes=1200, weight_bytes=1000, disk_bytes=1300)
    return make_entry("a", make_plan(**changes), figures, raw, Card())


class TestFacts:
    def test_what_is_measured_comes_from_the_plan(self) -> None:
        entry = made(weights=WEIGHTS.model_copy(update={"parameters": 500}))
        assert (entry.uri, entry.mode, entry.layout) == ("s3://models/llama", "stream", "safetensors")
        assert (entry.weight_bytes, entry.shards, entry.parameters) == (1000, 2, 500)

    def test_before_it_is_fetched_an_archive_shows_nothing(self) -> None:
        plan = make_plan(mode="download", weights=WEIGHTS.model_copy(update={"files": (), "layout": "none"}))
        entry = make_entry("a", plan, Figures(archive_bytes=10), b"", Card())
        assert (entry.weight_bytes, entry.shards, entry.parameters, entry.accelerator_gib) == (None, None, None, None)
        assert check_models({"models": [model_document(entry, "")]}) == []

    @pytest.mark.parametrize(
        ("config", "dtype"),
        [
            ({"torch_dtype": "float16"}, "float16"),
            ({"dtype": "bfloat16", "torch_dtype": "x"}, "bfloat16"),
            ({"text_config": {"dtype": "float32"}}, "float32"),
            ({}, "bfloat16"),
            ({"dtype": 7}, "bfloat16"),
        ],
    )
    def test_the_dtype_is_what_the_config_says_or_most_tensors_have(self, config: object, dtype: str) -> None:
        assert made(config).dtype == dtype

    @pytest.mark.parametrize(
        ("architecture", "kind"),
        [
            ("LlamaForCausalLM", "generative"),
            ("Qwen3VLForConditionalGeneration", "generative"),
            ("BertForSequenceClassification", "predictive"),
            ("BertModel", "unknown"),
        ],
    )
    def test_the_kind_of_model(self, architecture: str, kind: str) -> None:
        assert made({"architectures": [architecture]}).model_type == kind

    @pytest.mark.parametrize("config", [None, [], "x", {"architectures": "x", "max_position_embeddings": "many"}])
    def test_a_config_that_is_none_says_nothing(self, config: object) -> None:
        entry = made(config)
        assert (entry.model_type, entry.context_length, entry.quantization) == ("unknown", None, "")

    def test_context_and_quantization(self) -> None:
        entry = made({"text_config": {"max_position_embeddings": 4096}, "quantization_config": {"quant_method": "fp8"}})
        assert (entry.context_length, entry.quantization) == (4096, "fp8")

    @pytest.mark.parametrize(("weights", "gib"), [(16_060_556_376, 22), (1_192_099_840, 4), (140 * 2**30, 185)])
    def test_suggested_memory(self, weights: int, gib: int) -> None:
        assert accelerator_memory(weights) == gib

    def test_an_adapter_needs_the_memory_of_its_model(self) -> None:
        assert replace(ENTRY, layout="adapter").accelerator_gib is None


class TestKubeflow:
    @pytest.mark.parametrize("entry", [ENTRY, BARE, replace(ENTRY, name="no", dtype="no", quantization="7")])
    def test_the_server_loses_and_changes_nothing(self, entry: Entry) -> None:
        document = read_document(write_documents([{"models": [model_document(entry, "Example Org")]}]))
        assert check_models(document) == []

    def test_numbers_are_shown_on_the_artifact_and_strings_on_the_model(self) -> None:
        document = model_document(ENTRY, "Example Org")
        (artifact,) = document["artifacts"]
        assert artifact["uri"] == "s3://models/llama"
        numbers = {name: value.get("double_value") for name, value in artifact["customProperties"].items()}
        assert numbers["bytes"] == 16_060_556_376
        assert numbers["parameter_count"] == 8_030_261_248
        assert numbers["suggested_gpu_memory_gib"] == 22
        shown = {name: value["string_value"] for name, value in document["customProperties"].items()}
        assert shown["parameter_count"] == "8030261248"
        assert (shown["load_format"], shown["mode"], shown["dtype"]) == ("runai_streamer", "stream", "bfloat16")

    def test_what_is_not_known_is_left_out(self) -> None:
        document = model_document(BARE, "")
        assert document.keys() == {"name", "customProperties", "artifacts"}
        assert document["customProperties"].keys() == {"model_type", "load_format", "mode"}

    def test_what_is_downloaded_vllm_recognises_itself(self) -> None:
        assert BARE.load_format == "auto"

    def test_the_card_is_in_the_fields_of_the_server(self) -> None:
        document = model_document(ENTRY, "Example Org")
        assert (document["provider"], document["license"]) == ("Example Org", "llama3.1")
        assert (document["language"], document["tasks"]) == (["en", "no"], ["text-generation"])
        assert document["libraryName"] == "transformers"

    def test_the_source_names_the_file_of_models(self) -> None:
        document = read_document(write_documents([sources_document("no", "on")]))
        assert check_sources(document, {MODELS: ["a"]}) == []


class TestBackstage:
    @pytest.mark.parametrize("entry", [ENTRY, BARE])
    def test_backstage_takes_it(self, entry: Entry) -> None:
        entity = read_document(write_documents([entity_document(entry, "group:default/ml")]))
        assert check_entities([entity]) == []
        assert isinstance(entity, dict)
        assert (entity["kind"], entity["spec"]) == ("Resource", {"type": "ai-model", "owner": "group:default/ml"})

    def test_facts_are_annotations(self) -> None:
        metadata = entity_document(ENTRY, "ml")["metadata"]
        assert metadata["name"] == "wellhead-llama-3.1-8b"
        assert metadata["title"] == ENTRY.name
        assert metadata["annotations"]["wellhead.dev/uri"] == ENTRY.uri
        assert metadata["annotations"]["wellhead.dev/accelerator-memory-gib"] == "22"
        assert metadata["links"] == [{"url": "https://example.org/licence", "title": "Licence"}]
        assert metadata["tags"] == ["text-generation", "transformers", "generative", "stream"]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Qwen/Qwen3-8B", "Qwen-Qwen3-8B"),
            ("a__b..c", "a_b.c"),
            ("-x-", "x"),
            ("größe", "gr-e"),
            ("m" * 80, "m" * 63),
        ],
    )
    def test_names(self, name: str, expected: str) -> None:
        assert entity_name(name) == expected
        assert check_entities([entity_document(replace(ENTRY, name=name), "ml")]) == []

    @pytest.mark.parametrize("text", ["ml", "group:default/ml-platform", "user:jane.doe", "default/x"])
    def test_owners(self, text: str) -> None:
        assert is_reference(text)

    @pytest.mark.parametrize("text", ["", "group:", "a b", "group:x/y/z", "-x"])
    def test_what_is_no_owner(self, text: str) -> None:
        assert not is_reference(text)

    def test_mistakes_are_found(self) -> None:
        good = entity_document(ENTRY, "ml")
        wrong: list[tuple[dict[str, Any], str]] = [
            ({**good, "metadata": {"name": "a/b"}}, "the name 'a/b'"),
            ({**good, "metadata": {"name": "a", "tags": ["A b"]}}, "the tag 'A b'"),
            ({**good, "metadata": {"name": "a", "annotations": {"x": 1}}}, "the annotation 'x'"),
            ({**good, "metadata": {"name": "a", "links": [{"url": "LICENSE"}]}}, "the link"),
            ({**good, "spec": {"type": "ai-model"}}, "spec.owner is missing"),
            ({**good, "kind": None}, "kind has to be a string"),
        ]
        for entity, words in wrong:
            (found,) = check_entities([entity])
            assert words in str(found)
            assert found.lost
        assert "stands there twice" in str(check_entities([good, good])[0])
        assert "no entity" in str(check_entities([None])[0])
