"""vLLM's default loader, with tensors from arriving shards. Written against vLLM 0.32's `default_loader.py`.

Only the iterator over the weights is another one; what vLLM checks, filters and tracks around it stays its own.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Generator
from pathlib import Path

import torch
from torch import nn
from vllm.config import ModelConfig
from vllm.config.load import LoadConfig
from vllm.logger import init_logger
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.model_loader.ep_weight_filter import should_skip_weight
from vllm.model_executor.model_loader.weight_utils import filter_mm_encoder_only_safetensors_files

from wellhead_runtime.overlap.arrivals import VARIABLE, Arrivals
from wellhead_runtime.overlap.loaded import LoadedShards
from wellhead_runtime.overlap.tensors import arriving_tensors

logger = init_logger("vllm.wellhead")  # vLLM shows loggers below its own name only


class OverlapLoader(DefaultModelLoader):  # type: ignore[misc]  # vLLM is not there when types are checked
    """`--load-format wellhead`.

    Folders whose shards do not arrive here (a draft model's, secondary weights) are read as `auto` would read them.
    """

    def __init__(self, load_config: LoadConfig) -> None:
        # The original refuses formats that it does not know, and is shared with the rest of the engine.
        own = copy.copy(load_config)
        own.load_format = "auto"
        super().__init__(own)
        self._reads_once = False
        self._loaded: LoadedShards | None = None

    def load_weights(self, model: nn.Module, model_config: ModelConfig) -> None:
        """Load, and let go what the model has not kept."""
        # Secondary weights may be other tensors of the same shards.
        self._reads_once = not getattr(model, "secondary_weights", ())
        try:
            super().load_weights(model, model_config)
            if self._loaded:
                self._loaded.give_back()
        finally:
            self._reads_once, self._loaded = False, None

    def _get_weights_iterator(
        self, source: DefaultModelLoader.Source
    ) -> Generator[tuple[str, torch.Tensor], None, None]:
        arrivals = Arrivals(Path(os.environ[VARIABLE]))
        if source.subfolder or source.allow_patterns_overrides or not arrivals.owns(source.model_or_path):
            stock: Generator[tuple[str, torch.Tensor], None, None] = super()._get_weights_iterator(source)
            return stock
        if self.load_config.safetensors_load_strategy == "torchao":
            raise ValueError("torchao's tensors span shards: set wellhead.dev/mode: download.")
        folder, files, _, index = self._prepare_weights(
            source.model_or_path, source.subfolder, source.revision, source.fall_back_to_pt, None
        )
        if self._encoder_only_lm_prefixes is not None:
            files = filter_mm_encoder_only_safetensors_files(
                files, folder, index, self._encoder_only_lm_prefixes, weights_mapper=self._encoder_only_weights_mapper
            )
        names = [Path(file).name for file in files]
        if (unused := source.is_unused_weight) is not None:
            wanted = [name for name in names if not all(map(unused, arrivals.header(name).tensors))]
            names = wanted or names
        if not self.counter_before_loading_weights:  # type: ignore[has-type]
            self.counter_before_loading_weights = time.perf_counter()
        self._loaded = LoadedShards(arrivals, here=self._reads_once)
        return self._weights(arrivals, names, source.prefix, self._loaded)

    def _weights(
        self, arrivals: Arrivals, names: list[str], prefix: str, loaded: LoadedShards
    ) -> Generator[tuple[str, torch.Tensor], None, None]:
        began, count = time.perf_counter(), 0
        for name, tensor in arriving_tensors(arrivals, names, self._not_of_this_rank, loaded):
            count += tensor.nbytes
            yield prefix + name, tensor
        logger.info(
            "Took %.2f GiB from shared memory in %.2f s, of which %.2f s were spent waiting for bytes",
            count / 2**30,
            time.perf_counter() - began,
            arrivals.waited,
        )

    def _not_of_this_rank(self, name: str) -> bool:
        skip: bool = should_skip_weight(name, self.local_expert_ids)
        return skip
