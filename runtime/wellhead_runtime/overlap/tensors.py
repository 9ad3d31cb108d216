"""Tensors of arriving shards, zero-copy, each once its bytes are there. Knows safetensors, and nothing of vLLM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from wellhead_runtime.overlap.arrivals import Arrivals
from wellhead_runtime.overlap.loaded import LoadedShards
from wellhead_storage.inventory import natural_order
from wellhead_storage.safetensors_header import LENGTH_BYTES

if TYPE_CHECKING:
    import torch


def arriving_tensors(
    arrivals: Arrivals, names: Iterable[str], skip: Callable[[str], bool], loaded: LoadedShards | None = None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the shards: file after file in natural order, in each as they lie there.

    That is the order of fetching. vLLM's own iterator takes the names of a file in alphabetical order, which waits
    for the end of a file of several dtypes first (safetensors writes wide dtypes before narrow ones).

    The tensors are views of a private mapping (`safe_open`): nothing is copied, and a model that changes one in place
    changes its own pages. A view that a model keeps stays good when the memory is given up, which only lets it go.

    Args:
        arrivals: of the folder.
        names: of its shards.
        skip: whether a tensor is not wanted; then it is not waited for.
        loaded: gives back the memory of shards that have been read to their end.

    Raises:
        ArrivalError: bytes will not come.
    """
    from safetensors import safe_open

    for name in sorted(names, key=natural_order):
        header = arrivals.header(name)
        data = LENGTH_BYTES + header.length
        with arrivals.shard(name) as path, safe_open(path, framework="pt") as shard:
            for tensor, place in sorted(header.tensors.items(), key=lambda item: (item[1].begin, item[1].size)):
                if skip(tensor):
                    continue
                arrivals.wait(name, data + place.begin, data + place.begin + place.size)
                yield tensor, shard.get_tensor(tensor)
                # Not sooner: whoever takes the tensors may hold one until there is another.
                if loaded:
                    loaded.give_back()
        if loaded:
            loaded.add(name)
