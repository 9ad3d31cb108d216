"""`wellhead init hf://…`: one layout of one commit, through plain links or Xet, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.storage.pod import Outcome, Pod, contents
from tests.storage.tls_proxy import new_authority, tls_proxy
from tests.support.fake_hub import GRANT, SIGNATURE, TOKEN, FakeHub, Refusal, Repository, fake_hub
from wellhead_storage.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Init: TypeAlias = Callable[..., Outcome]

MIB = 1 << 20


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A Hub without a model."""
    with fake_hub() as hub:
        yield hub


@pytest.fixture
def repository(hub: FakeHub, checkpoint: Path) -> Repository:
    """`org/llama`: a whole model of two megabytes a shard, in four layouts."""
    files = contents(checkpoint)
    others = {
        "README.md": b"# Llama",
        "pytorch_model-00001-of-00001.bin": b"bin",
        "original/consolidated.00.pth": b"pth",
        "onnx/model.onnx": b"onnx",
        "gguf/model.gguf": b"gguf",
    }
    hub.repositories["org/llama"] = Repository(files | others, names=("main", "v1"))
    return hub.repositories["org/llama"]


@pytest.fixture
def init(pod: Pod, hub: FakeHub, tmp_path: Path) -> Init:
    """`wellhead init` of that model."""

    def run(text: str = "hf://org/llama", **more: str) -> Outcome:
        home = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        return pod.init(text, **{**hub.environment, **home, "WELLHEAD_RETRY_TIMEOUT": "10", **more})

    return run


def test_one_layout_comes_down_and_the_plan_names_the_commit(
    hub: FakeHub, repository: Repository, init: Init, pod: Pod, checkpoint: Path
) -> None:
    outcome = init("hf://org/llama:v1")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert pod.plan.uri == "hf://org/llama:v1"
    assert pod.plan.resolved == f"hf://org/llama@{repository.commit}"
    assert (pod.plan.mode, pod.plan.weights.layout) == ("download", "safetensors")
    assert {left.name for left in pod.plan.left} == set(repository.files) - set(pod.files)
    assert TOKEN not in outcome.stderr
    assert SIGNATURE not in outcome.stderr
    asked = {request.path.rpartition("/")[2] for request in hub.asked("file")}
    assert asked == {name for name in pod.files if "/" not in name}, "and nothing of the others was asked for"


@pytest.mark.usefixtures("repository")
def test_a_stalled_transfer_does_not_hang(hub: FakeHub, init: Init, pod: Pod, checkpoint: Path) -> None:
    """KServe's own initializer waits forever (kserve#5611)."""
    hub.stalls.update({"file": 1, "cdn": 2})
    outcome = init(WELLHEAD_STALL_TIMEOUT="0.5")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert outcome.seconds < 15


@pytest.mark.parametrize(("text", "code", "word"), [
    ("hf://org/none", 11, "has no model org/none"),
    ("hf://org/llama:v9", 11, "no revision 'v9'"),
])  # fmt: skip
@pytest.mark.usefixtures("repository")
def test_refusals_leave_nothing_behind(init: Init, pod: Pod, text: str, code: int, word: str) -> None:
    outcome = init(text)
    assert outcome.exit_code == code
    assert word in outcome.sentence
    assert pod.is_untouched


def test_wrong_bytes_are_never_published(hub: FakeHub, repository: Repository, init: Init, pod: Pod) -> None:
    name = next(name for name in repository.files if name.endswith(".safetensors"))
    content = repository.files[name]
    hub.stored[hashlib.sha256(content).hexdigest()] = content[:-1] + b"!"
    outcome = init()
    assert outcome.exit_code == IntegrityError.exit_code, outcome.stderr
    assert f"/{name}" in outcome.sentence
    assert name not in pod.files


def test_a_hub_with_a_certificate_of_a_private_authority(
    hub: FakeHub, repository: Repository, init: Init, pod: Pod, checkpoint: Path, tmp_path: Path
) -> None:
    authority = new_authority(tmp_path)
    with tls_proxy(hub.endpoint, authority.issue(tmp_path / "hub.pem", "127.0.0.1")) as endpoint:
        refused = init(HF_ENDPOINT=endpoint)
        text = f"hf://org/llama does not come from {endpoint}: its TLS certificate is not trusted. Name its CA bundle"
        assert (refused.exit_code, refused.sentence) == (16, f"{text} in REQUESTS_CA_BUNDLE.")
        assert refused.seconds < 8, "no second try"
        outcome = init(HF_ENDPOINT=endpoint, REQUESTS_CA_BUNDLE=str(authority.bundle))
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == contents(checkpoint)
    assert pod.plan.resolved == f"hf://org/llama@{repository.commit}"


