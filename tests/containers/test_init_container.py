"""The init container, run as the kubelet runs it, against a real object store."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from tests.containers.init_container import TOKEN, InitContainer, contents, leftovers
from tests.containers.kubelet import Outcome, finished
from tests.containers.pod import MODEL_FOLDER, Mount, Pod

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers.images import Image
    from tests.support.seaweedfs import SeaweedFS

URI = "s3://models/llama"
USERS = {"the image's user": 1000, "a user from OpenShift's range": 1_000_650_000}
CONFIGURATION = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


def plan(init: InitContainer) -> dict[str, object]:
    loaded = json.loads((init.destination / ".wellhead/plan.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_stream_leaves_everything_but_the_weights(init: InitContainer, checkpoint: Path, user: int) -> None:
    outcome = init.run(URI, mode="stream", user=user)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.message == ""
    assert plan(init)["mode"] == "stream"
    original, found = contents(checkpoint), contents(init.destination)
    for name in CONFIGURATION:
        assert found[name] == original[name]
    for name in found:
        assert not name.endswith(".safetensors") or len(found[name]) < len(original[name]) // 10
    assert {path.stat().st_uid for path in init.destination.rglob("*")} == {user}


@pytest.mark.usefixtures("checkpoint")
def test_the_credentials_travel_sealed(init: InitContainer, store: SeaweedFS) -> None:
    outcome = init.run(URI, mode="stream", environment={"WELLHEAD_LOG_LEVEL": "debug"})
    assert outcome.exit_code == 0, outcome.stderr
    assert (init.destination / ".wellhead/credentials.sealed").stat().st_size > 0
    everything = outcome.stdout + outcome.stderr
    everything += "".join(path.read_text("latin-1") for path in init.destination.rglob("*") if path.is_file())
    assert store.secret_access_key not in everything
    assert TOKEN not in everything


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_download_leaves_the_whole_model(init: InitContainer, checkpoint: Path, user: int) -> None:
    outcome = init.run(URI, mode="download", user=user)
    assert outcome.exit_code == 0, outcome.stderr
    assert contents(init.destination) == contents(checkpoint)
    assert plan(init)["mode"] == "download"
    assert not (init.destination / ".wellhead/credentials.sealed").exists()


def test_for_another_engine_it_leaves_what_the_stock_initializer_would(init: InitContainer, checkpoint: Path) -> None:
    outcome = init.run(URI, environment={"WELLHEAD_ENGINE": ""})
    assert outcome.exit_code == 0, outcome.stderr
    assert contents(init.destination) == contents(checkpoint)
    assert leftovers(init.destination) == sorted(contents(checkpoint))


@pytest.mark.usefixtures("checkpoint")
@pytest.mark.parametrize("mode", ["stream", "download"])
def test_the_engine_s_user_can_read_every_file(
    init: InitContainer, initializer: Image, tmp_path: Path, mode: str
) -> None:
    assert init.run(URI, mode=mode).exit_code == 0
    reader = read_as_the_engine(initializer, init.destination, tmp_path)
    assert reader.exit_code == 0, reader.stderr
    seen = json.loads(reader.stdout)
    assert sorted(seen) == leftovers(init.destination)
    for name, content in contents(init.destination).items():
        assert seen[name] == hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("checkpoint")
def test_without_a_token_streaming_is_refused_and_auto_downloads(init: InitContainer) -> None:
    (init.token / "token").unlink()
    refused = init.run(URI, mode="stream")
    assert refused.exit_code == 14, refused.stderr
    assert leftovers(init.destination) == []
    outcome = init.run(URI)
    assert outcome.exit_code == 0, outcome.stderr
    assert plan(init)["mode"] == "download"


def test_a_restarted_container_starts_over(init: InitContainer, checkpoint: Path) -> None:
    """The kubelet runs an init container again, on the same volume, when the pod's sandbox was lost."""
    assert init.run(URI, mode="stream").exit_code == 0
    assert init.run(URI, mode="download").exit_code == 0
    assert plan(init)["mode"] == "download"
    assert contents(init.destination) == contents(checkpoint)
    assert not (init.destination / ".wellhead/credentials.sealed").exists()


def test_two_pairs(init: InitContainer, checkpoint: Path) -> None:
    outcome = init.run(URI, f"{MODEL_FOLDER}/base", f"{URI}/", f"{MODEL_FOLDER}/copy", mode="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert contents(init.destination / "base") == contents(checkpoint)
    assert contents(init.destination / "copy") == contents(checkpoint)


def test_a_large_model_fits_into_the_memory_limit(init: InitContainer, large: Path) -> None:
    """Pages of files count against the limit as well, but can be reclaimed; buffers cannot."""
    outcome = init.run("s3://models/large", mode="download")
    assert outcome.exit_code == 0, outcome.stderr
    assert contents(init.destination) == contents(large)


def read_as_the_engine(image: Image, folder: Path, scratch: Path) -> Outcome:
    """Read everything from a second container: another user, a mount that refuses writes."""
    program = """
import hashlib, json, os, sys
root, found = sys.argv[1], {}
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        found[os.path.relpath(path, root)] = hashlib.sha256(open(path, "rb").read()).hexdigest()
try:
    open(os.path.join(root, "x"), "w")
except OSError:
    print(json.dumps(found))
"""
    pod = Pod(
        image,
        command=("python3", "-c", program, MODEL_FOLDER),
        mounts=(Mount(folder, MODEL_FOLDER),),
        user=2000,
    )
    return finished(pod, scratch)
