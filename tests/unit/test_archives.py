"""Archives from anywhere: their files come out, and nothing else happens."""

from __future__ import annotations

import io
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.archives import CONTENT, MIB, NAMES, files, pack
from wellhead_storage.archives.kinds import is_archive
from wellhead_storage.archives.unpack import unpack
from wellhead_storage.errors import IncompleteCheckpoint, InsufficientSpace, IntegrityError, WellheadError


def special(path: Path, name: str, kind: bytes, target: str = "") -> Path:
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode = kind, target, 0o4777
        archive.addfile(entry)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "deep" / "unpacked"
    made.mkdir(parents=True)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_the_files_come_out(tmp_path: Path, folder: Path, name: str) -> None:
    found = unpack(pack(tmp_path / name, CONTENT), folder, available=10 * MIB)
    assert files(folder) == CONTENT
    assert found == list(CONTENT)


@pytest.mark.parametrize(
    ("name", "expected"),
    [(name, True) for name in NAMES]
    + [("MODEL.TAR.GZ", True), ("a.b.zip", True)]
    + [(name, False) for name in ("model.safetensors", "model.gz", "zip", ".zip", "tar.gz.part", "model.bin", "")],
)
def test_the_name_says_what_it_is(name: str, expected: bool) -> None:
    assert is_archive(name) is expected


def test_an_archive_of_a_whole_folder_begins_with_dots(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "config.json").write_text("{}")
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        archive.add(source, ".")
    assert unpack(tmp_path / "model.tar", folder, available=MIB) == ["sub/config.json"]
    assert files(folder) == {"sub/config.json": b"{}"}


def test_modes_and_owners_of_the_archive_do_not_count(tmp_path: Path, folder: Path) -> None:
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        entry = tarfile.TarInfo("run.sh")
        entry.mode, entry.uid, entry.mtime = 0o6777, 12345, 1
        archive.addfile(entry)
    unpack(tmp_path / "model.tar", folder, available=MIB)
    found = (folder / "run.sh").stat()
    assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111)
    assert found.st_mtime > 1


LEAVING = ["../x", "a/../../x", "/etc/x", "a//b", "a/./b", "a\nb", "x" * 300, ".."]


@pytest.mark.parametrize("name", LEAVING)
@pytest.mark.parametrize("archive", ["model.tar", "model.zip"])
def test_no_name_leaves_the_folder(tmp_path: Path, folder: Path, archive: str, name: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        unpack(pack(tmp_path / archive, {name: b"x"}), folder, available=MIB)
    assert repr(name.partition("\0")[0])[:100] in str(caught.value)
    assert files(tmp_path / "deep") == {}


SPECIAL: dict[str, tuple[bytes, str]] = {
    "symbolic link": (tarfile.SYMTYPE, "../../etc/passwd"),
    "symbolic link inside": (tarfile.SYMTYPE, "config.json"),
    "hard link": (tarfile.LNKTYPE, "/etc/passwd"),
    "device or pipe (character)": (tarfile.CHRTYPE, ""),
    "device or pipe (block)": (tarfile.BLKTYPE, ""),
    "device or pipe (pipe)": (tarfile.FIFOTYPE, ""),
}


@pytest.mark.parametrize("case", SPECIAL)
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, folder: Path, case: str) -> None:
    kind, target = SPECIAL[case]
    what = case.partition(" (")[0].removesuffix(" inside")
    with pytest.raises(IntegrityError, match=rf"'model\.bin' of model\.tar is a {what}"):
        unpack(special(tmp_path / "model.tar", "model.bin", kind, target), folder, available=MIB)
    assert list(folder.iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path: Path, folder: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(IntegrityError, match=r"'link' of model\.zip is a symbolic link"):
        unpack(tmp_path / "model.zip", folder, available=MIB)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([("a", b"1"), ("a", b"2")], "'a' of model.tar is in it twice"),
        ([("a", b"1"), ("./a", b"2")], "is in it twice"),
        ([("a", b"1"), ("a/b", b"2")], "'a/b' of model.tar is a file and a folder at once"),
        ([("a/b", b"1"), ("a", b"2")], "'a' of model.tar is a file and a folder at once"),
    ],
)
def test_names_that_collide_are_refused(
    tmp_path: Path, folder: Path, members: list[tuple[str, bytes]], words: str
) -> None:
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(IntegrityError, match=words):
        unpack(tmp_path / "model.tar", folder, available=MIB)


