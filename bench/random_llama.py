"""A Llama checkpoint of a wanted size with random weights, for timing: SmolLM2's tokenizer, bfloat16.

python -m bench.random_llama SIZE FOLDER     SIZE is one of the keys of SHAPES
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.smollm import smollm
from tests.support.checkpoint import shard_names

_VOCABULARY = 49_152  # SmolLM2's
_BLOCK = 1 << 22  # values that are drawn; the rest repeats them, each tensor from another place


@dataclass(frozen=True)
class Shape:
    """What decides the size."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    shards: int


SHAPES = {
    "tiny": Shape(256, 512, 2, 4, 2, 2),  # 52 MiB, to try things out
    "2GiB": Shape(2048, 5632, 20, 32, 4, 6),  # 2,064 MiB
    "6GiB": Shape(4096, 11_008, 14, 32, 32, 12),  # 6,172 MiB
}


def random_llama(shape: Shape, folder: Path) -> int:
    """Write the checkpoint into a new folder, and return the bytes of its weights."""
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(smollm() / name, folder / name)
    config = json.loads((smollm() / "config.json").read_text()) | {
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = list(_tensors(shape).items())
    cuts = [round(index * len(tensors) / shape.shards) for index in range(shape.shards + 1)]
    weight_map: dict[str, str] = {}
    source = _values()
    for file, (start, end) in zip(shard_names(shape.shards), pairwise(cuts), strict=True):
        with (folder / file).open("wb") as opened:
            _write(opened, dict(tensors[start:end]), source)
        weight_map |= {name: file for name, _ in tensors[start:end]}
    total = sum(2 * rows * columns for _, (rows, columns) in tensors)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total


def _tensors(shape: Shape) -> dict[str, tuple[int, int]]:
    """Names and shapes in the order of the files; one column stands for a vector."""
    keys = shape.hidden // shape.heads * shape.kv_heads
    found = {"model.embed_tokens.weight": (_VOCABULARY, shape.hidden)}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        found |= {
            f"{prefix}input_layernorm.weight": (shape.hidden, 1),
            f"{prefix}mlp.down_proj.weight": (shape.hidden, shape.inner),
            f"{prefix}mlp.gate_proj.weight": (shape.inner, shape.hidden),
            f"{prefix}mlp.up_proj.weight": (shape.inner, shape.hidden),
            f"{prefix}post_attention_layernorm.weight": (shape.hidden, 1),
            f"{prefix}self_attn.k_proj.weight": (keys, shape.hidden),
            f"{prefix}self_attn.o_proj.weight": (shape.hidden, shape.hidden),
            f"{prefix}self_attn.q_proj.weight": (shape.hidden, shape.hidden),
            f"{prefix}self_attn.v_proj.weight": (keys, shape.hidden),
        }
    return found | {"model.norm.weight": (shape.hidden, 1), "lm_head.weight": (_VOCABULARY, shape.hidden)}


def _values() -> bytes:
    """Small normal values as bfloat16, twice over, so that every tensor can begin at another one."""
    drawn = np.random.default_rng(7).standard_normal(_BLOCK, dtype=np.float32) * 0.02
    return (drawn.view(np.uint32) >> 16).astype(np.uint16).tobytes() * 2


def _write(opened: BinaryIO, tensors: dict[str, tuple[int, int]], source: bytes) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (rows, columns) in tensors.items():
        shape = [rows] if columns == 1 else [rows, columns]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + 2 * rows * columns]}
        offset += 2 * rows * columns
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    opened.write(struct.pack("<Q", len(encoded)) + encoded)
    for number, (rows, columns) in enumerate(tensors.values()):
        left, start = 2 * rows * columns, number * 4096 % (2 * _BLOCK)
        while left:
            taken = min(left, 2 * _BLOCK)
            opened.write(source[start : start + taken])
            left -= taken


if __name__ == "__main__":
    print(f"{random_llama(SHAPES[sys.argv[1]], Path(sys.argv[2])):,} bytes")
