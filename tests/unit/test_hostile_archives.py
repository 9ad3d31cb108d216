"""Archives that were made, or damaged, to do harm: a sentence comes of it, and neither memory nor files outside."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.archives import CONTENT, MIB, files, pack
from wellhead_storage.archives.unpack import unpack
from wellhead_storage.errors import IncompleteCheckpoint, InsufficientSpace, IntegrityError, WellheadError
from wellhead_storage.from_archive import room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "model.tar": bytes,
    "model.tar.gz": gzip.compress,
    "model.tar.bz2": bz2.compress,
    "model.tar.xz": lzma.compress,
}
END = bytes(2 * tarfile.BLOCKSIZE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "deep" / "unpacked"
    made.mkdir(parents=True)
    return made


@contextmanager
def bounded(mib: int) -> Iterator[None]:
    """No more memory than that, that of zlib, bzip2 and LZMA included."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mib * MIB, f"{peak / MIB:.0f} MiB"


def header(kind: bytes, data: bytes, name: str = "x", size: int | None = None) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, len(data) if size is None else size
    return entry.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def pax(**records: str) -> bytes:
    return tarfile.TarInfo.create_pax_global_header(records).replace(b"\0g", b"\0x")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# Memory ----------------------------------------------------------------------------------------------------------


EXTENDED = {
    "long name": tarfile.GNUTYPE_LONGNAME,
    "long link": tarfile.GNUTYPE_LONGLINK,
    "pax": tarfile.XHDTYPE,
    "pax of Solaris": tarfile.SOLARIS_XHDTYPE,
    "pax for all": tarfile.XGLTYPE,
}


@pytest.mark.parametrize("kind", EXTENDED)
def test_an_extended_header_of_any_size_takes_no_memory(tmp_path: Path, folder: Path, kind: str) -> None:
    content = gzip.compress(header(EXTENDED[kind], bytes(64 * MIB)) + header(tarfile.REGTYPE, b"x") + END, 1)
    with bounded(16), pytest.raises(IntegrityError, match=r"model\.tar\.gz has .* 64 KiB of them, .*not unpacked"):
        unpack(write(tmp_path / "model.tar.gz", content), folder, available=MIB)


@pytest.mark.parametrize("kind", EXTENDED)
def test_nor_do_many_of_them(tmp_path: Path, folder: Path, kind: str) -> None:
    content = header(EXTENDED[kind], b"11 path=ab\n") * 5000 + header(tarfile.REGTYPE, b"x") + END
    with bounded(16), pytest.raises(IntegrityError, match=r"model\.tar has more than 16 extended headers"):
        unpack(write(tmp_path / "model.tar", content), folder, available=MIB)


def test_nor_do_those_that_count_for_all_members(tmp_path: Path, folder: Path) -> None:
    content = b"".join(
        tarfile.TarInfo.create_pax_global_header({f"key{number}": "x" * 1000})
        + header(tarfile.REGTYPE, b"", f"{number}")
        for number in range(100)
    )
    with pytest.raises(IntegrityError, match="64 KiB of them"):
        unpack(write(tmp_path / "model.tar", content + END), folder, available=MIB)


def test_the_usual_ones_are_read(tmp_path: Path, folder: Path) -> None:
    attribute = {"SCHILY.xattr.user.note": "x" * 10_000, "comment": "made by git archive"}
    content = {f"{'folder/' * 30}{number}-ü": b"x" for number in range(50)}
    for archive_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / "model.tar"
        with tarfile.open(path, "w", format=archive_format, pax_headers={"comment": "abc"}) as archive:
            for name, data in content.items():
                entry = tarfile.TarInfo(f"{archive_format}/{name}")
                entry.size, entry.pax_headers = len(data), attribute
                archive.addfile(entry, io.BytesIO(data))
        unpack(path, folder, available=MIB)
    assert files(folder) == {f"{number}/{name}": data for name, data in content.items() for number in (1, 2)}


@pytest.mark.parametrize("name", ["model.tar.gz", "model.tar.bz2", "model.tar.xz", "model.zip"])
def test_a_bomb_takes_no_memory(tmp_path: Path, folder: Path, name: str) -> None:
    path = pack(tmp_path / name, {"small": b"x", "bomb": bytes(100 * MIB)})
    with bounded(24), pytest.raises(InsufficientSpace):
        unpack(path, folder, available=MIB)


