"""How many GPUs, and whether they are large enough. Pure.

The factors are rules of thumb on the safe side, not measurements; `docs/render.md` says what is in them. vLLM itself
takes a share of each GPU (`--gpu-memory-utilization`, 0.92 unless given: `vllm/config/cache.py` of 0.32) and gives to
the KV cache what weights, activations and CUDA graphs leave of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from wellhead_cluster.render.engine_options import PARALLEL
from wellhead_runtime.arguments import EngineArguments
from wellhead_storage.errors import ArgumentConflict, InvalidConfiguration
from wellhead_storage.files import in_gib

GIB = 2**30
_UTILIZATION = 0.92
_FACTOR = 1.2  # of the weights: themselves, and a KV cache of a fifth of their size
_EACH = 4 * GIB  # activations, CUDA graphs and communication buffers of one GPU
_COUNTS = (1, 2, 4, 8)  # of one node; attention heads divide by powers of two


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs of one pod.

    Attributes:
        count: 0 for vLLM's CPU build.
        options: to add to vLLM's.
        why: one sentence.
        doubt: what speaks against them, or empty.
    """

    count: int
    options: tuple[str, ...]
    why: str
    doubt: str = ""


def choose_gpus(arguments: EngineArguments, asked: int | None, weight_bytes: int | None, gpu_bytes: int | None) -> Gpus:
    """Count them.

    Args:
        arguments: the user's options.
        asked: `--gpus`.
        weight_bytes: of the model, if known.
        gpu_bytes: memory of one GPU, if known.

    Raises:
        ArgumentConflict: `--gpus` and vLLM's options say different things.
        InvalidConfiguration: the model needs more than one node.
    """
    stated = [option for option in PARALLEL if arguments.has(option)]
    world = _world(arguments)
    options: tuple[str, ...] = ()
    if asked == 0:
        return Gpus(0, (), "vLLM's CPU build")
    if stated:
        if asked is not None and asked != world:
            raise ArgumentConflict(
                f"vLLM's options spread the model over {world} GPUs, and --gpus says {asked}.", "Leave one of them out."
            )
        count, why = world, f"what {', '.join(stated)} multiply to"
    elif asked is not None:
        count, options, why = asked, _tensor(asked), "as --gpus says"
    elif weight_bytes is not None and gpu_bytes is not None:
        count = _smallest(arguments, weight_bytes, gpu_bytes)
        options, why = _tensor(count), f"the fewest of {_shown()} that hold {_sum(arguments, weight_bytes, count)}"
    else:
        count, why = 1, "unless vLLM's options or --gpus say otherwise"
    doubt = ""
    if weight_bytes is not None and gpu_bytes is not None and not _fits(arguments, weight_bytes, count, gpu_bytes):
        doubt = (
            f"{count} GPU(s) of {in_gib(gpu_bytes)} may be too small: vLLM takes {_share(arguments):.0%} of them, and "
            f"{_sum(arguments, weight_bytes, count)} make {in_gib(_needed(arguments, weight_bytes, count))}."
        )
    return Gpus(count, options, why, doubt)


def _world(arguments: EngineArguments) -> int:
    tensor, pipeline, data = (arguments.count(option) for option in PARALLEL)
    return tensor * pipeline * data


def _tensor(count: int) -> tuple[str, ...]:
    return (f"--tensor-parallel-size={count}",) if count > 1 else ()


def _smallest(arguments: EngineArguments, weight_bytes: int, gpu_bytes: int) -> int:
    for count in _COUNTS:
        if _fits(arguments, weight_bytes, count, gpu_bytes):
            return count
    raise InvalidConfiguration(
        f"Weights of {in_gib(weight_bytes)} do not fit into {_COUNTS[-1]} GPUs of {in_gib(gpu_bytes)}, with room for a "
        "KV cache.",
        "State the number with --gpus, take a quantised model, or spread it over nodes (samples/llm-multi-node).",
    )


def _needed(arguments: EngineArguments, weight_bytes: int, count: int) -> int:
    copies = arguments.count("--data-parallel-size")
    return int(copies * weight_bytes * _FACTOR) + count * _EACH


def _fits(arguments: EngineArguments, weight_bytes: int, count: int, gpu_bytes: int) -> bool:
    return _needed(arguments, weight_bytes, count) <= count * gpu_bytes * _share(arguments)


def _share(arguments: EngineArguments) -> float:
    try:
        value = float(arguments.value("--gpu-memory-utilization") or _UTILIZATION)
    except ValueError:
        return _UTILIZATION  # vLLM will say what is wrong with it
    return value if 0 < value <= 1 else _UTILIZATION


def _sum(arguments: EngineArguments, weight_bytes: int, count: int) -> str:
    copies = arguments.count("--data-parallel-size")
    times = f"{copies} x " if copies > 1 else ""
    return f"{times}{in_gib(weight_bytes)} of weights x {_FACTOR} + {count} x {_EACH // GIB} GiB"


def _shown() -> str:
    return f"{', '.join(map(str, _COUNTS[:-1]))} or {_COUNTS[-1]}"
