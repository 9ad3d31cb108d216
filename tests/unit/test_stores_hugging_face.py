"""How the Hub is reached, and what its listings mean; nothing here makes a request."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wellhead_storage.credentials.hugging_face import HUB, HuggingFaceAccess, hugging_face_access
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.settings import Settings
from wellhead_storage.stores.hugging_face import HuggingFaceFolder
from wellhead_storage.stores.interface import Checksum
from wellhead_storage.stores.opening import open_store
from wellhead_storage.stores.repository_tree import TreeFile, parse_tree
from wellhead_storage.stores.xet import piece_bytes
from wellhead_storage.uri import parse

MIB = 1 << 20
TOKEN = "hf_secret-token"


# Variables ---------------------------------------------------------------------------------------------------------


def test_without_variables_it_is_the_public_hub() -> None:
    assert hugging_face_access({"HF_ENDPOINT": " ", "HF_TOKEN": ""}) == HuggingFaceAccess(
        endpoint=HUB, token=None, anonymous=False, xet=True, ca_bundle=None
    )


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_the_token_of_a_variable(name: str) -> None:
    access = hugging_face_access({name: f"{TOKEN}\n"})
    assert access.headers()["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in repr(access)
    assert TOKEN not in access.model_dump_json()


def test_the_token_of_huggingface_hubs_own_file(tmp_path: Path) -> None:
    """Its path is fixed when the library is imported, so another process has to look."""
    tmp_path.joinpath("token").write_text(f"{TOKEN}\n")
    script = (
        "from wellhead_storage.credentials.hugging_face import hugging_face_access; import os\n"
        "print(hugging_face_access(os.environ).headers().get('authorization'))"
    )

    def asked(**more: str) -> str:
        environment = {"HF_HOME": str(tmp_path), "PATH": "", **more}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert asked() == f"Bearer {TOKEN}"
    assert asked(HF_HUB_DISABLE_IMPLICIT_TOKEN="true") == "None"


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_a_token_may_be_kept_back(value: str) -> None:
    access = hugging_face_access({"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_IMPLICIT_TOKEN": value})
    assert "authorization" not in access.headers()


@pytest.mark.parametrize("token", ["hf with blanks", "hf_ü", "hf_\x7f"])
def test_what_cannot_be_a_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InvalidConfiguration, match="HF_TOKEN holds characters that no token has") as caught:
        hugging_face_access({"HF_TOKEN": token})
    assert token not in str(caught.value)


@pytest.mark.parametrize("text", ["https://hub.example/", "http://hub.example:8080/api/hf"])
def test_endpoints(text: str) -> None:
    assert hugging_face_access({"HF_ENDPOINT": text}).endpoint == text.rstrip("/")


@pytest.mark.parametrize(
    "text", ["hub.example", "ftp://hub", "https://", "https://u:hunter2@hub", "https://[::", "http://h/?a=1"]
)
def test_an_endpoint_that_is_none(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="HF_ENDPOINT is not an http or https URL") as caught:
        hugging_face_access({"HF_ENDPOINT": text})
    assert "hunter2" not in str(caught.value)


def test_offline_is_taken_at_its_word() -> None:
    with pytest.raises(InvalidConfiguration, match="HF_HUB_OFFLINE forbids"):
        hugging_face_access({"HF_HUB_OFFLINE": "1"})


def test_xet_can_be_switched_off() -> None:
    assert not hugging_face_access({"HF_HUB_DISABLE_XET": "1"}).xet


def test_ca_bundles(tmp_path: Path) -> None:
    bundle = tmp_path / "cabundle.crt"
    bundle.touch()
    kserve = {"CA_BUNDLE_CONFIGMAP_NAME": "ca", "CA_BUNDLE_VOLUME_MOUNT_POINT": f"{tmp_path}/"}
    for environment in ({"REQUESTS_CA_BUNDLE": str(bundle)}, {"SSL_CERT_FILE": str(bundle)}, kserve):
        assert hugging_face_access(environment).ca_bundle == str(bundle)
    with pytest.raises(InvalidConfiguration, match="/no/such/file does not exist"):
        hugging_face_access({"REQUESTS_CA_BUNDLE": "/no/such/file"})


def test_a_ca_bundle_without_a_certificate(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("nonsense")
    store = open_store(parse("hf://org/model"), {"REQUESTS_CA_BUNDLE": str(bundle)}, Settings()).store
    with pytest.raises(InvalidConfiguration, match=f"The CA bundle {bundle} is unusable"):
        store.objects()


def test_opening_asks_nothing() -> None:
    opened = open_store(parse("hf://org/model:v1"), {"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert isinstance(opened.store, HuggingFaceFolder)
    assert opened.store.uri == parse("hf://org/model@v1")
    assert opened.credentials is None, "nothing to hand over: vLLM streams no hf://"


def test_a_commit_needs_no_question() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    store = open_store(parse(f"hf://org/model@{commit}"), {"HF_ENDPOINT": "http://127.0.0.1:9"}).store
    assert isinstance(store, HuggingFaceFolder)
    assert store.commit() == commit


# Listings ----------------------------------------------------------------------------------------------------------

OID, SHA256 = "a" * 40, "b" * 64


def test_a_tree() -> None:
    """As the Hub writes it: an LFS file's own size is that of its content; newer fields are ignored."""
    lfs = {"oid": SHA256, "size": 10_000, "pointerSize": 134}
    pages = [
        [
            {"type": "directory", "path": "sub", "size": 0, "oid": OID},
            {"type": "file", "path": "sub/config.json", "size": 12, "oid": OID, "security": None},
        ],
        [{"type": "file", "path": "a.safetensors", "size": 10_000, "oid": OID, "lfs": lfs, "xetHash": "cd" * 32}],
        [],
    ]
    assert parse_tree(pages) == [
        TreeFile("sub/config.json", 12, Checksum("git-sha1", OID), None),
        TreeFile("a.safetensors", 10_000, Checksum("sha256", SHA256), "cd" * 32),
    ]


@pytest.mark.parametrize(
    "page",
    [
        {"error": "no"},
        ["a"],
        [{"type": "file", "path": "a", "size": 1}],
        [{"type": "file", "path": "a", "size": -1, "oid": OID}],
        [{"type": "link", "path": "a", "size": 1, "oid": OID}],
        [{"type": "file", "path": "a", "size": 1, "oid": OID, "lfs": {"oid": "short", "size": 1}}],
    ],
)
def test_what_is_no_tree(page: object) -> None:
    with pytest.raises(ValueError, match="validation error"):
        parse_tree([page])


# Xet ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connections", "limit", "piece"),
    [
        (16, None, 16 * MIB),
        (16, 64 << 30, 16 * MIB),
        (16, 1 << 30, 8 * MIB),
        (16, (1 << 30) - 1, 0),
        (4, 256 * MIB, 8 * MIB),
        (16, 256 * MIB, 0),
        (1, 128 * MIB, 16 * MIB),
    ],
)
def test_xet_takes_pieces_that_fit_into_memory(connections: int, limit: int | None, piece: int) -> None:
    assert piece_bytes(connections, limit) == piece
    assert limit is None or connections * piece <= limit // 8


def test_other_stores_do_not_pay_for_it() -> None:
    script = (
        "import sys, wellhead_storage.stores.opening as o; print([m for m in sys.modules if m.startswith(('h','s'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for name in ("huggingface_hub", "httpx2", "hf_xet", "stamina"):
        assert f"'{name}'" not in done.stdout
