"""The loader without an engine: whatever a checkpoint looks like, its tensors are those of the file, bit for bit."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.arriving import Arriving, arriving
from wellhead_runtime.overlap.arrivals import VARIABLE, ArrivalError, Arrivals
from wellhead_runtime.overlap.loaded import LoadedShards
from wellhead_runtime.overlap.tensors import arriving_tensors

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

Shards = Mapping[str, Mapping[str, Any]]


def many_shards() -> Shards:
    import torch

    return {
        f"model-{number}-of-120.safetensors": {f"model.layers.{number}.weight": torch.randn(64, 32)}
        for number in range(1, 121)
    }


def mixed_dtypes() -> Shards:
    import torch

    kinds = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int8, torch.uint8]
    tensors = {f"t{9 - number}": torch.randn(3, 5).mul(50).to(kind) for number, kind in enumerate(kinds)}
    tensors |= {"flag": torch.tensor([True, False, True]), "scalar": torch.tensor(2.5), "empty": torch.empty(0, 4)}
    tensors["odd"] = torch.arange(7, dtype=torch.uint8)
    return {"model.safetensors": tensors}


def quantised() -> Shards:
    """As compressed-tensors writes it: packed integers or FP8 beside scales and shapes of other dtypes."""
    import torch

    tensors: dict[str, Any] = {}
    for number in range(4):
        tensors[f"layers.{number}.weight_packed"] = torch.randint(-(2**31), 2**31 - 1, (16, 8), dtype=torch.int32)
        tensors[f"layers.{number}.weight_scale"] = torch.randn(16, 1, dtype=torch.bfloat16)
        tensors[f"layers.{number}.weight_shape"] = torch.tensor([16, 64])
        tensors[f"layers.{number}.fp8"] = torch.randn(8, 8).to(torch.float8_e4m3fn)
        tensors[f"layers.{number}.fp8_scale"] = torch.randn(8, 1)
    return {"model-00001-of-00001.safetensors": tensors}


def mixture_of_experts() -> Shards:
    import torch

    return {
        f"model-0000{shard}-of-00002.safetensors": {
            f"model.layers.{shard}.mlp.experts.{expert}.{name}_proj.weight": torch.randn(8, 16, dtype=torch.bfloat16)
            for expert in range(8)
            for name in ("gate", "up", "down")
        }
        for shard in (1, 2)
    }


def tied_embeddings() -> Shards:
    import torch

    return {"model.safetensors": {"model.embed_tokens.weight": torch.randn(32, 8), "model.norm.weight": torch.ones(8)}}


CHECKPOINTS: list[Callable[[], Shards]] = [many_shards, mixed_dtypes, quantised, mixture_of_experts, tied_embeddings]


def write(folder: Path, shards: Shards) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    for name, tensors in shards.items():
        save_file(dict(tensors), folder / name)
    return folder


def bring_in_disorder(memory: Arriving) -> None:
    numbers = list(range(len(memory.page.parts)))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        time.sleep(0.0005)
        memory.bring(number)
    memory.page.complete()


@pytest.fixture(params=CHECKPOINTS, ids=lambda make: make.__name__)
def shards(request: pytest.FixtureRequest) -> Shards:
    made: Shards = request.param()
    return made


@pytest.fixture
def arriving_shards(tmp_path: Path, shards: Shards) -> Iterator[Arriving]:
    folder = write(tmp_path / "model", shards)
    with arriving(folder, part_bytes=777) as memory:
        thread = threading.Thread(target=bring_in_disorder, args=(memory,))
        thread.start()
        yield memory
        thread.join()


def bits(tensor: Any) -> tuple[str, list[int], bytes]:
    import torch

    raw = tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else tensor.new_empty(0)
    return str(tensor.dtype), list(tensor.shape), bytes(raw.tolist())


def test_every_tensor_is_the_files_bit_for_bit(arriving_shards: Arriving, shards: Shards) -> None:
    tensors = arriving_tensors(Arrivals(arriving_shards.path), shards, lambda _: False)
    found = [(name, bits(tensor)) for name, tensor in tensors]
    expected = {name: bits(tensor) for tensors in shards.values() for name, tensor in tensors.items()}
    assert len(found) == len(expected)
    assert dict(found) == expected


def test_files_come_in_natural_order_and_tensors_as_they_lie(arriving_shards: Arriving, shards: Shards) -> None:
    arrivals = Arrivals(arriving_shards.path)
    places = []
    for name, _ in arriving_tensors(arrivals, sorted(shards), lambda _: False):
        number = next(n for n, file in enumerate(arriving_shards.page.files) if name in shards[file.name])
        places.append((number, arrivals.header(arriving_shards.page.files[number].name).tensors[name].begin))
    assert places == sorted(places)


def test_a_tensor_that_nobody_wants_is_not_waited_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", mixture_of_experts())
    with arriving(folder, part_bytes=256, patience=1.0) as memory:
        skip = {name for shard in mixture_of_experts().values() for name in shard if ".experts.3." not in name}
        for number, part in enumerate(memory.page.parts):
            if part.file is memory.page.files[0]:
                memory.bring(number)
        wanted = arriving_tensors(Arrivals(memory.path), [memory.page.files[0].name], skip.__contains__)
        assert len(list(wanted)) == 3
        with pytest.raises(ArrivalError, match="stopped arriving"):
            list(arriving_tensors(Arrivals(memory.path), [memory.page.files[1].name], skip.__contains__))


def test_nothing_is_copied_and_changes_in_place_stay_ones_own(tmp_path: Path) -> None:
    import torch

    big = {"model.safetensors": {"weight": torch.randn(4 << 20)}}
    folder = write(tmp_path / "model", big)
    with arriving(folder, part_bytes=1 << 20) as memory:
        memory.bring_all()
        before = resident("RssAnon")
        [(_, tensor)] = arriving_tensors(Arrivals(memory.path), big, lambda _: False)
        assert torch.equal(tensor, big["model.safetensors"]["weight"])
        assert resident("RssAnon") - before < 4 << 10, "KiB, of 16 MiB"
        tensor.zero_()
        [(_, other)] = arriving_tensors(Arrivals(memory.path), big, lambda _: False)
        assert torch.equal(other, big["model.safetensors"]["weight"]), "another rank's"
        memory.give_up()
        assert torch.equal(other, big["model.safetensors"]["weight"]), "a model may keep a tensor"


MIB = 1 << 20


def four_shards() -> Shards:
    import torch

    return {
        f"model-{number}-of-4.safetensors": {f"layers.{number}.{part}": torch.randn(MIB // 8) for part in "ab"}
        for number in range(1, 5)
    }


def test_the_memory_of_a_shard_that_is_read_once_goes_when_the_next_has_begun(tmp_path: Path) -> None:
    shards = four_shards()
    with arriving(write(tmp_path / "model", shards), part_bytes=MIB, read_once=True) as memory:
        memory.bring_all()
        arrivals = Arrivals(memory.path)
        loaded = LoadedShards(arrivals, here=True)
        left = [
            sum(used > 0 for used in memory.in_memory())
            for _ in arriving_tensors(arrivals, shards, lambda _: False, loaded)
        ]
        assert left == [4, 4, 4, 3, 3, 2, 2, 1], "of four, at each of eight tensors"
        loaded.give_back()
        assert sum(memory.in_memory()) == 0
        for name in shards:
            with pytest.raises(ArrivalError, match="cannot be loaded a second time"), arrivals.shard(name):
                pass


def test_memory_of_which_a_tensor_lives_stays_with_its_bytes(tmp_path: Path) -> None:
    """Whatever Python's references say: a view of a view is enough."""
    import torch

    shards = four_shards()
    with arriving(write(tmp_path / "model", shards), part_bytes=MIB, read_once=True) as memory:
        memory.bring_all()
        arrivals = Arrivals(memory.path)
        loaded = LoadedShards(arrivals, here=True)
        kept = {
            name: tensor.reshape(2, -1)[1]
            for name, tensor in arriving_tensors(arrivals, shards, lambda _: False, loaded)
            if name.endswith("a") and "2" not in name
        }
        loaded.give_back()
        assert [used > 0 for used in memory.in_memory()] == [True, False, True, True]
        memory.give_up()
        for name, half in kept.items():
            expected = next(tensors[name] for tensors in shards.values() if name in tensors)
            assert torch.equal(half, expected.reshape(2, -1)[1])


