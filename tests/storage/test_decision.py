"""`auto` streams where it can and downloads where it cannot, saying why; `stream` never downloads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET, INDEX, Model, one_tensor
from tests.storage.pod import Outcome, Pod, contents, side_by_side
from tests.support.expect import a
from wellhead_storage.plan import Plan, read_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def nothing(model: Model) -> None:
    """The model stays as it is."""


def pytorch(model: Model) -> None:
    model.delete(INDEX, *model.shards)
    model.put("pytorch_model.bin", b"weights")


ADAPTER = "an adapter"


def gguf(model: Model) -> None:
    model.delete(INDEX, *model.shards)
    model.put("model-Q4_K_M.gguf", b"GGUF")


def mistral(model: Model) -> None:
    model.delete(INDEX, *model.shards)
    model.put("params.json", b"{}")
    model.put("consolidated.safetensors", one_tensor("layers.0.weight"))


def consolidated_beside_shards(model: Model) -> None:
    model.put("consolidated.safetensors", one_tensor("layers.0.weight"))


def stray_beside_index(model: Model) -> None:
    model.put("extra.safetensors", one_tensor("extra.weight"))


def torchao(model: Model) -> None:
    model.change_config(quantization_config={"quant_method": "torchao"})


def ultravox(model: Model) -> None:
    model.change_config(architectures=["UltravoxModel"])


def adapter(model: Model) -> None:
    model.delete("config.json", INDEX, *model.shards)
    model.put("adapter_config.json", b"{}")
    model.put("adapter_model.safetensors", one_tensor("lora_A.weight"))


def in_subfolder(model: Model) -> None:
    model.delete(INDEX, *model.shards)
    model.put("transformer/model.safetensors", one_tensor("weight"))


def no_weights(model: Model) -> None:
    model.delete(INDEX, *model.shards)


OBSTACLES: dict[str, tuple[Callable[[Model], None], dict[str, str], str]] = {
    "PyTorch files": (pytorch, {}, "its weights are PyTorch files; only safetensors can be streamed"),
    "GGUF": (gguf, {}, "its weights are GGUF; only safetensors can be streamed"),
    "Mistral's layout": (
        mistral,
        {},
        "its weights are in Mistral's own layout (consolidated*.safetensors), which vLLM cannot stream",
    ),
    "both layouts": (
        consolidated_beside_shards,
        {},
        "consolidated.safetensors lies beside the chosen shards (1 such files), and vLLM would stream both",
    ),
    "a shard that the index does not name": (
        stray_beside_index,
        {},
        "extra.safetensors lies beside the chosen shards (1 such files), and vLLM would stream both",
    ),
    "torchao": (torchao, {}, "it is quantised with torchao, which needs vLLM's default loader"),
    "a model that reads more": (
        ultravox,
        {},
        "UltravoxModel needs weight files that vLLM's streaming loader does not read",
    ),
    ADAPTER: (adapter, {}, "it is a LoRA adapter, which vLLM reads from a directory"),
    "a subfolder": (
        in_subfolder,
        {},
        "no safetensors lie directly in the folder, and vLLM's streaming loader lists nothing else",
    ),
    "no weights": (no_weights, {}, "it holds no weight files"),
    "no verification of TLS": (
        nothing,
        {"S3_VERIFY_SSL": "0"},
        "TLS verification is switched off (S3_VERIFY_SSL), which the streamer cannot honour",
    ),
    "no token": (
        nothing,
        {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": "/nowhere/token"},
        "no service-account token is mounted, so the credentials cannot be sealed for the engine",
    ),
}


@dataclass(frozen=True)
class Ends:
    """How a model with an obstacle ends in `auto`, and how in `stream`."""

    model: Model
    auto: tuple[Pod, Outcome]
    stream: tuple[Pod, Outcome]


@pytest.fixture(scope="module")
def ends(new_pod: Callable[[], Pod], new_model: Callable[[], Model]) -> dict[str, Ends]:
    """Of each of them."""

    def run(change: Callable[[Model], None], environment: Mapping[str, str]) -> Ends:
        model, auto, stream = new_model(), new_pod(), new_pod()
        change(model)
        return Ends(
            model,
            auto=(auto, auto.init(model.uri, **environment)),
            stream=(stream, stream.init(model.uri, WELLHEAD_MODE="stream", **environment)),
        )

    return side_by_side(
        {name: partial(run, change, environment) for name, (change, environment, _) in OBSTACLES.items()}
    )


@pytest.mark.parametrize("case", OBSTACLES)
def test_auto_downloads_what_cannot_be_streamed(ends: dict[str, Ends], case: str) -> None:
    model, reason = ends[case].model, OBSTACLES[case][2]
    pod, outcome = ends[case].auto
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.plan.mode, pod.plan.reasons) == ("download", (reason,))
    assert f"download {model.uri}: {reason}" in outcome.stderr
    weights = {file.name: file.size for file in pod.plan.weights.files}
    assert {name: len(data) for name, data in pod.files.items() if name in weights} == weights
    assert pod.own_files == ["manifest.json", "plan.json"]


@pytest.mark.parametrize("case", [case for case in OBSTACLES if case != ADAPTER])
def test_stream_is_refused_where_it_cannot_work(ends: dict[str, Ends], case: str) -> None:
    model, reason = ends[case].model, OBSTACLES[case][2]
    pod, outcome = ends[case].stream
    assert outcome.exit_code == 14
    assert outcome.sentence == f"{model.uri} cannot be streamed: {reason}. Use mode auto or download."
    assert pod.is_untouched


def test_an_adapter_is_downloaded_although_its_model_is_to_be_streamed(ends: dict[str, Ends]) -> None:
    """It is the second pair of a call whose variables are those of the model."""
    pod, outcome = ends[ADAPTER].stream
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.plan.mode, pod.plan.reasons) == ("download", (OBSTACLES[ADAPTER][2],))
    assert pod.files["adapter_model.safetensors"] == one_tensor("lora_A.weight")


def test_an_adapter_beside_its_model(pod: Pod, llama: Model, model: Model) -> None:
    """KServe's `storageUris`; tools leave the model's config.json in the adapter's folder, too."""
    model.delete(INDEX, *model.shards)
    model.put("adapter_config.json", b"{}")
    model.put("adapter_model.safetensors", one_tensor("lora_A.weight"))
    folders = [pod.folder / "models", pod.folder / "lora"]
    outcome = pod.init(llama.uri, folders[0], model.uri, folders[1], WELLHEAD_MODE="stream")
    assert outcome.exit_code == 0, outcome.stderr
    plans = [a(Plan, read_plan(folder)) for folder in folders]
    assert [(plan.mode, plan.weights.layout) for plan in plans] == [("stream", "safetensors"), ("download", "adapter")]
    assert contents(folders[1])["adapter_model.safetensors"] == one_tensor("lora_A.weight")
    assert contents(folders[1])["config.json"] == model.files["config.json"]


