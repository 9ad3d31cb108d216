"""A checkpoint with a fault is never streamed: the pod fails in its first seconds and names the object."""

from __future__ import annotations

import json
import struct
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import INDEX, Model, header_of, one_tensor
from tests.storage.pod import Outcome, Pod, assert_refused, side_by_side
from tests.support.checkpoint import safetensors_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST, SECOND, THIRD = (f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3))
TENSOR = "model.layers.1.block.0.weight"
AGAIN = "Upload it again."
BOTH_AGAIN = "Upload shards and index of the same checkpoint."


def with_header(header: object) -> bytes:
    raw = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(raw)) + raw


def shard_missing_in_index(model: Model) -> None:
    model.delete(SECOND)


def shards_missing_in_index(model: Model) -> None:
    model.delete(SECOND, THIRD)


def shard_missing_without_index(model: Model) -> None:
    model.delete(INDEX, SECOND)


def truncated(model: Model) -> None:
    model.put(SECOND, model.files[SECOND][:-1])


def truncated_in_header(model: Model) -> None:
    model.put(SECOND, model.files[SECOND][:100])


def extended(model: Model) -> None:
    model.put(SECOND, model.files[SECOND] + bytes(1000))


def only_header(model: Model) -> None:
    model.put(SECOND, header_of(model.files[SECOND]))


def empty(model: Model) -> None:
    model.put(SECOND, b"")


def seven_bytes(model: Model) -> None:
    model.put(SECOND, bytes(7))


def garbage(model: Model) -> None:
    model.put(SECOND, b"<html>no such page</html>" * 100)


def git_lfs_pointer(model: Model) -> None:
    model.put(SECOND, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 196928\n")


def not_json(model: Model) -> None:
    model.put(SECOND, with_header(b"no json at all, though of the right length"))


def a_list(model: Model) -> None:
    model.put(SECOND, with_header([1, 2, 3]))


def overlapping(model: Model) -> None:
    tensors = {name: {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]} for name in ("a", "b")}
    model.put(SECOND, with_header(tensors) + bytes(8))


def wrong_shape(model: Model) -> None:
    model.put(SECOND, safetensors_bytes({"a": ("BF16", [4, 4], bytes(31))}))


def index_names_absent_shard(model: Model) -> None:
    model.change_index(lm_head__weight="model-00004-of-00004.safetensors")


def index_names_unknown_tensor(model: Model) -> None:
    model.change_index(lm_head__weight=SECOND)


def index_names_wrong_shard(model: Model) -> None:
    model.change_index(**{TENSOR: FIRST})


def tensor_twice(model: Model) -> None:
    model.delete(INDEX)
    model.put(SECOND, one_tensor("model.layers.0.block.0.weight"))


def index_not_json(model: Model) -> None:
    model.put(INDEX, b"{")


def index_without_map(model: Model) -> None:
    model.put(INDEX, b'{"metadata": {}}')


def index_empty(model: Model) -> None:
    model.put(INDEX, b"")


def shard_of_another_checkpoint(model: Model) -> None:
    model.put(SECOND, one_tensor("something.else"))


