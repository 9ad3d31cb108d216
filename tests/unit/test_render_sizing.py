"""From a load plan to memory, CPUs, disk, patience and GPUs."""

from __future__ import annotations

import pytest

from tests.unit.builders import REPOSITORY
from tests.unit.rendering import GIB, report, sized, weights
from wellhead_cluster.render.engine_options import check_options
from wellhead_cluster.render.gpus import choose_gpus
from wellhead_cluster.render.sizing import WINDOW_SECONDS, Load, Sizes, size
from wellhead_runtime.arguments import parse_arguments
from wellhead_runtime.machine import Machine
from wellhead_runtime.tuning import engine_environment, streamer_environment
from wellhead_storage.errors import ArgumentConflict, InvalidConfiguration


def load(gib: float, *, streamed: bool = True, largest: float = 1.0) -> Load:
    disk = 10 << 20 if streamed else int(gib * GIB)
    return Load(weights(gib, largest), int(gib * GIB), disk, streamed)


def sizes(model: Load, gpus: int, *options: str) -> Sizes:
    return size(model, check_options(options), gpus)


def memory(found: Sizes) -> int:
    return int(found.requests["memory"].removesuffix("Gi"))


def test_a_streamed_model_takes_buffers_and_no_disk() -> None:
    streamed, downloaded = sizes(load(15), 1), sizes(load(15, streamed=False), 1)
    # engine 4 + worker 4 + buffer 4 + clients 2.5 + two copies of the largest tensor + shared memory 1
    assert memory(streamed) == 18
    assert streamed.requests["ephemeral-storage"] == "5Gi"
    # the same without buffer and clients: files are read through the page cache
    assert memory(downloaded) == 11
    assert downloaded.requests["ephemeral-storage"] == "19Gi"


def test_the_limit_leaves_room_and_the_cpu_has_none() -> None:
    found = sizes(load(15), 1)
    assert found.limits == {"memory": "27Gi"}
    assert found.requests["cpu"] == "4"
    assert sizes(load(131), 8).requests["cpu"] == "18"


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
@pytest.mark.parametrize(("gib", "largest"), [(0.01, 0.001), (15, 1), (131, 2), (756, 8)])
def test_the_limit_holds_what_the_streamer_gets_within_it(gib: float, largest: float, gpus: int) -> None:
    found = sizes(load(gib, largest=largest), gpus)
    limit = int(found.limits["memory"].removesuffix("Gi")) * GIB
    machine = Machine(cpus=64, memory=limit, available=limit, engine="cuda", engine_version="")
    variables = streamer_environment(weights(gib, largest), machine, gpus, {}, distributed=True)
    assert int(variables["RUNAI_STREAMER_MEMORY_LIMIT"]) < memory(found) * GIB / 2


def test_a_buffer_that_the_user_set_counts() -> None:
    option = '--model-loader-extra-config={"memory_limit": %d}'
    assert memory(sizes(load(15), 1, option % (10 * GIB))) == memory(sizes(load(15), 1)) + 6
    assert memory(sizes(load(15), 1, option % -1)) == memory(sizes(load(15), 1)) + 11
    assert memory(sizes(load(15), 1, option % 0)) == memory(sizes(load(15), 1)) - 3


def test_memory_that_an_option_takes_from_the_host_counts() -> None:
    plain = memory(sizes(load(131), 4))
    assert memory(sizes(load(131), 4, "--cpu-offload-gb=10")) == plain + 40
    assert memory(sizes(load(131), 4, "--kv-offloading-size", "16")) == plain + 16
    assert memory(sizes(load(131), 4, "--cpu-offload-gb=many")) == plain


def test_weights_without_headers_are_read_file_by_file() -> None:
    pickled = load(15, streamed=False, largest=0)
    assert memory(sizes(pickled, 1)) == 4 + 4 + 2 * 15 + 1


def test_the_cpu_build_holds_the_weights_twice() -> None:
    assert memory(sizes(load(2, streamed=False), 0)) == 4 + 2 * 2 + 4 + 2 + 1


def test_what_was_measured_on_the_cpu_build_fits() -> None:
    """A streamed model of 2,014 MiB with 1 GiB of KV cache peaked at 5,113 MiB (anonymous and shared)."""
    assert memory(sizes(load(2014 / 1024), 0)) * 1024 > 5113


def test_every_number_has_a_reason() -> None:
    found = sizes(load(15), 1)
    shown = {figure.name: figure for figure in found.figures}
    assert {f"requests.{name}": value for name, value in found.requests.items()} == {
        name: figure.value for name, figure in shown.items() if name.startswith("requests.")
    }
    assert shown["requests.memory"].why.startswith("engine 4.0 GiB + 1 GPU worker(s) 4.0 GiB + streamer's buffers")
    assert "the runtime waits that long anyway" in shown["start"].why


