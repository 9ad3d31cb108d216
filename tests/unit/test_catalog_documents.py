"""YAML that Go's libraries read as it was meant, and a reader that sees what they see."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from wellhead_cluster.catalog.documents import Unreadable, read_document, read_documents, write_documents

WORDS = [
    "no",
    "No",
    "on",
    "y",
    "N",
    "yes",
    "true",
    "null",
    "~",
    "7",
    "1.5",
    "0x10",
    "1e3",
    "2024-01-01",
    "1:20",
    "=",
    "<<",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_string_stays_one(word: str) -> None:
    written = write_documents([{"language": [word]}])
    assert f'"{word}"' in written
    assert read_document(written) == yaml.safe_load(written) == {"language": [word]}


@pytest.mark.parametrize("word", WORDS)
def test_a_key_stays_a_string(word: str) -> None:
    written = write_documents([{word: "x"}])
    assert read_document(written) == {word: "x"}
    if word in {"no", "on", "y", "N"}:
        assert not written.startswith(word)


@pytest.mark.parametrize(("word", "value"), [("y", True), ("N", False), ("On", True), ("off", False), ("no", False)])
def test_words_of_yaml_1_1_are_read_as_booleans(word: str, value: bool) -> None:
    assert read_document(f"x: {word}") == {"x": value}


def test_dates_are_strings_for_go() -> None:
    assert read_document("x: 2024-01-01") == {"x": "2024-01-01"}


TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


@given(VALUES)
@example("\n\x85")
@example("a\n\u2028b")
def test_what_is_written_is_read_again(content: object) -> None:
    assert read_document(write_documents([{"x": content}])) == {"x": content}


def test_a_readme_stays_readable() -> None:
    assert write_documents([{"readme": "# A\n\nB: no\n"}]) == "readme: |\n  # A\n\n  B: no\n"


BROKEN = {
    "a key twice": ("a: 1\na: 2\n", 'line 2: key "a" stands there twice'),
    "an anchor": ("a: &x [1]\nb: *x\n", "line 2 refers to an anchor"),
    "not closed": ("a: [\n", "line 2"),
    "a tag of Python": ("a: !!python/object/apply:os.system [x]\n", "could not determine a constructor"),
    "a number that is none": ("a: !!int ''\n", ""),
    "a control character": ("a: \x00\n", "unacceptable character"),
    "a list as a key": ("[a, b]: c\n", "unhashable key"),
    "two documents": ("a: 1\n---\nb: 2\n", "more than one document"),
    "deep nesting": ("[" * 5000, "too deeply nested"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_says_where(case: str) -> None:
    text, words = BROKEN[case]
    with pytest.raises(Unreadable) as caught:
        read_document(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    begin = time.monotonic()
    with pytest.raises(Unreadable, match="anchor"):
        read_document("\n".join(lines))
    assert time.monotonic() - begin < 5


def test_several_documents() -> None:
    assert read_documents(write_documents([{"a": "1"}, {"b": "2"}])) == [{"a": "1"}, {"b": "2"}]
