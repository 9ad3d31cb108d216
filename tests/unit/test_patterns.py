"""Allow and ignore patterns: what KServe's initializer would take, and a reason for all that is left."""

from __future__ import annotations

import json
import os
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.patterns import ALLOW, IGNORE, Patterns, read_patterns
from wellhead_storage.stores.interface import StoredObject

NAMES = ("config.json", "model-00001.safetensors", "model.bin", "onnx/model.onnx", "onnx/deep/a.json", "README.md")


def kept(patterns: Patterns, *names: str) -> list[str]:
    return [item.name for item in patterns.select(StoredObject(name, 1) for name in names)[0]]


def reasons(patterns: Patterns, *names: str) -> dict[str, str]:
    return {entry.item.name: entry.reason for entry in patterns.select(StoredObject(name, 1) for name in names)[1]}


READINGS: dict[str, tuple[str, ...]] = {
    "": (),
    "  ": (),
    "[]": (),
    '""': (),
    ",": (),
    "*.json": ("*.json",),
    "*.json,*.safetensors": ("*.json", "*.safetensors"),
    " *.json , , *.bin,": ("*.json", "*.bin"),
    '["*.json", "*.safetensors"]': ("*.json", "*.safetensors"),
    '[" *.json ", ""]': ("*.json",),
    '["a,b.json"]': ("a,b.json",),
    '"*.json"': ("*.json",),
    '"a,b"': ("a,b",),
    "[abc]*.json": ("[abc]*.json",),
    "[!a]*,b": ("[!a]*", "b"),
    "{a,b}": ("{a", "b}"),
    "2024": ("2024",),
    "1e5": ("1e5",),
    "null": ("null",),
    "true": ("true",),
}


@pytest.mark.parametrize("value", READINGS)
@pytest.mark.parametrize("variable", [ALLOW, IGNORE])
def test_a_list_is_json_or_comma_separated(variable: str, value: str) -> None:
    patterns = read_patterns({variable: value})
    assert (patterns.allow, patterns.ignore) == ((READINGS[value], ()) if variable == ALLOW else ((), READINGS[value]))
    assert bool(patterns) == bool(READINGS[value])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ('["*.json",]', "is not valid JSON"),
        ('[ "*.json"', "is not valid JSON"),
        ('{"allow": "*.json"}', "no list of strings"),
        ("[1, 2]", "no list of strings"),
        ('["*.json", null]', "no list of strings"),
        ('[["*.json"]]', "no list of strings"),
    ],
)
def test_json_that_is_no_list_of_strings_is_refused(value: str, why: str) -> None:
    with pytest.raises(InvalidConfiguration, match=why) as caught:
        read_patterns({IGNORE: value})
    assert str(caught.value).startswith(f"{IGNORE} is ")


def test_without_patterns_everything_is_kept() -> None:
    assert kept(read_patterns({}), *NAMES) == list(NAMES)
    assert not read_patterns({})


@pytest.mark.parametrize(
    ("allow", "ignore", "wanted"),
    [
        (("*.json",), (), ["config.json", "onnx/deep/a.json"]),
        (("config.json",), (), ["config.json"]),
        ((), ("onnx/*", "*.bin"), ["config.json", "model-00001.safetensors", "README.md"]),
        ((), ("onnx/",), ["config.json", "model-00001.safetensors", "model.bin", "README.md"]),
        (("onnx/",), ("*.json",), ["onnx/model.onnx"]),
        (("model-0000[1-4]*", "*.md"), (), ["model-00001.safetensors", "README.md"]),
        (("*.JSON",), (), []),
        (("./config.json",), (), []),
    ],
)
def test_patterns_match_the_relative_path(allow: tuple[str, ...], ignore: tuple[str, ...], wanted: list[str]) -> None:
    assert kept(Patterns(allow, ignore), *NAMES) == wanted


def test_everything_left_has_a_reason() -> None:
    patterns = Patterns(("*.json", "*.bin"), ("*.bin", "c*"))
    assert reasons(patterns, *NAMES) == {
        "config.json": "matches 'c*' of STORAGE_IGNORE_PATTERNS",
        "model.bin": "matches '*.bin' of STORAGE_IGNORE_PATTERNS",
        **dict.fromkeys(
            ("model-00001.safetensors", "onnx/model.onnx", "README.md"),
            "matches no pattern of STORAGE_ALLOW_PATTERNS",
        ),
    }


