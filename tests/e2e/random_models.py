"""Tiny models with random weights, of the kinds that differ in how a loader meets their tensors.

Each answers every prompt in its own way, and every tensor has its part in that. A tokenizer that knows the words of the
prompts is with each.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.e2e.engine import PROMPTS
from tests.support.checkpoint import CONFIG, TOKENIZER, shard_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Tensors = dict[str, Any]

_VOCABULARY, _HIDDEN, _INNER, _HEADS, _KV_HEADS, _HEAD = 256, 128, 256, 4, 2, 32
_EXPERTS, _GROUP = 8, 32


def many_shards(folder: Path) -> Path:
    """A Llama in 120 shards of one or two tensors in three dtypes, whose embeddings are its last layer, too."""
    tensors = _llama(layers=14, norms="float32") | {"model.embed_tokens.weight": _normal(_VOCABULARY, _HIDDEN, 0.3)}
    for name in tensors:
        if "_proj" in name and ".layers.1" in name:
            tensors[name] = tensors[name].half()
    return _write(folder, tensors, 120, layers=14)


def mixture_of_experts(folder: Path) -> Path:
    """A Mixtral in 120 shards: a tensor for each matrix of each of eight experts, and tied embeddings."""
    tensors = _llama(layers=4, norms="bfloat16") | {"model.embed_tokens.weight": _normal(_VOCABULARY, _HIDDEN, 0.3)}
    for layer in range(4):
        for name in [name for name in tensors if f".layers.{layer}.mlp." in name]:
            del tensors[name]
        block = f"model.layers.{layer}.block_sparse_moe"
        tensors[f"{block}.gate.weight"] = _matrix(_EXPERTS, _HIDDEN)
        for expert in range(_EXPERTS):
            for name, rows, columns in (("w1", _INNER, _HIDDEN), ("w2", _HIDDEN, _INNER), ("w3", _INNER, _HIDDEN)):
                tensors[f"{block}.experts.{expert}.{name}.weight"] = _matrix(rows, columns)
    return _write(
        folder, tensors, 120, layers=4,
        architectures=["MixtralForCausalLM"], model_type="mixtral", num_local_experts=_EXPERTS, num_experts_per_tok=2,
    )  # fmt: skip


def eight_bits(folder: Path) -> Path:
    """W8A8 of compressed-tensors: INT8 with a scale for each channel, and activations quantised as they come."""

    def quantise(weight: Any) -> Iterator[tuple[str, Any]]:
        import torch

        scale = weight.float().abs().amax(1, keepdim=True) / 127
        yield "weight", (weight.float() / scale).round().to(torch.int8)
        yield "weight_scale", scale

    activations = {"num_bits": 8, "type": "int", "strategy": "token", "symmetric": True, "dynamic": True}
    weights = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False}
    return _quantised(folder, quantise, "int-quantized", weights, activations)


def four_bits(folder: Path) -> Path:
    """W4A16 of compressed-tensors: eight values in each INT32, a scale for each group, and the shape as a tensor."""

    def quantise(weight: Any) -> Iterator[tuple[str, Any]]:
        import torch

        rows, columns = weight.shape
        groups = weight.float().reshape(rows, columns // _GROUP, _GROUP)
        scale = groups.abs().amax(2, keepdim=True) / 7
        values = ((groups / scale).round().to(torch.int32) + 8).reshape(rows, columns // 8, 8)
        packed = (values << torch.arange(0, 32, 4, dtype=torch.int32)).sum(2).to(torch.int32)
        yield "weight_packed", packed
        yield "weight_scale", scale.squeeze(2).bfloat16()
        yield "weight_shape", torch.tensor([rows, columns])

    weights = {
        "num_bits": 4, "type": "int", "strategy": "group", "group_size": _GROUP, "symmetric": True, "dynamic": False,
    }  # fmt: skip
    return _quantised(folder, quantise, "pack-quantized", weights, None)


def _quantised(
    folder: Path,
    quantise: Callable[[Any], Iterator[tuple[str, Any]]],
    form: str,
    weights: dict[str, object],
    activations: dict[str, object] | None,
) -> Path:
    tensors: Tensors = {}
    for name, tensor in _llama(layers=2, norms="bfloat16").items():
        module, _, kind = name.rpartition(".")
        replaced = quantise(tensor) if "_proj" in name else [(kind, tensor)]
        tensors |= {f"{module}.{part}": value for part, value in replaced}
    tensors["model.embed_tokens.weight"] = _normal(_VOCABULARY, _HIDDEN, 1.0)
    tensors["lm_head.weight"] = _normal(_VOCABULARY, _HIDDEN, 0.3)
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    config = {"quant_method": "compressed-tensors", "format": form, "ignore": ["lm_head"]}
    return _write(
        folder, tensors, 3, layers=2,
        tie_word_embeddings=False, quantization_config=config | {"config_groups": {"group_0": group}},
    )  # fmt: skip


def _llama(layers: int, norms: str) -> Tensors:
    import torch

    torch.manual_seed(7)
    queries, keys = _HEADS * _HEAD, _KV_HEADS * _HEAD
    shapes = {
        "self_attn.q_proj": (queries, _HIDDEN), "self_attn.k_proj": (keys, _HIDDEN),
        "self_attn.v_proj": (keys, _HIDDEN), "self_attn.o_proj": (_HIDDEN, queries),
        "mlp.gate_proj": (_INNER, _HIDDEN), "mlp.up_proj": (_INNER, _HIDDEN), "mlp.down_proj": (_HIDDEN, _INNER),
    }  # fmt: skip
    tensors: Tensors = {}
    for layer in range(layers):
        for name, shape in shapes.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = _matrix(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = _norm(norms)
    return tensors | {"model.norm.weight": _norm(norms)}


def _matrix(rows: int, columns: int) -> Any:
    return _normal(rows, columns, 1.5 * columns**-0.5)


def _normal(rows: int, columns: int, deviation: float) -> Any:
    import torch

    return (torch.randn(rows, columns) * deviation).bfloat16()


def _norm(dtype: str) -> Any:
    import torch

    return (1 + 0.2 * torch.randn(_HIDDEN)).to(getattr(torch, dtype))


def _write(folder: Path, tensors: Tensors, shards: int, *, layers: int, **config: object) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    names = sorted(tensors)
    parts = {name: names[number::shards] for number, name in enumerate(shard_names(shards))}
    for name, part in parts.items():
        save_file({tensor: tensors[tensor] for tensor in part}, folder / name, {"format": "pt"})
    weight_map = {tensor: name for name, part in parts.items() for tensor in part}
    shape = {
        "hidden_size": _HIDDEN, "intermediate_size": _INNER, "num_hidden_layers": layers,
        "num_attention_heads": _HEADS, "num_key_value_heads": _KV_HEADS, "vocab_size": _VOCABULARY,
    }  # fmt: skip
    words = ["<unk>", "<s>", "</s>", *sorted(set(re.findall(r"\w+|[^\w\s]+", " ".join(PROMPTS))))]
    words += [f"word{number}" for number in range(len(words), _VOCABULARY)]
    model = {"type": "WordLevel", "vocab": {word: number for number, word in enumerate(words)}, "unk_token": "<unk>"}
    for file, content in {
        "model.safetensors.index.json": {"metadata": {}, "weight_map": weight_map},
        "config.json": CONFIG | shape | config,
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": 2},
        "tokenizer.json": TOKENIZER | {"model": model},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"},
    }.items():
        (folder / file).write_text(json.dumps(content))
    return folder