def test_the_start_of_most_models_fits_into_the_runtimes_window() -> None:
    assert sizes(load(290), 8).start_seconds is None
    assert sizes(load(300), 8).start_seconds == 4200
    variables = engine_environment({}, home_writable=True, scratch="/tmp")
    assert variables["VLLM_ENGINE_READY_TIMEOUT_S"] == str(WINDOW_SECONDS)


# GPUs -------------------------------------------------------------------------------------------------------------


def gpus(gib: float | None, gpu_gib: float | None, *options: str, asked: int | None = None) -> tuple[int, str]:
    found = choose_gpus(
        check_options(options),
        asked,
        None if gib is None else int(gib * GIB),
        None if gpu_gib is None else int(gpu_gib * GIB),
    )
    return found.count, " ".join(found.options)


# Weights and one GPU's memory in GiB → how many of them.
FITTING = {
    (15, 24): 1,
    (15, 16): 2,
    (15, 40): 1,
    (15, 80): 1,
    (62, 80): 2,
    (131, 80): 4,
    (131, 141): 2,
    (378, 80): 8,
    (642, 141): 8,
}


@pytest.mark.parametrize(("gib", "gpu_gib"), FITTING)
def test_the_fewest_gpus_that_hold_weights_and_a_cache(gib: int, gpu_gib: int) -> None:
    count = FITTING[gib, gpu_gib]
    assert gpus(gib, gpu_gib) == (count, f"--tensor-parallel-size={count}" if count > 1 else "")


def test_a_share_that_the_user_set_counts() -> None:
    assert gpus(15, 40, "--gpu-memory-utilization=0.5")[0] == 2
    assert gpus(15, 40, "--gpu-memory-utilization", "much")[0] == 1


def test_a_model_for_more_than_one_node_is_refused_with_a_way_out() -> None:
    with pytest.raises(InvalidConfiguration, match="do not fit into 8 GPUs") as caught:
        gpus(1300, 80)
    assert "llm-multi-node" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--tensor-parallel-size=4"], 4),
        (["-tp", "4"], 4),
        (["-tp", "2", "-pp", "2"], 4),
        (["--tensor_parallel_size", "2", "--data-parallel-size", "4"], 8),
        (["-dp=2"], 2),
    ],
)
def test_vllms_options_say_how_many(options: list[str], count: int) -> None:
    assert gpus(15, 80, *options) == (count, "")
    assert gpus(15, 80, *options, asked=count) == (count, "")
    with pytest.raises(ArgumentConflict, match=f"over {count} GPUs, and --gpus says 16"):
        gpus(15, 80, *options, asked=16)


def test_a_number_becomes_the_tensor_parallel_size() -> None:
    assert gpus(None, None, asked=4) == (4, "--tensor-parallel-size=4")
    assert gpus(None, None, asked=1) == (1, "")
    assert gpus(None, None) == (1, "")
    assert gpus(15, None) == (1, "")


def test_gpus_that_may_be_too_small_are_a_doubt_and_no_refusal() -> None:
    (note,) = sized(report(131), gpus=2, gpu_gib=80.0).notes
    assert note.startswith("2 GPU(s) of 80.0 GiB may be too small: vLLM takes 92% of them")
    assert sized(report(131), gpus=4, gpu_gib=80.0).notes == ()
    assert sized(report(131), gpus=2).notes == ()


def test_copies_for_data_parallel_count() -> None:
    (note,) = sized(report(70), options=("-dp=2",), gpu_gib=80.0).notes
    assert "2 x 70.0 GiB of weights" in note


def test_short_names_of_parallel_options_are_understood() -> None:
    arguments = parse_arguments(["/mnt/models", "-pp", "3", "-dp=2"])
    assert arguments.count("--pipeline-parallel-size") == 3
    assert arguments.count("--data-parallel-size") == 2
    assert arguments.tensor_parallel == 1


def test_the_examples_on_the_page() -> None:
    page = (REPOSITORY / "docs" / "render.md").read_text()
    for gib, largest, gpu_gib in ((15, 1, 24), (131, 2, 80), (642, 2, 141)):
        for mode in ("stream", "download"):
            count, _ = gpus(gib, gpu_gib)
            found = sizes(load(gib, streamed=mode == "stream", largest=largest), count)
            asked = [value.removesuffix("Gi") for value in (*found.requests.values(), *found.limits.values())]
            cpus, memory_asked, disk, limit = asked
            cells = [gib, largest, f"{count} x {gpu_gib}", mode, cpus, memory_asked, limit, disk]
            patience = f"{found.start_seconds or WINDOW_SECONDS} s"
            assert f"| {' | '.join(map(str, [*cells, patience]))} |\n" in page
