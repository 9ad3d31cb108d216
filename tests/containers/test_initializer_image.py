"""What is in the initializer image, and how it asks to be run."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.containers.images import VERSION
from tests.containers.kubelet import finished
from tests.containers.pod import Pod
from tests.containers.seccomp import runtime_default

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.containers.images import Image

MEGABYTE = 1_000_000
ENGINES = ("torch", "vllm", "transformers", "numpy", "boto3", "kserve")
INSTALLERS = ("pip", "setuptools", "wheel", "hatchling")


def test_it_is_small(initializer: Image, record_testsuite_property: Callable[[str, object], None]) -> None:
    ours = sum(path.lstat().st_size for path in (initializer.root / "opt/wellhead").rglob("*"))
    record_testsuite_property("initializer image, MB", round(initializer.size / MEGABYTE))
    record_testsuite_property("initializer image without its base, MB", round(ours / MEGABYTE))
    assert initializer.size < 250 * MEGABYTE
    assert ours < 125 * MEGABYTE


def test_it_has_no_engine_and_no_installer(initializer: Image) -> None:
    installed = {
        re.split(r"-\d", path.name)[0].lower()
        for folder in ("site-packages", "dist-packages")
        for parent in initializer.root.glob(f"**/{folder}")
        for path in parent.iterdir()
    }
    assert {"wellhead", "wellhead_storage", "wellhead_runtime", "obstore"} <= installed
    assert not installed & {*ENGINES, *INSTALLERS}
    assert not list(initializer.root.glob("**/pip-*.whl"))


def test_what_it_hands_to_kserves_library_is_there(initializer: Image, tmp_path: Path) -> None:
    """Though much of what the library asks for is left out."""
    program = """
import kserve_storage
from azure.storage.fileshare import ShareServiceClient
from dulwich import porcelain
from kserve_storage.kserve_storage import ms_snapshot_download
print(ms_snapshot_download is not None)
"""
    outcome = finished(Pod(initializer, command=("python3", "-c", program)), tmp_path)
    assert (outcome.exit_code, outcome.stdout.strip()) == (0, "True"), outcome.stderr


def test_it_says_how_to_run_it(initializer: Image) -> None:
    config = initializer.config
    assert config["Entrypoint"] == ["wellhead", "init"]
    assert not config.get("Cmd")
    assert re.fullmatch(r"[1-9]\d*:0", config["User"]), "runAsNonRoot needs a number; OpenShift needs group 0"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_nothing_of_the_checkout_but_the_packages_gets_in(initializer: Image) -> None:
    assert not (initializer.root / "src").exists()
    assert not list(initializer.root.glob("**/.env"))
    assert not (initializer.root / "deps").exists()


def test_any_user_may_read_it_and_none_may_write_it(initializer: Image) -> None:
    for path in (initializer.root / "opt/wellhead").rglob("*"):
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode):
            assert status.st_mode & stat.S_IROTH, path
            assert not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH), path


def test_the_byte_code_is_there_because_nobody_can_write_it_later(initializer: Image) -> None:
    packages = next((initializer.root / "opt/wellhead/lib").glob("python3*/site-packages"))
    sources = [path for path in packages.rglob("*.py") if path.parts[-2] != "__pycache__"]
    assert len(sources) > 300
    for source in sources:
        assert list(source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc")), source


def test_it_starts_as_any_user_without_a_writable_file(initializer: Image, tmp_path: Path) -> None:
    for user in (1000, 1_000_650_000):
        outcome = finished(Pod(initializer, command=("wellhead", "--help"), user=user), tmp_path)
        assert outcome.exit_code == 0, outcome.stderr
        assert "init" in outcome.stdout


def test_the_container_is_as_poor_as_a_restricted_pod(initializer: Image, tmp_path: Path) -> None:
    """Guards the stand-in itself: if the kubelet of these tests were generous, they would prove nothing."""
    program = """
import os
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
names = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
print(os.getuid(), os.getgid(), *(status[name] for name in names))
for folder in ("/", "/tmp", "/home", "/opt/wellhead", "/var/tmp", "/run"):
    try:
        open(os.path.join(folder, "x"), "w")
        print("writable", folder)
    except OSError:
        pass
open("/dev/termination-log", "w").write("last words")
print(len([name for name in os.listdir("/proc") if name.isdigit()]))
"""
    outcome = finished(Pod(initializer, command=("python3", "-c", program)), tmp_path)
    first, *writable, processes = outcome.stdout.splitlines()
    filtered = "2" if runtime_default() else "0"
    assert first.split() == ["1000", "0", "0000000000000000", "0000000000000000", "1", filtered]
    assert writable == []
    assert processes == "1"
    assert outcome.message == "last words"


def test_the_memory_limit_is_enforced(initializer: Image, tmp_path: Path) -> None:
    program = "block = bytearray(256 << 20); print(len(block))"
    generous = Pod(initializer, command=("python3", "-c", program), memory=512 << 20)
    assert finished(generous, tmp_path).stdout.strip() == str(256 << 20)
    assert finished(replace(generous, memory=128 << 20), tmp_path).exit_code == 137