FAULTS: dict[str, tuple[Callable[[Model], None], str]] = {
    "a shard is missing": (shard_missing_in_index, f"{{uri}}/{SECOND} is missing: {INDEX} names it. {AGAIN}"),
    "two shards are missing": (
        shards_missing_in_index,
        f"{{uri}}/{SECOND} is missing (and 1 more): {INDEX} names it. {AGAIN}",
    ),
    "a numbered shard is missing": (
        shard_missing_without_index,
        f"{{uri}}/{SECOND} is missing: 2 of 3 shards are there. {AGAIN}",
    ),
    "a shard is truncated by a byte": (
        truncated,
        f"{{uri}}/{SECOND} is truncated: {{less:,}} bytes, its header needs {{size:,}}. {AGAIN}",
    ),
    "a shard is truncated in its header": (
        truncated_in_header,
        f"{{uri}}/{SECOND} is damaged: it is truncated: 100 bytes, its header alone has {{header:,}}. {AGAIN}",
    ),
    "a shard has bytes too many": (
        extended,
        f"{{uri}}/{SECOND} has 1,000 bytes more than its header describes. {AGAIN}",
    ),
    "a shard is nothing but a header": (
        only_header,
        f"{{uri}}/{SECOND} is truncated: {{whole_header:,}} bytes, its header needs {{size:,}}. {AGAIN}",
    ),
    "a shard is empty": (empty, f"{{uri}}/{SECOND} is empty. {AGAIN}"),
    "a shard is too short": (
        seven_bytes,
        f"{{uri}}/{SECOND} is damaged: it is shorter than a safetensors header. {AGAIN}",
    ),
    "a shard is a web page": (
        garbage,
        f"{{uri}}/{SECOND} is damaged: it does not begin with a safetensors header. {AGAIN}",
    ),
    "a shard is a Git LFS pointer": (
        git_lfs_pointer,
        f"{{uri}}/{SECOND} is damaged: it does not begin with a safetensors header. {AGAIN}",
    ),
    "a header is not JSON": (
        not_json,
        f"{{uri}}/{SECOND} is damaged: its safetensors header is not valid JSON. {AGAIN}",
    ),
    "a header is no object": (
        a_list,
        f"{{uri}}/{SECOND} is damaged: its safetensors header is not valid JSON. {AGAIN}",
    ),
    "tensors overlap": (
        overlapping,
        f"{{uri}}/{SECOND} is damaged: its header leaves a gap or an overlap before tensor 'b'. {AGAIN}",
    ),
    "a tensor contradicts its shape": (
        wrong_shape,
        f"{{uri}}/{SECOND} is damaged: its header gives tensor 'a' 31 bytes, which its shape contradicts. {AGAIN}",
    ),
    "the index names an absent shard": (
        index_names_absent_shard,
        f"{{uri}}/model-00004-of-00004.safetensors is missing: {INDEX} names it. {AGAIN}",
    ),
    "the index names a tensor that no shard has": (
        index_names_unknown_tensor,
        f"{{uri}}/{SECOND} lacks the tensor 'lm_head.weight' that {INDEX} promises. {BOTH_AGAIN}",
    ),
    "the index names the wrong shard": (
        index_names_wrong_shard,
        f"{{uri}}/{FIRST} lacks the tensor '{TENSOR}' that {INDEX} promises. {BOTH_AGAIN}",
    ),
    "a shard is of another checkpoint": (
        shard_of_another_checkpoint,
        f"{{uri}}/{SECOND} lacks the tensor '{TENSOR}' that {INDEX} promises. {BOTH_AGAIN}",
    ),
    "a tensor stands in two shards": (
        tensor_twice,
        (
            f"Tensor 'model.layers.0.block.0.weight' stands in both {FIRST} and {SECOND} of {{uri}}. "
            "Delete the shards that do not belong to this checkpoint."
        ),
    ),
    "the index is not JSON": (index_not_json, f"{{uri}}/{INDEX} is not a safetensors index. {AGAIN}"),
    "the index has no map": (index_without_map, f"{{uri}}/{INDEX} is not a safetensors index. {AGAIN}"),
    "the index is empty": (index_empty, f"{{uri}}/{INDEX} is not a safetensors index. {AGAIN}"),
}


@pytest.fixture(scope="module")
def ends(new_pod: Callable[[], Pod], new_model: Callable[[], Model]) -> dict[str, tuple[Pod, Model, Outcome]]:
    """How each of them ends."""

    def run(fault: Callable[[Model], None]) -> tuple[Pod, Model, Outcome]:
        pod, model = new_pod(), new_model()
        fault(model)
        return pod, model, pod.init(model.uri)

    return side_by_side({name: partial(run, fault) for name, (fault, _) in FAULTS.items()})


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_named(ends: dict[str, tuple[Pod, Model, Outcome]], case: str) -> None:
    pod, model, outcome = ends[case]
    size, header = len(model.files[SECOND]), len(header_of(model.files[SECOND]))
    values = {"size": size, "less": size - 1, "header": header - 8, "whole_header": header}
    assert_refused(pod, outcome, 13, FAULTS[case][1].format(uri=model.uri, **values))


@pytest.mark.parametrize("fault", [shard_missing_in_index, truncated, garbage])
def test_a_download_is_refused_before_its_first_weight(pod: Pod, model: Model, fault: Callable[[Model], None]) -> None:
    fault(model)
    outcome = pod.init(model.uri, WELLHEAD_MODE="download")
    assert outcome.exit_code == 13
    assert SECOND in outcome.sentence
    assert pod.is_untouched


def test_the_folder_of_an_earlier_success_loses_its_plan_when_the_model_breaks(pod: Pod, model: Model) -> None:
    assert pod.init(model.uri).exit_code == 0
    truncated(model)
    assert pod.init(model.uri).exit_code == 13
    assert pod.own_files == ["earlier.json"], "which files are to go once it is whole again"