# Xet ---------------------------------------------------------------------------------------------------------------

BIG = os.urandom(20 * MIB)
XET = {"HF_HUB_DISABLE_XET": "", "WELLHEAD_ENGINE": "", "WELLHEAD_STALL_TIMEOUT": "1"}


@pytest.fixture
def in_xet(hub: FakeHub) -> FakeHub:
    """`org/xet`: one file of 20 MiB in Xet."""
    hub.repositories["org/xet"] = Repository({"model.safetensors": BIG, "config.json": b"{}"}, xet=True)
    return hub


def test_what_is_in_xet_comes_by_its_protocol(in_xet: FakeHub, init: Init, pod: Pod) -> None:
    outcome = init("hf://org/xet", **XET)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == in_xet.repositories["org/xet"].files
    assert not in_xet.asked("cdn")
    assert [request.range for request in in_xet.asked("recipe")] == ["bytes=0-16777215", "bytes=16777216-20971519"]
    assert len(in_xet.asked("grant")) == 1
    assert {request.token for request in in_xet.asked("recipe")} == {GRANT}
    assert {request.token for request in in_xet.asked("xorb")} == {""}


def test_xet_can_be_switched_off(in_xet: FakeHub, init: Init, pod: Pod) -> None:
    assert init("hf://org/xet", **XET | {"HF_HUB_DISABLE_XET": "1"}).exit_code == 0
    assert pod.files == in_xet.repositories["org/xet"].files
    assert not in_xet.asked("grant")


def fail_grant(hub: FakeHub) -> None:
    hub.refusals["grant"] = [Refusal(404)]


def fail_recipe(hub: FakeHub) -> None:
    hub.refusals["recipe"] = [Refusal(403)] * 9


def stall(hub: FakeHub) -> None:
    hub.stalls["xorb"] = 9


@pytest.mark.parametrize("fault", [fail_grant, fail_recipe, stall])
def test_whatever_goes_wrong_with_xet_the_rest_comes_plainly(
    in_xet: FakeHub, init: Init, pod: Pod, fault: Callable[[FakeHub], None]
) -> None:
    fault(in_xet)
    outcome = init("hf://org/xet", **XET)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == in_xet.repositories["org/xet"].files
    assert outcome.stderr.count("plain HTTP instead of Xet") == 1
    assert in_xet.asked("cdn")
    for secret in (TOKEN, SIGNATURE, GRANT):
        assert secret not in outcome.stderr


def test_what_xet_has_brought_is_kept(in_xet: FakeHub, init: Init, pod: Pod) -> None:
    in_xet.refusals["xorb"] = [None, *[Refusal(404)] * 9]
    outcome = init("hf://org/xet", **XET)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == in_xet.repositories["org/xet"].files
    assert [request.range for request in in_xet.asked("cdn")] == [f"bytes={16 * MIB}-{20 * MIB - 1}"]


def test_xet_without_a_folder_of_its_own(in_xet: FakeHub, init: Init, pod: Pod, tmp_path: Path) -> None:
    """hf-xet keeps a folder in HF_HOME, which pods with a read-only root do not have."""
    blocked = tmp_path / "file"
    blocked.touch()
    outcome = init("hf://org/xet", **XET | {"HF_HOME": str(blocked)})
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == in_xet.repositories["org/xet"].files
    assert "plain HTTP instead of Xet" in outcome.stderr


def test_a_dribbling_xet_is_ended_by_the_request_timeout(in_xet: FakeHub, init: Init, pod: Pod) -> None:
    in_xet.stalls["xorb"] = 9
    outcome = init("hf://org/xet", **XET | {"WELLHEAD_STALL_TIMEOUT": "30", "WELLHEAD_REQUEST_TIMEOUT": "1"})
    assert outcome.exit_code == 0, outcome.stderr
    assert "plain HTTP instead of Xet from here on: a transfer took too long" in outcome.stderr
    assert pod.files == in_xet.repositories["org/xet"].files
    assert outcome.seconds < 15