def test_the_directory_of_a_zip_takes_no_memory(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(300):
            entry = zipfile.ZipInfo(f"{number}")
            entry.comment = bytes(60_000)
            archive.writestr(entry, b"")
    with bounded(2), pytest.raises(IntegrityError, match=r"model\.zip has a directory of more than 16 MiB"):
        unpack(path, folder, available=MIB)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_zipfile_unpacks_without_a_limit(tmp_path: Path, folder: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w", method) as archive:
        archive.writestr("bomb", bytes(40 * MIB))
    with bounded(2), pytest.raises(IntegrityError, match=r"'bomb' of .* is compressed in another way"):
        unpack(tmp_path / "model.zip", folder, available=100 * MIB)


@pytest.mark.parametrize("name", ["a/" * 65 + "b", "/".join(["x" * 250] * 5), "a/" * 400_000])
def test_names_without_an_end(tmp_path: Path, folder: Path, name: str) -> None:
    if len(name) < 2000:
        pack(tmp_path / "model.tar", {name: b"x"})
    else:
        write(tmp_path / "model.tar", header(tarfile.GNUTYPE_LONGNAME, name.encode()) + header(tarfile.REGTYPE, b"x"))
    with bounded(16), pytest.raises(IntegrityError) as caught:
        unpack(tmp_path / "model.tar", folder, available=MIB)
    assert len(str(caught.value)) < 400
    assert list(folder.iterdir()) == []


GIB = 1 << 30


@pytest.mark.parametrize(("free", "usable"), [(0, 0), (100, 95), (10 * GIB, 19 * GIB // 2), (300 * GIB, 299 * GIB)])
def test_a_volume_is_never_filled_to_the_brim(free: int, usable: int) -> None:
    assert room(free) == usable


# Sparse files ----------------------------------------------------------------------------------------------------

REST = header(tarfile.REGTYPE, b"0\n" * 5000) + END
SPARSE = {
    "old": header(tarfile.GNUTYPE_SPARSE, b"") + REST,
    "0.0": pax(**{"GNU.sparse.size": "1", "GNU.sparse.offset": "0", "GNU.sparse.numbytes": "1"}) + REST,
    "0.1": pax(**{"GNU.sparse.map": "0,1"}) + REST,
    "0.1, bad": pax(**{"GNU.sparse.map": "a,b"}) + REST,
    "1.0": pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}) + REST,
}


@pytest.mark.parametrize("version", SPARSE)
def test_a_sparse_file_is_refused_before_its_map_is_read(tmp_path: Path, folder: Path, version: str) -> None:
    with pytest.raises(IntegrityError, match=r"'x' of model\.tar is a sparse file"):
        unpack(write(tmp_path / "model.tar", SPARSE[version]), folder, available=MIB)


# Damage ----------------------------------------------------------------------------------------------------------

MEMBER = header(tarfile.REGTYPE, b"content", "model.bin")
DAMAGED = {
    "a number that is none": pax(**{"GNU.sparse.realsize": "x"}) + MEMBER + END,
    "a negative size": MEMBER + header(tarfile.REGTYPE, b"", size=-512) + END,
    "a negative size in a pax header": pax(size="-1000") + MEMBER + END,
    "a negative pax header": header(tarfile.XHDTYPE, b"", size=-512) + MEMBER + END,
    "a pax header for nothing": MEMBER + pax(path="x") + END,
    "half a header": MEMBER + MEMBER[:100],
    "a second header with another checksum": MEMBER + MEMBER.replace(b"model.bin", b"model.bim") + END,
    "garbage behind a member": MEMBER + b"x" * tarfile.BLOCKSIZE + END,
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_in_a_tar_is_never_taken_for_its_end(tmp_path: Path, folder: Path, what: str) -> None:
    with pytest.raises(IncompleteCheckpoint, match=r"model\.tar is no readable archive \(\w+\)\. Make and upload"):
        unpack(write(tmp_path / "model.tar", DAMAGED[what]), folder, available=MIB)


@pytest.mark.parametrize("name", ["model.tar.gz", "model.tar.bz2", "model.tar.xz"])
def test_the_checksum_of_what_packs_it_counts(tmp_path: Path, folder: Path, name: str) -> None:
    raw = bytearray(pack(tmp_path / name, CONTENT).read_bytes())
    raw[-6] ^= 1
    with pytest.raises(IncompleteCheckpoint, match="no readable archive"):
        unpack(write(tmp_path / name, bytes(raw)), folder, available=10 * MIB)


def test_a_zip_with_a_name_that_is_no_text(tmp_path: Path, folder: Path) -> None:
    raw = pack(tmp_path / "model.zip", {"ü.bin": b"x"}).read_bytes().replace("ü".encode(), b"\xff\xfe")
    with pytest.raises(IncompleteCheckpoint, match=r"model\.zip is no readable archive \(UnicodeDecodeError\)"):
        unpack(write(tmp_path / "model.zip", raw), folder, available=MIB)


def test_a_failure_of_ours_is_not_the_archives(tmp_path: Path, folder: Path) -> None:
    def check() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        unpack(pack(tmp_path / "model.tar", CONTENT), folder, available=10 * MIB, check=check)


# Anything --------------------------------------------------------------------------------------------------------


def sample(archive_format: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=archive_format, pax_headers={"comment": "x"}) as archive:
        for name, kind in (
            ("config.json", tarfile.REGTYPE),
            ("folder", tarfile.DIRTYPE),
            ("folder/" * 14 + "ü" * 30, tarfile.REGTYPE),
            ("model.bin", tarfile.REGTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.mtime = kind, 700 if kind == tarfile.REGTYPE else 0, 1.5
            archive.addfile(entry, io.BytesIO(b"x" * 700))
    return raw.getvalue().rstrip(b"\0") + END


def sample_zip() -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("config.json", "folder/", "folder/ü", "model.bin"):
            archive.writestr(name, b"" if name.endswith("/") else b"x" * 700)
    return raw.getvalue()


SAMPLES = {
    "GNU": sample(tarfile.GNU_FORMAT),
    "pax": sample(tarfile.PAX_FORMAT),
    "sparse 0.1": SPARSE["0.1"],
    "sparse 1.0": SPARSE["1.0"],
    "zip": sample_zip(),
}
# Anywhere, and where the fields and records are.
PLACES = st.one_of(
    st.integers(0, 9000),
    st.builds(lambda block, at: block * tarfile.BLOCKSIZE + at, st.integers(0, 12), st.integers(0, 160)),
)
PIECES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from([b"x", b"g", b"L", b"K", b"S", b"1", b"2", b"5", b"\xff" * 12, b"\x80" + bytes(11), b"7" * 11]),
    st.sampled_from([b"../", b"/", b"\xc3", b"PK\x01\x02", b"PK\x05\x06", b"19 GNU.sparse.map=a\n", b"9 size=-1"]),
)


def mended(raw: bytearray) -> bytes:
    """With the right checksum in every header of a tar, so that what was changed is looked at."""
    for start in range(0, len(raw) - 511, tarfile.BLOCKSIZE):
        if raw[start + 257 : start + 262] == b"ustar":
            total = 256 + sum(raw[start : start + 148]) + sum(raw[start + 156 : start + 512])
            raw[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(raw)


@hypothesis_settings(max_examples=500, deadline=None)
@given(
    base=st.sampled_from(sorted(SAMPLES)),
    edits=st.lists(st.tuples(PLACES, PIECES, st.booleans()), min_size=1, max_size=5),
    at_types=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(b"0125SxgXLK")), max_size=3),
    mend=st.booleans(),
    packed=st.sampled_from(sorted(PACKERS)),
)
def test_whatever_is_changed_a_sentence_comes_of_it(
    base: str, edits: list[tuple[int, bytes, bool]], at_types: list[tuple[int, int]], mend: bool, packed: str
) -> None:
    raw = bytearray(SAMPLES[base])
    for place, piece, insert in edits:
        at = place % len(raw)
        raw[at : at + (0 if insert else len(piece))] = piece
    if base != "zip":
        for block, kind in at_types:
            if (at := block * tarfile.BLOCKSIZE + 156) < len(raw):
                raw[at] = kind
    content = mended(raw) if mend else bytes(raw)
    with tempfile.TemporaryDirectory() as around:
        folder = Path(around) / "deep" / "unpacked"
        folder.mkdir(parents=True)
        path = Path(around) / ("model.zip" if base == "zip" else packed)
        path.write_bytes(content if base == "zip" else PACKERS[packed](content))
        try:
            with bounded(24):
                unpack(path, folder, available=MIB)
        except WellheadError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 4096
        assert {found for found in Path(around).rglob("*") if folder not in (found, *found.parents)} == {
            path,
            folder.parent,
        }
        assert sum(map(len, files(folder).values())) <= MIB
