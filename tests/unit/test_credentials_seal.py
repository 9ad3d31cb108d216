"""Sealing: only the same token and the same weights open it, and any change is noticed."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import make_secret, shown
from wellhead_storage.credentials.s3 import S3Secret
from wellhead_storage.credentials.seal import read_token, seal, unseal
from wellhead_storage.errors import HandoffFailed

TOKEN = b"eyJhbGciOi.service-account.token"
WEIGHTS = "s3://models/llama"
SECRET = make_secret("AKIAEXAMPLE", "wJalrXUtnFEMI", "session-token")
TEXT = st.text(min_size=1, max_size=40)


def refusal(sealed: bytes, token: bytes = TOKEN, weights: str = WEIGHTS) -> HandoffFailed:
    with pytest.raises(HandoffFailed) as caught:
        unseal(sealed, token, weights)
    assert caught.value.exit_code == 21
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("secret", [SECRET, make_secret("a", "b")])
def test_round_trip(secret: S3Secret) -> None:
    assert shown(unseal(seal(secret, TOKEN, WEIGHTS), TOKEN, WEIGHTS)) == shown(secret)


@given(TEXT, TEXT, TEXT | st.none(), st.binary(min_size=1), st.text())
def test_round_trip_of_anything(key_id: str, key: str, session: str | None, token: bytes, path: str) -> None:
    weights = f"s3://{path}"
    secret = make_secret(key_id, key, session)
    assert shown(unseal(seal(secret, token, weights), token, weights)) == shown(secret)


def test_nothing_is_in_the_clear() -> None:
    sealed = seal(SECRET, TOKEN, WEIGHTS)
    boxes = b"".join(base64.b64decode(value) for value in json.loads(sealed).values() if isinstance(value, str))
    for clear in (*filter(None, shown(SECRET).values()), TOKEN.decode(), WEIGHTS, "access_key_id"):
        assert clear.encode() not in sealed
        assert clear.encode() not in boxes
        assert base64.b64encode(clear.encode()).strip(b"=") not in sealed


def test_the_envelope() -> None:
    envelope = json.loads(seal(SECRET, TOKEN, WEIGHTS))
    assert set(envelope) == {"version", "salt", "nonce", "box"}
    assert envelope["version"] == 1
    assert len(base64.b64decode(envelope["salt"])) == 16
    assert len(base64.b64decode(envelope["nonce"])) == 12, "96 bits, as GCM wants them"


def test_no_two_are_alike() -> None:
    sealed = [json.loads(seal(SECRET, TOKEN, WEIGHTS)) for _ in range(20)]
    for field in ("salt", "nonce", "box"):
        assert len({envelope[field] for envelope in sealed}) == 20


def test_a_rotated_token() -> None:
    error = refusal(seal(SECRET, TOKEN, WEIGHTS), token=TOKEN + b"2")
    assert "token was rotated" in error.problem
    assert "Delete the pod" in error.hint


@pytest.mark.parametrize("weights", ["s3://models/llama-2", "s3://other/llama", "s3://models/llama/", ""])
def test_it_cannot_be_moved_to_other_weights(weights: str) -> None:
    refusal(seal(SECRET, TOKEN, WEIGHTS), weights=weights)


@given(st.sampled_from(["salt", "nonce", "box"]), st.data())
def test_any_flipped_bit_is_noticed(field: str, data: st.DataObject) -> None:
    envelope = json.loads(seal(SECRET, TOKEN, WEIGHTS))
    raw = bytearray(base64.b64decode(envelope[field]))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    refusal(json.dumps(envelope | {field: base64.b64encode(raw).decode()}).encode())


@given(st.sampled_from(["salt", "nonce", "box"]), st.binary(max_size=200))
def test_any_other_content_is_refused(field: str, content: bytes) -> None:
    envelope = json.loads(seal(SECRET, TOKEN, WEIGHTS))
    refusal(json.dumps(envelope | {field: base64.b64encode(content).decode()}).encode())


@pytest.mark.parametrize("field", ["version", "salt", "nonce", "box"])
@pytest.mark.parametrize("value", [None, 7.5, [], {}, "ä", "not base64!", "QQ="])
def test_fields_of_another_kind(field: str, value: object) -> None:
    envelope = json.loads(seal(SECRET, TOKEN, WEIGHTS))
    refusal(json.dumps(envelope | {field: value}).encode())
    del envelope[field]
    assert "damaged" in refusal(json.dumps(envelope).encode()).problem


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file(content: bytes) -> None:
    assert refusal(content).problem == "The sealed credentials are damaged."


@given(st.binary())
def test_any_file_is_refused(content: bytes) -> None:
    refusal(content)


def test_another_version_names_both() -> None:
    envelope = json.loads(seal(SECRET, TOKEN, WEIGHTS)) | {"version": 2}
    error = refusal(json.dumps(envelope).encode())
    assert "version 2" in error.problem
    assert "version 1" in error.problem
    assert "same release" in error.hint


# The token -------------------------------------------------------------------------------------------------------


def test_the_token_is_read_without_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(TOKEN + b"\n")
    assert read_token(path) == TOKEN


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_token_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert read_token(tmp_path / "token") is None


def test_no_token_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert read_token(tmp_path / "token") is None
    assert read_token(tmp_path / "file" / "token") is None


def test_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HandoffFailed, match=f"token {tmp_path} cannot be read: Is a directory"):
        read_token(tmp_path)


def test_the_token_is_read_through_kubernetes_links(tmp_path: Path) -> None:
    """The kubelet rotates tokens by moving a link."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
    (tmp_path / "..data").symlink_to("old")
    (tmp_path / "token").symlink_to("..data/token")
    assert read_token(tmp_path / "token") == b"old"
    (tmp_path / "..next").symlink_to("new")
    os.replace(tmp_path / "..next", tmp_path / "..data")  # noqa: PTH105
    assert read_token(tmp_path / "token") == b"new"
