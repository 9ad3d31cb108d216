"""Synthetic safetensors checkpoints, written without torch and the same on every run.

They look like a Llama model to everything that reads headers, indexes and configs; the values are noise, so
no engine can answer from them (`bench.smollm` has a real model).
"""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1, "BOOL": 1}

CONFIG: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "vocab_size": 256,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "dtype": "bfloat16",
}

TOKENIZER: dict[str, object] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2}, "unk_token": "<unk>"},
}


def tiny_checkpoint(
    folder: Path,
    *,
    shards: int = 2,
    tensors_per_shard: int = 3,
    tensor_bytes: int = 4096,
    dtype: str = "BF16",
) -> Path:
    """Write a complete sharded checkpoint into `folder` and return it.

    With one shard the file is called `model.safetensors` and there is no index, as on the Hugging Face Hub.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", CONFIG)
    _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    _write_json(folder / "tokenizer.json", TOKENIZER)
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    weight_map: dict[str, str] = {}
    for shard, name in enumerate(shard_names(shards)):
        tensors: dict[str, tuple[str, Sequence[int], bytes]] = {}
        for number in range(tensors_per_shard):
            tensor = f"model.layers.{shard}.block.{number}.weight"
            tensors[tensor] = (dtype, _shape(tensor_bytes, dtype), noise(tensor, tensor_bytes))
            weight_map[tensor] = name
        (folder / name).write_bytes(safetensors_bytes(tensors, {"format": "pt"}))
    if shards > 1:
        total = shards * tensors_per_shard * tensor_bytes
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        _write_json(folder / "model.safetensors.index.json", index)
    return folder


def shard_names(count: int) -> list[str]:
    """`model-00001-of-0000N.safetensors` …, or `model.safetensors` for a single one."""
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def safetensors_bytes(
    tensors: Mapping[str, tuple[str, Sequence[int], bytes]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """One safetensors file: header length, JSON header padded to eight bytes, data in the order given.

    Sizes are not checked against shapes, so that tests can write broken files too.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + len(data)],
        }
        offset += len(data)
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + b"".join(data for _, _, data in tensors.values())


def noise(seed: str, count: int) -> bytes:
    """Bytes that depend on nothing but the seed."""
    return random.Random(seed).randbytes(count)


def _shape(size: int, dtype: str) -> list[int]:
    """A matrix of `size` bytes with rows of 64 values where that works out, else a vector."""
    values, rest = divmod(size, DTYPE_BYTES[dtype])
    if rest:
        raise ValueError(f"{size} bytes are not a whole number of {dtype} values")
    return [values // 64, 64] if values and values % 64 == 0 else [values]


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
