"""From a listing to one layout of weights, metadata, and what is left and why."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_storage.inventory import INDEX, Inventory, Layout, classify, drop_markers, natural_order
from wellhead_storage.stores.interface import StoredObject

SHARDS = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
HF = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "merges.txt", "vocab.json"]


def listing(*names: str) -> list[StoredObject]:
    return [StoredObject(name, size=len(name), etag=f'"{name}"') for name in names]


def weights(found: Inventory) -> list[str]:
    return [item.name for item in found.weights]


def left(found: Inventory) -> dict[str, str]:
    return {entry.item.name: entry.reason for entry in found.skipped}


# names, layout, weights, left behind; all others are metadata
CASES: dict[str, tuple[list[str], Layout, list[str], list[str]]] = {
    "one shard": ([*HF, "model.safetensors"], "safetensors", ["model.safetensors"], []),
    "shards and index": ([*HF, INDEX, *SHARDS], "safetensors", SHARDS, []),
    "shards in any name": (
        ["config.json", "a.safetensors", "b.safetensors"],
        "safetensors",
        ["a.safetensors", "b.safetensors"],
        [],
    ),
    "safetensors win over .bin": (
        [*HF, "model.safetensors", "pytorch_model.bin"],
        "safetensors",
        ["model.safetensors"],
        ["pytorch_model.bin"],
    ),
    "safetensors win over GGUF": (
        [*HF, "model.safetensors", "llama-q4.gguf"],
        "safetensors",
        ["model.safetensors"],
        ["llama-q4.gguf"],
    ),
    "safetensors and everything else people upload": (
        [
            *HF,
            "model.safetensors",
            "tf_model.h5",
            "flax_model.msgpack",
            "rust_model.ot",
            "model.onnx",
            "model.onnx_data",
            "model.tflite",
            "consolidated.00.pth",
        ],
        "safetensors",
        ["model.safetensors"],
        [
            "tf_model.h5",
            "flax_model.msgpack",
            "rust_model.ot",
            "model.onnx",
            "model.onnx_data",
            "model.tflite",
            "consolidated.00.pth",
        ],
    ),
    "Hugging Face shards win over Mistral's": (
        [*HF, "params.json", *SHARDS, "consolidated.safetensors", "consolidated-00001-of-00002.safetensors"],
        "safetensors",
        SHARDS,
        ["consolidated.safetensors", "consolidated-00001-of-00002.safetensors"],
    ),
    "Mistral's layout alone": (
        ["params.json", "tekken.json", "consolidated.safetensors"],
        "mistral",
        ["consolidated.safetensors"],
        [],
    ),
    "PyTorch": (
        [*HF, "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
        "pytorch",
        ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
        [],
    ),
    "PyTorch, not what training left": (
        [*HF, "pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"],
        "pytorch",
        ["pytorch_model.bin"],
        ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"],
    ),
    "GGUF": (["llama-q4.gguf"], "gguf", ["llama-q4.gguf"], []),
    "PyTorch wins over GGUF": (["pytorch_model.bin", "q4.gguf"], "pytorch", ["pytorch_model.bin"], ["q4.gguf"]),
    "original/ is Meta's copy": (
        [*HF, "model.safetensors", "original/consolidated.00.pth", "original/params.json", "original/tokenizer.model"],
        "safetensors",
        ["model.safetensors"],
        ["original/consolidated.00.pth", "original/params.json", "original/tokenizer.model"],
    ),
    "folders of other formats": (
        [*HF, "model.safetensors", "onnx/model.onnx", "onnx/config.json", "OpenVINO/model.bin", "gguf/q4.gguf"],
        "safetensors",
        ["model.safetensors"],
        ["onnx/model.onnx", "onnx/config.json", "OpenVINO/model.bin", "gguf/q4.gguf"],
    ),
    "sentence-transformers' modules are metadata": (
        [
            *HF,
            "modules.json",
            "model.safetensors",
            "1_Pooling/config.json",
            "2_Dense/config.json",
            "2_Dense/model.safetensors",
            "2_Dense/pytorch_model.bin",
        ],
        "safetensors",
        ["model.safetensors"],
        [],
    ),
    "weights in another subfolder": (
        [*HF, "model.safetensors", "draft/model.safetensors", "draft/config.json"],
        "safetensors",
        ["model.safetensors"],
        ["draft/model.safetensors"],
    ),
    "weights in subfolders only": (
        ["model_index.json", "unet/model.safetensors", "vae/model.safetensors"],
        "nested",
        ["unet/model.safetensors", "vae/model.safetensors"],
        [],
    ),
    "an adapter": (
        ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"],
        "adapter",
        ["adapter_model.safetensors"],
        [],
    ),
    "an adapter of PyTorch files": (
        ["adapter_config.json", "adapter_model.bin"],
        "adapter",
        ["adapter_model.bin"],
        [],
    ),
    "an adapter with its model's config.json": (
        [*HF, "adapter_config.json", "adapter_model.safetensors"],
        "adapter",
        ["adapter_model.safetensors"],
        [],
    ),
    "an adapter as training left it": (
        ["config.json", "adapter_config.json", "adapter_model.bin", "training_args.bin", "optimizer.pt"],
        "adapter",
        ["adapter_model.bin", "training_args.bin", "optimizer.pt"],
        [],
    ),
    "an adapter with more than its matrices": (
        ["adapter_config.json", "adapter_model.safetensors", "new_embeddings.safetensors"],
        "adapter",
        ["adapter_model.safetensors", "new_embeddings.safetensors"],
        [],
    ),
    "a merged model with its adapter_config.json": (
        [*HF, "adapter_config.json", "model.safetensors"],
        "safetensors",
        ["model.safetensors"],
        [],
    ),
    "a model and its adapter": (
        [*HF, "adapter_config.json", "adapter_model.safetensors", INDEX, *SHARDS],
        "safetensors",
        SHARDS,
        ["adapter_model.safetensors"],
    ),
    "a PyTorch model and its adapter": (
        [*HF, "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "pytorch_model.bin"],
        "pytorch",
        ["pytorch_model.bin"],
        ["adapter_model.safetensors", "adapter_model.bin"],
    ),
    "no weights": ([*HF], "none", [], []),
    "nothing": ([], "none", [], []),
    "a model's own code, chat template and licence": (
        ["config.json", "modeling_x.py", "chat_template.jinja", "LICENSE", "model.safetensors"],
        "safetensors",
        ["model.safetensors"],
        [],
    ),
    "documentation": (
        ["config.json", "model.safetensors", "README.md", "figures/a.PNG", "paper.pdf", "demo.ipynb"],
        "safetensors",
        ["model.safetensors"],
        ["README.md", "figures/a.PNG", "paper.pdf", "demo.ipynb"],
    ),
    "housekeeping": (
        [
            "config.json",
            "model.safetensors",
            ".gitattributes",
            ".gitignore",
            ".git/HEAD",
            ".cache/huggingface/download/model.safetensors.metadata",
            ".DS_Store",
            "sub/.DS_Store",
            ".wellhead/plan.json",
            "a/.ipynb_checkpoints/x.py",
        ],
        "safetensors",
        ["model.safetensors"],
        [
            ".gitattributes",
            ".gitignore",
            ".git/HEAD",
            ".cache/huggingface/download/model.safetensors.metadata",
            ".DS_Store",
            "sub/.DS_Store",
            ".wellhead/plan.json",
            "a/.ipynb_checkpoints/x.py",
        ],
    ),
    "hidden files that only look like housekeeping": (
        ["config.json", "model.safetensors", ".github.json", "x.gitignore", "wellhead/plan.json"],
        "safetensors",
        ["model.safetensors"],
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layouts(case: str) -> None:
    names, layout, taken, skipped = CASES[case]
    found = classify(listing(*names))
    assert found.layout == layout
    assert sorted(weights(found)) == sorted(taken)
    assert sorted(left(found)) == sorted(skipped)
    assert {item.name for item in found.metadata} == set(names) - set(taken) - set(skipped)
    assert all(left(found).values()), "whatever is left has a reason"


REASONS = {
    ".gitattributes": "housekeeping",
    "README.md": "documentation",
    "original/params.json": "another copy of the model in original/",
    "pytorch_model.bin": "PyTorch weights, next to the safetensors layout",
    "model.onnx": "ONNX weights, next to the safetensors layout",
    "consolidated.safetensors": "Mistral's own layout, next to the Hugging Face shards",
    "adapter_model.safetensors": "safetensors weights of a LoRA adapter, next to the safetensors layout",
    "draft/model.safetensors": "safetensors weights in a subfolder, next to the safetensors layout",
}


@pytest.mark.parametrize(("name", "reason"), REASONS.items())
def test_reasons_are_sentences_for_people(name: str, reason: str) -> None:
    assert left(classify(listing("config.json", "model.safetensors", name))) == {name: reason}


def test_the_index_decides_which_shards_belong_to_the_model() -> None:
    index = {"a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[2]}
    found = classify(listing("config.json", INDEX, *SHARDS, "old.safetensors", "consolidated.safetensors"), index)
    assert weights(found) == SHARDS
    assert left(found)["old.safetensors"] == "not named by the safetensors index"
    assert [item.name for item in found.stray_safetensors] == ["consolidated.safetensors", "old.safetensors"]


def test_an_index_may_name_mistrals_files() -> None:
    name = "consolidated-00001-of-00001.safetensors"
    found = classify(listing("config.json", INDEX, name), {"a": name})
    assert (found.layout, weights(found)) == ("safetensors", [name])


def test_an_index_whose_shards_are_in_a_subfolder() -> None:
    found = classify(listing("config.json", INDEX, "sub/a.safetensors"), {"a": "sub/a.safetensors"})
    assert (found.layout, weights(found)) == ("nested", ["sub/a.safetensors"])


def test_the_index_is_found_among_the_metadata() -> None:
    assert classify(listing("config.json", "model.safetensors")).index is None
    found = classify(listing(INDEX, *SHARDS))
    assert found.index is not None
    assert found.index.name == INDEX


def test_no_strays_in_subfolders_because_the_streamer_does_not_look_there() -> None:
    found = classify(listing("model.safetensors", "draft/model.safetensors", "pytorch_model.bin"))
    assert found.stray_safetensors == ()


def test_bytes_of_weights() -> None:
    found = classify([StoredObject("a.safetensors", 3), StoredObject("b.safetensors", 4), StoredObject("x.json", 9)])
    assert found.weight_bytes == 7


def test_natural_order() -> None:
    names = ["model-10", "model-2", "model-1", "a10b2", "a10b10", "a9", "10", "9"]
    assert sorted(names, key=natural_order) == ["9", "10", "a9", "a10b2", "a10b10", "model-1", "model-2", "model-10"]


def test_shards_are_planned_in_the_order_of_vllms_loader() -> None:
    names = [f"model-{number}.safetensors" for number in range(1, 13)]
    shuffled = list(names)
    Random(1).shuffle(shuffled)
    assert weights(classify(listing(*shuffled))) == names


PIECES = st.text(st.sampled_from("ab-._٣²"), max_size=4)


@given(PIECES, st.integers(0, 10**6), st.integers(0, 10**6), PIECES)
def test_numbers_in_names_count_as_numbers(before: str, one: int, two: int, behind: str) -> None:
    """Digits of other scripts are letters, and no number is ever compared with text."""
    names = [f"{before}{one}{behind}", f"{before}{two}{behind}", f"{before}{behind}", behind]
    ordered = sorted(names, key=natural_order)
    assert sorted(names, key=natural_order) == ordered
    if one < two:
        assert ordered.index(names[0]) < len(ordered) - 1 - ordered[::-1].index(names[1])


# Folder markers --------------------------------------------------------------------------------------------------


def test_markers_of_folders_are_dropped_and_empty_files_are_not() -> None:
    objects = [
        StoredObject("sub", 0),
        StoredObject("sub/deep", 0),
        StoredObject("sub/deep/a.json", 1),
        StoredObject("__init__.py", 0),
        StoredObject("subway", 0),
    ]
    assert [item.name for item in drop_markers(objects)] == ["sub/deep/a.json", "__init__.py", "subway"]


def test_a_marker_beside_a_file_of_its_name() -> None:
    """`a/` is listed as `a`: the marker goes, whichever comes first; a file stays once."""
    file, marker = StoredObject("a", 5), StoredObject("a", 0)
    assert drop_markers([marker, file]) == [file]
    assert drop_markers([file, marker]) == [file]
    assert [item.name for item in drop_markers([StoredObject("a", 0), StoredObject("a", 0)])] == ["a"]
    assert drop_markers([file, StoredObject("a", 7)]) == [file, StoredObject("a", 7)], "two real ones: refused later"


def test_a_folder_with_bytes_is_no_marker() -> None:
    """It stays, so that the collision is reported."""
    objects = [StoredObject("sub", 5), StoredObject("sub/a.json", 1)]
    assert drop_markers(objects) == objects


# Any listing -----------------------------------------------------------------------------------------------------

PARTS = [
    "config.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    INDEX,
    *SHARDS,
    "consolidated.safetensors",
    "pytorch_model.bin",
    "x.GGUF",
]
NAMES = st.one_of(
    st.sampled_from(PARTS),
    st.builds("{}/{}".format, st.sampled_from(["original", "1_Pooling", ".git", "a", "onnx"]), st.sampled_from(PARTS)),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=10),
)


@given(
    st.lists(NAMES, unique=True, max_size=10), st.none() | st.dictionaries(st.text(max_size=3), st.sampled_from(PARTS))
)
def test_nothing_is_lost_or_taken_twice(names: list[str], index: dict[str, str] | None) -> None:
    found = classify(listing(*names), index)
    sorted_out = [*weights(found), *(item.name for item in found.metadata), *left(found)]
    assert sorted(sorted_out) == sorted(names)
    if found.layout in {"safetensors", "mistral"}:
        assert all(name.endswith(".safetensors") and "/" not in name for name in weights(found))
