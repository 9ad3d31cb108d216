"""What a catalog says about one model, put together from its plan, its config and its card. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wellhead_cluster.catalog.card import Card

if TYPE_CHECKING:
    from wellhead_storage.plan import Plan
    from wellhead_storage.preview import Figures

CONFIG = "config.json"

_GIB = 2**30
_ROOM = 1.2  # activations, CUDA graphs and a first KV cache, on top of the weights
_CONTEXT = 2 * _GIB  # CUDA itself and the libraries
_UTILIZATION = 0.92  # vLLM 0.32's --gpu-memory-utilization, unless it is told otherwise

_DTYPES = {
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I8": "int8",
    "U8": "uint8",
}
_GENERATIVE = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_PREDICTIVE = ("ForSequenceClassification", "ForTokenClassification")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a catalog; empty or None is what is not known.

    Attributes:
        name: in the catalog.
        uri: of the folder that serves it.
        mode: stream or download, as `wellhead init` would decide with these credentials.
        layout: of the weights.
        weight_bytes: of all weights.
        shards: weight files.
        parameters: elements of all tensors.
        dtype: what config.json says, else of most tensors.
        quantization: method, where there is one.
        context_length: most tokens.
        model_type: generative, predictive or unknown.
        card: the model card.
    """

    name: str
    uri: str
    mode: str
    layout: str
    weight_bytes: int | None = None
    shards: int | None = None
    parameters: int | None = None
    dtype: str = ""
    quantization: str = ""
    context_length: int | None = None
    model_type: str = "unknown"
    card: Card = field(default_factory=Card)

    @property
    def load_format(self) -> str:
        """VLLM's `--load-format`; what was downloaded it recognises by itself."""
        return "runai_streamer" if self.mode == "stream" else "auto"

    @property
    def accelerator_gib(self) -> int | None:
        """Suggested memory of all accelerators together, in GiB; None where there is no base for it."""
        if not self.weight_bytes or self.layout == "adapter":
            return None
        return accelerator_memory(self.weight_bytes)


def accelerator_memory(weight_bytes: int) -> int:
    """GiB for all accelerators together: (1.2 * weights + 2 GiB) / 0.92, rounded up.

    A place to start from. It has no room for the KV cache of a long context or of many requests.
    """
    return math.ceil((_ROOM * weight_bytes + _CONTEXT) / _UTILIZATION / _GIB)


def make_entry(name: str, plan: Plan, figures: Figures, raw_config: bytes, card: Card) -> Entry:
    """Put one together.

    Args:
        name: in the catalog.
        plan: as `wellhead init` would write it.
        figures: what is known of it before it is fetched.
        raw_config: config.json, or nothing.
        card: the model card.
    """
    config, weights = _object(raw_config), plan.weights
    inner = _part(config, "text_config")
    most = max(weights.dtypes, key=lambda dtype: weights.dtypes[dtype], default="")
    given = next((part[key] for part in (config, inner) for key in ("dtype", "torch_dtype") if part.get(key)), None)
    length = config.get("max_position_embeddings") or inner.get("max_position_embeddings")
    method = _part(config, "quantization_config").get("quant_method")
    return Entry(
        name=name,
        uri=plan.resolved,
        mode=plan.mode,
        layout=weights.layout,
        weight_bytes=figures.weight_bytes,
        shards=None if figures.objects is None else len(weights.files),
        parameters=weights.parameters or None,
        dtype=_short(given) or _DTYPES.get(most, most.lower()),
        quantization=_short(method),
        context_length=length if isinstance(length, int) and not isinstance(length, bool) and length > 0 else None,
        model_type=_model_type(config.get("architectures")),
        card=card,
    )


def _object(raw: bytes) -> dict[str, object]:
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(config: Mapping[str, object], name: str) -> dict[str, object]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _short(value: object) -> str:
    """A word of a config, which anybody may have written."""
    return value if isinstance(value, str) and len(value) <= 64 and value.isprintable() else ""


def _model_type(architectures: object) -> str:
    names = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    if any(name.endswith(_GENERATIVE) for name in names):
        return "generative"
    return "predictive" if any(name.endswith(_PREDICTIVE) for name in names) else "unknown"
