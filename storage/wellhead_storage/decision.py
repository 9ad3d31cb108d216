"""Stream or download? Pure; every answer carries its reasons in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wellhead_storage.credentials.kinds import Connection
from wellhead_storage.errors import NotStreamable
from wellhead_storage.inventory import Inventory, Layout
from wellhead_storage.settings import Settings
from wellhead_storage.uri import STREAMABLE, StorageUri

# Models for which vLLM 0.32's default loader reads files that its streaming loader does not know of
# (`secondary_weights` and `allow_patterns_overrides` in vllm/model_executor/models/), as config.json names them.
_READ_MORE = ("Ultravox", "MoonshotKimia", "ClefOmni", "Cosmos3", "RobertaForSequence", "BgeM3")

_ASKED = ("mode download was asked for",)

_LAYOUTS = {
    "mistral": "its weights are in Mistral's own layout (consolidated*.safetensors), which vLLM cannot stream",
    "pytorch": "its weights are PyTorch files; only safetensors can be streamed",
    "gguf": "its weights are GGUF; only safetensors can be streamed",
    "nested": "no safetensors lie directly in the folder, and vLLM's streaming loader lists nothing else",
    "adapter": "it is a LoRA adapter, which vLLM reads from a directory",
    "none": "it holds no weight files",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why, in sentences for the log and the plan."""

    mode: Literal["stream", "download", "local"]
    reasons: tuple[str, ...]


def obstacles_to_store(uri: StorageUri, settings: Settings) -> list[str]:
    """What speaks against streaming before anything is listed."""
    if uri.kind not in STREAMABLE:
        return [f"{uri.scheme}:// cannot be streamed by vLLM"]
    if not uri.forced_stream and settings.engine != "vllm":
        return ["no annotation wellhead.dev/engine: vllm says that the engine understands a load plan"]
    return []


def obstacles_to_archive(uri: StorageUri, settings: Settings) -> list[str]:
    """What speaks against streaming a folder that comes as one archive."""
    # A folder of this container would be no obstacle by itself.
    found = [] if uri.kind == "file" else obstacles_to_store(uri, settings)
    return [*found, "an archive cannot be streamed"]


def obstacles_to_connection(link: Connection, *, handoff: bool, token: bool) -> list[str]:
    """What speaks against streaming in how the store is reached."""
    found = []
    if not link.verify_tls:
        found.append("TLS verification is switched off (S3_VERIFY_SSL), which the streamer cannot honour")
    if link.kind == "az":
        # Its C++ half builds https://<account>.<suffix> itself; without a key or SAS it signs in (wheel 0.17.0).
        if link.endpoint_url:
            found.append("the endpoint in AZURE_SERVICE_URL is not Azure's own, and the streamer reaches no other")
        if link.identity == "anonymous":
            found.append("access is anonymous, and the streamer reads nothing from Azure without credentials")
    if link.identity == "static" and handoff and not token:
        found.append("no service-account token is mounted, so the credentials cannot be sealed for the engine")
    return found


def obstacles_to_layout(inventory: Inventory) -> list[str]:
    """What speaks against streaming in what the folder holds."""
    if inventory.layout != "safetensors":
        return [_LAYOUTS[inventory.layout]]
    if strays := inventory.stray_safetensors:
        return [
            f"{strays[0].name} lies beside the chosen shards ({len(strays)} such files), and vLLM would stream both"
        ]
    return []


def obstacles_to_config(config: object) -> list[str]:
    """What speaks against streaming in config.json (anything but a dict says nothing)."""
    if not isinstance(config, dict):
        return []
    quantization = config.get("quantization_config")
    if isinstance(quantization, dict) and quantization.get("quant_method") == "torchao":
        return ["it is quantised with torchao, which needs vLLM's default loader"]
    architectures = config.get("architectures")
    for name in architectures if isinstance(architectures, list) else []:
        if isinstance(name, str) and name.startswith(_READ_MORE):
            return [f"{name} needs weight files that vLLM's streaming loader does not read"]
    return []


def decide(
    uri: StorageUri, settings: Settings, layout: Layout, found: Sequence[str], obstacles: Sequence[str]
) -> Decision:
    """The decision, once all obstacles are known.

    Args:
        uri: what serves the model.
        settings: for the mode.
        layout: of its weights.
        found: how the folder was found, in sentences (a registry, a mirror).
        obstacles: what speaks against streaming.

    Raises:
        NotStreamable: `runai_streamer://`, or mode `stream` for an engine that understands plans, and obstacles.
    """
    if settings.mode == "download" and not uri.forced_stream:
        return Decision("download", (*found, *_ASKED))
    if not obstacles:
        return Decision(
            "stream", (*found, _wish(uri, settings), "the checkpoint is complete safetensors of one layout")
        )
    # Adapters come as second pairs beside a model, with the model's mode in the same environment.
    demanded = settings.mode == "stream" and settings.engine == "vllm" and layout != "adapter"
    if demanded or uri.forced_stream:
        raise refusal(uri, obstacles)
    return Decision("download", (*found, *obstacles))


def refusal(uri: StorageUri, obstacles: Sequence[str]) -> NotStreamable:
    """For a demand that cannot be met."""
    return NotStreamable(
        f"{uri.location} cannot be streamed: {'; '.join(obstacles)}.",
        "Use mode auto or download" + (" and drop runai_streamer://." if uri.forced_stream else "."),
    )


def decide_local(uri: StorageUri, settings: Settings, inventory: Inventory, found: Sequence[str]) -> Decision:
    """A model that is already in this container: linked, or copied where that was asked for.

    Args:
        uri: its folder or file.
        settings: for the mode.
        inventory: what it holds.
        found: how the folder was found, in sentences (a registry, a mirror).

    Raises:
        NotStreamable: `runai_streamer:///path` for weights that the streamer cannot read.
    """
    if uri.forced_stream:
        if obstacles := obstacles_to_layout(inventory):
            raise NotStreamable(f"{uri.location} cannot be streamed: {'; '.join(obstacles)}.", "Name the plain path.")
        return Decision("local", (*found, "runai_streamer:// asks for the streamer, which reads the local files"))
    if settings.mode == "download":
        return Decision("download", (*found, *_ASKED))
    reasons = (*found, "the weights are already in this container")
    if settings.mode == "stream":  # nothing to refuse: the copy that streaming is to save is not made here either
        reasons += ("mode stream was asked for, which they need not: they are read in place",)
    return Decision("local", reasons)


def _wish(uri: StorageUri, settings: Settings) -> str:
    if uri.forced_stream:
        return "runai_streamer:// asks for streaming"
    return "mode stream was asked for" if settings.mode == "stream" else f"{uri.scheme}:// can be streamed"
