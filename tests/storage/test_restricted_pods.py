"""The init container of a restricted pod: some user, one writable volume of some size, variables of strangers."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model
from tests.storage.pod import NOBODY, Pod, assert_refused, may_be_another_user
from tests.support.counting_proxy import counting_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.seaweedfs import SeaweedFS

needs_root = pytest.mark.skipif(not may_be_another_user(), reason="only root can be another user")


@pytest.fixture
def nobodys(pod: Pod) -> Pod:
    """A pod that runs as a user without a name or home, with a volume as the kubelet makes it."""
    pod.user = NOBODY
    pod.destination.mkdir()
    pod.destination.chmod(0o777)
    return pod


@contextmanager
def volume_of(pod: Pod, size: str) -> Iterator[None]:
    """Mount a small volume at DEST."""
    pod.destination.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(pod.destination)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("volumes can not be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(pod.destination)], check=True)


def fill(file: Path) -> None:
    """Write until the volume is full."""
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


@needs_root
@pytest.mark.parametrize("mode", ["stream", "download"])
def test_any_user_can_prepare_a_model(nobodys: Pod, llama: Model, mode: str) -> None:
    nobodys.umask = 0o077
    outcome = nobodys.init(llama.uri, WELLHEAD_MODE=mode, TMPDIR="/nowhere")
    assert outcome.exit_code == 0, outcome.stderr
    assert nobodys.plan.mode == mode
    assert nobodys.files.keys() == llama.files.keys()
    assert {path.stat().st_uid for path in nobodys.destination.rglob("*")} == {NOBODY}


@needs_root
def test_a_volume_of_somebody_else_is_refused(nobodys: Pod, llama: Model) -> None:
    nobodys.destination.chmod(0o755)
    sentence = (
        f"{nobodys.destination}/.wellhead cannot be written as user {NOBODY}: Permission denied. "
        "Mount a volume there that this user may write."
    )
    assert_refused(nobodys, nobodys.init(llama.uri), 19, sentence)


@needs_root
def test_a_volume_that_is_missing_is_refused(nobodys: Pod, llama: Model) -> None:
    nobodys.destination.rmdir()
    outcome = nobodys.init(llama.uri)
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith(f"{nobodys.destination} cannot be written as user {NOBODY}: Permission denied.")
    assert not nobodys.destination.exists()


@needs_root
@pytest.mark.parametrize("mode", ["auto", "stream"])
def test_a_token_that_may_not_be_read_is_named(nobodys: Pod, llama: Model, mode: str) -> None:
    nobodys.token.chmod(0o600)
    sentence = (
        f"The service-account token {nobodys.token} cannot be read: Permission denied. Check the pod's securityContext."
    )
    assert_refused(nobodys, nobodys.init(llama.uri, WELLHEAD_MODE=mode), 21, sentence, resumable=True)


@needs_root
def test_a_ca_bundle_that_may_not_be_read_is_named(nobodys: Pod, llama: Model) -> None:
    bundle = nobodys.folder / "ca.crt"
    bundle.touch(0o600)
    outcome = nobodys.init(llama.uri, AWS_CA_BUNDLE=str(bundle))
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith(f"The CA bundle {bundle} is unusable: it cannot be read (Permission denied).")


@needs_root
def test_a_termination_message_that_cannot_be_written_changes_nothing_else(nobodys: Pod, llama: Model) -> None:
    nobodys.termination_log.chmod(0o600)
    outcome = nobodys.init(f"{llama.uri}-2")
    assert (outcome.exit_code, outcome.message) == (11, "")
    assert outcome.stderr.splitlines()[-1].startswith(f"{llama.uri}-2 holds no objects.")


def test_a_file_in_place_of_the_volume_is_refused(pod: Pod, llama: Model) -> None:
    pod.destination.write_text("a file")
    outcome = pod.init(llama.uri)
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith(f"{pod.destination} cannot be written as user ")
    assert pod.destination.read_text() == "a file"


@needs_root
def test_what_cannot_fit_is_refused_before_its_first_byte(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    with volume_of(pod, "256k"), counting_proxy(store.endpoint_url) as proxy:
        outcome = pod.init(llama.uri, WELLHEAD_MODE="download", **store.environment(proxy.endpoint_url))
        sentence = (
            f"The model needs 577.0 KiB and {pod.destination} has 232.0 KiB left. "
            "Give the volume more room, or stream the model (wellhead.dev/mode: stream)."
        )
        assert_refused(pod, outcome, 15, sentence, resumable=True)
        assert proxy.body_bytes < 16 << 10


@needs_root
def test_what_cannot_be_downloaded_can_be_streamed(pod: Pod, llama: Model) -> None:
    with volume_of(pod, "256k"):
        outcome = pod.init(llama.uri)
        assert outcome.exit_code == 0, outcome.stderr
        assert pod.plan.mode == "stream"


@needs_root
def test_a_volume_that_others_fill_meanwhile_is_named(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    """The weights have their room reserved, so it is what comes after them that finds none."""
    with volume_of(pod, "1m"), counting_proxy(store.endpoint_url, per_connection_rate=64 << 10) as proxy:
        environment = store.environment(proxy.endpoint_url)
        begin = time.monotonic()
        with pod.start(llama.uri, WELLHEAD_MODE="download", **environment) as process:
            while proxy.body_bytes < 64 << 10 and process.poll() is None:
                time.sleep(0.01)
            filler = pod.destination / "core-dump"
            fill(filler)
            outcome = pod.wait(process, begin)
        filler.unlink()
        sentence = (
            f"The volume of {pod.destination} is full (0.0 KiB left). "
            "Give the volume more room, or stream the model (wellhead.dev/mode: stream)."
        )
        assert (outcome.exit_code, outcome.sentence) == (15, sentence)
        assert pod.files == llama.files
        before = proxy.body_bytes
        again = pod.init(llama.uri, WELLHEAD_MODE="download", **environment)
        assert again.exit_code == 0, again.stderr
        assert pod.plan.mode == "download"
        assert proxy.body_bytes - before < 64 << 10, "nothing is fetched twice"


DOES_NOT_RESERVE = """
from wellhead_storage.download import allocating
allocating._fallocate = lambda: None
from wellhead_runtime.cli import main
main()
"""


@needs_root
def test_a_volume_that_fills_up_in_the_middle_of_the_weights_is_named_with_what_is_missing(
    pod: Pod, llama: Model, store: SeaweedFS
) -> None:
    """Where no room can be reserved, as on NFS."""
    pod.command = (sys.executable, "-c", DOES_NOT_RESERVE, "init")
    with volume_of(pod, "1m"), counting_proxy(store.endpoint_url, per_connection_rate=64 << 10) as proxy:
        environment = store.environment(proxy.endpoint_url)
        begin = time.monotonic()
        with pod.start(llama.uri, WELLHEAD_MODE="download", **environment) as process:
            while proxy.body_bytes < 96 << 10 and process.poll() is None:
                time.sleep(0.01)
            filler = pod.destination / "core-dump"
            fill(filler)
            outcome = pod.wait(process, begin)
        filler.unlink()
        assert outcome.exit_code == 15, outcome.stderr
        assert re.fullmatch(
            rf"The volume of {pod.destination} is full: [1-6]\d\d\.\d KiB are still needed, and 0\.0 KiB are left\. "
            r"Give the volume more room, or stream the model \(wellhead\.dev/mode: stream\)\.",
            outcome.sentence,
        ), outcome.sentence
        assert pod.files == {}
        proxy.per_connection_rate = None
        again = pod.init(llama.uri, WELLHEAD_MODE="download", **environment)
        assert again.exit_code == 0, again.stderr
        assert pod.files == llama.files


@needs_root
def test_unfinished_files_of_another_model_do_not_keep_its_room(
    pod: Pod, llama: Model, model: Model, store: SeaweedFS
) -> None:
    """A volume that holds one model and not two, whose service changed its URI in the middle of a download."""
    with volume_of(pod, "1m"), counting_proxy(store.endpoint_url, per_connection_rate=64 << 10) as proxy:
        environment = store.environment(proxy.endpoint_url)
        for name in model.shards:
            store.put("models", f"{model.prefix}/other-{name}", model.files[name])
        model.delete(*model.shards, "model.safetensors.index.json")
        with pod.start(model.uri, WELLHEAD_MODE="download", **environment) as process:
            while proxy.body_bytes < 128 << 10 and process.poll() is None:
                time.sleep(0.01)
            process.kill()
        reserved = [path for path in (pod.destination / ".wellhead" / "partial").iterdir() if "other-" in path.name]
        assert sum(path.stat().st_blocks * 512 for path in reserved) > 512 << 10
        outcome = pod.init(llama.uri, WELLHEAD_MODE="download")
        assert outcome.exit_code == 0, outcome.stderr
        assert pod.files == llama.files
        assert pod.own_files == ["manifest.json", "plan.json"]


@needs_root
def test_a_read_only_volume_is_refused_even_when_it_is_complete(pod: Pod, llama: Model) -> None:
    """Nobody could lock it, nor say in a plan that it was looked at."""
    with volume_of(pod, "2m"):
        assert pod.init(llama.uri, WELLHEAD_MODE="download").exit_code == 0
        subprocess.run(["mount", "-o", "remount,ro", str(pod.destination)], check=True)
        outcome = pod.init(llama.uri, WELLHEAD_MODE="download")
        assert outcome.exit_code == 19
        assert outcome.sentence == (
            f"{pod.destination}/.wellhead/lock cannot be written as user 0: Read-only file system. "
            "Mount a volume there that this user may write."
        )
        assert pod.files == llama.files
        assert pod.own_files == ["manifest.json", "plan.json"]


def test_variables_of_services_are_nothing_to_speak_of(pod: Pod, llama: Model) -> None:
    """Kubernetes makes these of a Service called `wellhead-mode` in the namespace."""
    service = {
        "WELLHEAD_MODE_SERVICE_HOST": "10.96.231.3",
        "WELLHEAD_MODE_SERVICE_PORT": "80",
        "WELLHEAD_MODE_SERVICE_PORT_HTTP": "80",
        "WELLHEAD_MODE_PORT": "tcp://10.96.231.3:80",
        "WELLHEAD_MODE_PORT_80_TCP": "tcp://10.96.231.3:80",
        "WELLHEAD_MODE_PORT_80_TCP_ADDR": "10.96.231.3",
    }
    outcome = pod.init(llama.uri, **service)
    assert outcome.exit_code == 0, outcome.stderr
    assert "WELLHEAD_" not in outcome.stderr
    assert pod.plan.mode == "stream"


def test_a_misspelt_variable_is_a_warning(pod: Pod, llama: Model) -> None:
    outcome = pod.init(llama.uri, WELLHEAD_MODUS="download")
    assert outcome.exit_code == 0
    assert "WARNING WELLHEAD_MODUS is no setting of Wellhead and has no effect" in outcome.stderr
    assert pod.plan.mode == "stream"


def test_an_empty_variable_is_an_absent_one(pod: Pod, llama: Model) -> None:
    """A `fieldRef` to an annotation that a pod lacks gives the empty string."""
    names = ("MODE", "HANDOFF", "LOG_LEVEL", "LOG_FORMAT", "LOADER", "MODEL_DIR", "CACHE_DIR", "MEMORY_DIR")
    outcome = pod.init(llama.uri, **{f"WELLHEAD_{name}": "" for name in names})
    assert outcome.exit_code == 0, outcome.stderr
    assert (pod.plan.mode, pod.plan.credentials.handoff) == ("stream", "sealed")


def test_capitals_and_blanks_in_a_mode_do_not_count(pod: Pod, llama: Model) -> None:
    assert pod.init(llama.uri, WELLHEAD_MODE=" Stream\n").exit_code == 0
    assert pod.plan.reasons[0] == "mode stream was asked for"


def test_a_signal_ends_the_wait_for_a_store_that_never_answers(pod: Pod, store: SeaweedFS) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pod.start("s3://models/llama", **store.environment(endpoint)) as process:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                begin = time.monotonic()
                process.terminate()
                outcome = pod.wait(process, begin)
    assert outcome.exit_code == 143
    assert outcome.seconds < 2
    assert outcome.sentence == "Stopped by SIGTERM before the model was ready."
    assert pod.is_untouched