@pytest.mark.parametrize(("read_once", "here"), [(False, True), (True, False)], ids=["ranks", "second pass"])
def test_memory_that_somebody_else_may_want_stays(tmp_path: Path, read_once: bool, here: bool) -> None:
    shards = four_shards()
    with arriving(write(tmp_path / "model", shards), part_bytes=MIB, read_once=read_once) as memory:
        memory.bring_all()
        arrivals = Arrivals(memory.path)
        loaded = LoadedShards(arrivals, here=here)
        for _ in range(2):
            names = [name for name, _ in arriving_tensors(arrivals, shards, lambda _: False, loaded)]
            assert len(names) == 8
        loaded.give_back()
        assert all(memory.in_memory())


def test_memory_that_bytes_are_still_to_come_for_stays(tmp_path: Path) -> None:
    shards = four_shards()
    with arriving(write(tmp_path / "model", shards), part_bytes=MIB // 2, read_once=True) as memory:
        for number in range(0, 8, 2):
            memory.bring(number)
        arrivals = Arrivals(memory.path)
        loaded = LoadedShards(arrivals, here=True)
        names = [name for name, _ in arriving_tensors(arrivals, shards, lambda name: name.endswith("b"), loaded)]
        assert len(names) == 4
        loaded.give_back()
        assert all(memory.in_memory()), "the fetcher still writes there"


def resident(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch and vLLM, at their import
def test_as_vllms_own_loader_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the load format, on the folder that the initializer leaves; other folders are read as ever."""
    from vllm.config.load import LoadConfig
    from vllm.model_executor.model_loader import get_model_loader

    from wellhead_runtime.overlap.plugin import register

    shards, other = mixture_of_experts(), tied_embeddings()
    folder, draft = write(tmp_path / "model", shards), write(tmp_path / "draft", other)
    with arriving(folder) as memory:
        for file in memory.page.files:
            with (folder / file.name).open("r+b") as stub:
                stub.truncate(file.begin)
        memory.bring_all()
        monkeypatch.setenv(VARIABLE, str(memory.path))
        register()
        config = LoadConfig(load_format="wellhead")
        loader: Any = get_model_loader(config)
        for place, expected in ((folder, shards), (draft, other), (folder, shards)):
            source = loader.Source(str(place), None, prefix="model.")
            found = {name: bits(tensor) for name, tensor in loader._get_weights_iterator(source)}
            assert found == {f"model.{name}": bits(t) for tensors in expected.values() for name, t in tensors.items()}
        assert config.load_format == "wellhead", "the engine's own configuration is not changed"
        loader.local_expert_ids = {3}
        assert len(list(loader._get_weights_iterator(loader.Source(str(folder), None)))) == 6
        first = set(shards[memory.page.files[0].name])
        source = loader.Source(str(folder), None, is_unused_weight=first.__contains__)
        loader.local_expert_ids = None
        assert {name for name, _ in loader._get_weights_iterator(source)}.isdisjoint(first)
        assert all(memory.in_memory())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("secondary", [False, True])
def test_vllms_loading_of_a_model_gives_the_memory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secondary: bool
) -> None:
    from types import SimpleNamespace

    from vllm.config.load import LoadConfig
    from vllm.model_executor.model_loader import get_model_loader

    from wellhead_runtime.overlap.plugin import register

    shards = four_shards()
    folder = write(tmp_path / "model", shards)
    with arriving(folder, part_bytes=MIB, read_once=True) as memory:
        memory.bring_all()
        monkeypatch.setenv(VARIABLE, str(memory.path))
        register()
        loader: Any = get_model_loader(LoadConfig(load_format="wellhead"))
        # Neither is what this is about, and both want an engine's whole configuration.
        monkeypatch.setattr(loader, "_init_ep_weight_filter", lambda _: None)
        monkeypatch.setattr(loader, "_init_mm_encoder_only_weight_filter", lambda *_: None)
        again = loader.Source(str(folder), None, prefix="again.")
        names: list[str] = []
        model = SimpleNamespace(
            load_weights=lambda weights: names.extend(name for name, _ in weights),
            secondary_weights=(again,) if secondary else (),
        )
        config = SimpleNamespace(quantization=None, model=str(folder), model_weights="", revision=None)
        loader.load_weights(model, config)
        assert len(names) == (16 if secondary else 8)
        assert bool(sum(memory.in_memory())) == secondary