# Bombs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.tar.gz", "model.zip"])
def test_a_bomb_is_refused_before_it_fills_the_volume(tmp_path: Path, folder: Path, name: str) -> None:
    bomb = pack(tmp_path / name, {"small": b"x" * 1000, "bomb": bytes(50 * MIB)})
    assert bomb.stat().st_size < MIB
    with pytest.raises(InsufficientSpace, match=r"'bomb' of .* needs 50\.0 MiB"):
        unpack(bomb, folder, available=10 * MIB)
    assert sum(map(len, files(folder).values())) <= 1000


def test_many_small_files_count_together(tmp_path: Path, folder: Path) -> None:
    content = {f"f{number}": bytes(1000) for number in range(20)}
    with pytest.raises(InsufficientSpace):
        unpack(pack(tmp_path / "model.tar", content), folder, available=10_000)
    assert sum(map(len, files(folder).values())) <= 10_000


def test_a_zip_that_lies_about_its_size(tmp_path: Path, folder: Path) -> None:
    path = pack(tmp_path / "model.zip", {"bomb": bytes(5 * MIB)})
    raw = bytearray(path.read_bytes())
    size = (5 * MIB).to_bytes(4, "little")
    for _ in range(raw.count(size)):
        at = raw.find(size)
        raw[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises((IntegrityError, IncompleteCheckpoint)):
        unpack(path, folder, available=MIB)
    assert sum(map(len, files(folder).values())) <= MIB


def test_an_encrypted_member_is_refused(tmp_path: Path, folder: Path) -> None:
    path = pack(tmp_path / "model.zip", {"config.json": b"{}"})
    raw = bytearray(path.read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = raw.find(mark) + (6 if mark == b"PK\x03\x04" else 8)
        raw[at] |= 1
    path.write_bytes(raw)
    with pytest.raises(IntegrityError, match=r"'config\.json' of model\.zip is encrypted"):
        unpack(path, folder, available=MIB)


# Damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda _: b"no archive at all", lambda _: b""])
def test_a_damaged_archive(tmp_path: Path, folder: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = pack(tmp_path / name, CONTENT)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(IncompleteCheckpoint, match=f"{path.name} is no readable archive"):
        unpack(path, folder, available=10 * MIB)


def test_it_can_be_stopped(tmp_path: Path, folder: Path) -> None:
    class Enough(Exception):
        pass

    def check() -> None:
        raise Enough

    with pytest.raises(Enough):
        unpack(pack(tmp_path / "model.tar", CONTENT), folder, available=10 * MIB, check=check)


NASTY = st.lists(
    st.one_of(st.sampled_from(["..", ".", "", "a", "b", "\x00", "\n"]), st.text(max_size=6)), min_size=1, max_size=4
).map("/".join)


@hypothesis_settings(max_examples=300)
@given(
    st.lists(
        st.tuples(NASTY, st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]), NASTY),
        min_size=1,
        max_size=5,
    )
)
@example([("a", tarfile.SYMTYPE, ".."), ("a/x", tarfile.REGTYPE, "")])
@example([("a", tarfile.DIRTYPE, ""), ("a", tarfile.SYMTYPE, "/"), ("a/x", tarfile.REGTYPE, "")])
def test_whatever_is_in_it_nothing_appears_outside(entries: list[tuple[str, bytes, str]]) -> None:
    with tempfile.TemporaryDirectory() as around:
        folder = Path(around) / "deep" / "unpacked"
        folder.mkdir(parents=True)
        path = Path(around) / "model.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
            for name, kind, target in entries:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = kind, target
                entry.size = 1 if kind == tarfile.REGTYPE else 0
                archive.addfile(entry, io.BytesIO(b"x"))
        try:
            unpack(path, folder, available=MIB)
        except WellheadError as error:
            assert str(error).isprintable()
        outside = {found for found in Path(around).rglob("*") if folder not in (found, *found.parents)}
        assert outside == {path, folder.parent}
        assert not any(found.is_symlink() for found in folder.rglob("*"))