def test_reasons_name_where_the_patterns_came_from() -> None:
    patterns = Patterns(("*.json",), ("c*",), allow_origin="--include", ignore_origin="--exclude")
    assert reasons(patterns, "config.json", "x") == {
        "config.json": "matches 'c*' of --exclude",
        "x": ("matches no pattern of --include"),
    }


# Hypothesis ------------------------------------------------------------------------------------------------------

TEXT = st.text(st.sampled_from('ab*?[]!-/.,"\\ é\n'), max_size=8)
LIKELY_NAMES = st.text(st.sampled_from("ab[]!-/. é\n"), min_size=1, max_size=8)


@given(st.lists(TEXT), st.lists(TEXT), st.lists(LIKELY_NAMES))
def test_every_object_is_either_kept_or_left_and_in_order(
    allow: list[str], ignore: list[str], names: list[str]
) -> None:
    objects = [StoredObject(name, 1) for name in names]
    wanted, left = Patterns(tuple(allow), tuple(ignore)).select(objects)
    skipped = [entry.item for entry in left]
    assert sorted(wanted + skipped, key=lambda item: item.name) == sorted(objects, key=lambda item: item.name)
    assert wanted == [item for item in objects if item in wanted]
    assert all(entry.reason for entry in left)


@given(st.text())
def test_any_value_gives_patterns_or_a_refusal(value: str) -> None:
    try:
        patterns = read_patterns({ALLOW: value})
    except InvalidConfiguration:
        return
    assert all(each == each.strip() != "" for each in patterns.allow)


@given(st.lists(TEXT, max_size=4))
def test_a_json_list_is_read_back(patterns: list[str]) -> None:
    stripped = tuple(each.strip() for each in patterns if each.strip())
    assert read_patterns({ALLOW: json.dumps(patterns)}).allow == stripped


# Oracles: the libraries whose behaviour this is --------------------------------------------------------------------


@given(st.one_of(TEXT, st.lists(TEXT).map(json.dumps), TEXT.map(json.dumps)))
@example(" a ,b")
@example("[a]")
@example('["a"] ')
def test_values_are_read_as_kserve_reads_them(value: str) -> None:
    kserve = pytest.importorskip("kserve_storage.kserve_storage", exc_type=ImportError)
    try:
        ours = read_patterns({ALLOW: value}).allow
    except InvalidConfiguration:
        return  # stated above, case by case
    with patch.dict(os.environ, {ALLOW: value}):
        assert ours == tuple(kserve._parse_patterns_from_env(ALLOW) or ())


def without_folders(patterns: list[str]) -> list[str]:
    return [each for each in patterns if not each.endswith("/")]


@given(st.lists(TEXT.filter(str.strip)), st.lists(TEXT.filter(str.strip)), LIKELY_NAMES)
def test_names_match_as_kserve_matches_them(allow: list[str], ignore: list[str], name: str) -> None:
    kserve = pytest.importorskip("kserve_storage.kserve_storage", exc_type=ImportError)
    allow, ignore = without_folders(allow), without_folders(ignore)
    assert bool(kept(Patterns(tuple(allow), tuple(ignore)), name)) == kserve._should_download(name, allow, ignore)


# huggingface_hub takes a backslash for a slash, as on Windows; in an object store it is a letter.
HUB_TEXT = TEXT.filter(lambda text: "\\" not in text)


@given(st.lists(HUB_TEXT, min_size=1), st.lists(HUB_TEXT), st.lists(LIKELY_NAMES))
def test_names_match_as_huggingface_hub_matches_them(allow: list[str], ignore: list[str], names: list[str]) -> None:
    from huggingface_hub.utils._paths import filter_repo_objects

    expected = list(filter_repo_objects(names, allow_patterns=allow, ignore_patterns=ignore))
    assert kept(Patterns(tuple(allow), tuple(ignore)), *names) == expected