def test_the_wrapper_refuses_an_adapter(pod: Pod, model: Model) -> None:
    adapter(model)
    outcome = pod.init(f"runai_streamer://{model.uri}")
    assert outcome.exit_code == 14
    assert OBSTACLES[ADAPTER][2] in outcome.sentence
    assert pod.is_untouched


def test_the_wrapper_is_refused_where_it_cannot_work(pod: Pod, model: Model) -> None:
    pytorch(model)
    outcome = pod.init(f"runai_streamer://{model.uri}", WELLHEAD_ENGINE=None)
    assert outcome.exit_code == 14
    assert outcome.sentence == (
        f"{model.uri} cannot be streamed: its weights are PyTorch files; only safetensors can be streamed. "
        "Use mode auto or download and drop runai_streamer://."
    )
    assert pod.is_untouched


def test_several_obstacles_are_all_named(pod: Pod, model: Model) -> None:
    torchao(model)
    consolidated_beside_shards(model)
    assert pod.init(model.uri, S3_VERIFY_SSL="false").exit_code == 0
    assert len(pod.plan.reasons) == 3


@pytest.mark.parametrize(
    ("mode", "reason"), [("auto", "s3:// can be streamed"), ("stream", "mode stream was asked for")]
)
def test_a_whole_safetensors_model_is_streamed(pod: Pod, llama: Model, mode: str, reason: str) -> None:
    assert pod.init(llama.uri, WELLHEAD_MODE=mode).exit_code == 0
    assert pod.plan.mode == "stream"
    assert pod.plan.reasons[0] == reason


@pytest.mark.parametrize("mode", ["", "download"])
def test_the_wrapper_streams_without_any_annotation(pod: Pod, llama: Model, mode: str) -> None:
    outcome = pod.init(f"runai_streamer://{llama.uri}", WELLHEAD_ENGINE=None, WELLHEAD_MODE=mode or None)
    assert outcome.exit_code == 0, outcome.stderr
    plan = pod.plan
    assert (plan.mode, plan.loader) == ("stream", "runai_streamer")
    assert plan.reasons[0] == "runai_streamer:// asks for streaming"
    assert (plan.uri, plan.weights.uri) == (f"runai_streamer://{llama.uri}", llama.uri)


def test_the_scheme_may_be_written_in_capitals(pod: Pod, llama: Model) -> None:
    assert pod.init(f"S3://{BUCKET}/llama/").exit_code == 0
    assert pod.plan.weights.uri == llama.uri


@pytest.mark.parametrize("change", [pytorch, adapter], ids=["PyTorch", "adapter"])
def test_download_downloads_anything(pod: Pod, model: Model, change: Callable[[Model], None]) -> None:
    change(model)
    assert pod.init(model.uri, WELLHEAD_MODE="download").exit_code == 0
    assert (pod.plan.mode, pod.plan.reasons) == ("download", ("mode download was asked for",))
