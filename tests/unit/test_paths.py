"""Object names never become a file outside the model's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_storage.errors import IntegrityError
from wellhead_storage.paths import refuse_collisions, refuse_doubles, safe_target

FOLDER = Path("/mnt/models")

GOOD = [
    "config.json",
    "a/b/c.json",
    "with blank",
    "é/ü.json",
    "a..b",
    "...",
    "..a",
    "~",
    "C:\\x",
    "x" * 255,
    "a%2f..%2fb",
]

BAD = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\x00b",
    "a\nb",
    "a\x1bb",
    "a\x7fb",
    "x" * 256,
    "é" * 150,  # 300 bytes
    "a/" + "x" * 300 + "/b",
    "a\ud800b",
    "a\udcffb",
]


@pytest.mark.parametrize("name", GOOD)
def test_ordinary_names(name: str) -> None:
    assert safe_target(FOLDER, name) == Path(f"{FOLDER}/{name}")


@pytest.mark.parametrize("name", BAD, ids=[ascii(name)[:40] for name in BAD])
def test_names_that_cannot_be_a_file(name: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        safe_target(FOLDER, name)
    assert repr(name) in caught.value.problem
    assert caught.value.exit_code == 17
    str(caught.value).encode("utf-8")


NAMES = st.one_of(
    st.text(st.characters()),
    st.lists(st.sampled_from(["..", ".", "", "a", "b..", "\x00", "é" * 150, "~"]), max_size=5).map("/".join),
)


@given(NAMES)
def test_the_file_is_inside_the_folder_or_refused(name: str) -> None:
    try:
        target = safe_target(FOLDER, name)
    except IntegrityError:
        return
    assert Path(os.path.normpath(target)).is_relative_to(FOLDER)
    assert Path(os.path.normpath(target)) == target != FOLDER
    assert target.relative_to(FOLDER).as_posix() == name, "the name survives unchanged"
    assert max(len(os.fsencode(part)) for part in target.parts) <= 255


def test_a_file_that_is_also_a_folder() -> None:
    with pytest.raises(IntegrityError) as caught:
        refuse_collisions(["config.json", "a/b", "a/b/c/d"])
    assert "'a/b'" in caught.value.problem
    assert "'a/b/c/d'" in caught.value.problem


@pytest.mark.parametrize("names", [[], ["a"], ["a/b", "a/c"], ["a", "ab/c", "a-b"], ["a/b", "a.b"]])
def test_listings_without_collisions(names: list[str]) -> None:
    refuse_collisions(names)
    with pytest.raises(IntegrityError):
        refuse_collisions([*names, "z", "z/z"])


RELATIVE = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@given(st.lists(RELATIVE, max_size=8))
def test_what_passes_can_be_written_to_a_disk(names: list[str]) -> None:
    collide = any(other.startswith(f"{name}/") for name in names for other in names)
    try:
        refuse_collisions(names)
    except IntegrityError:
        assert collide
    else:
        assert not collide


# Two objects, one name -------------------------------------------------------------------------------------------


def test_two_objects_of_one_name() -> None:
    """A store may hold `a` and `a/`; both are listed as `a`."""
    refuse_doubles([])
    refuse_doubles(["a", "b", "aa"])
    with pytest.raises(IntegrityError, match="Two objects would become the file 'a'"):
        refuse_doubles(["a", "b", "a"])


@given(st.lists(st.sampled_from(["a", "b", "a/b", "é"])))
def test_exactly_lists_without_doubles_pass(names: list[str]) -> None:
    try:
        refuse_doubles(names)
    except IntegrityError:
        assert len(set(names)) < len(names)
    else:
        assert len(set(names)) == len(names)
