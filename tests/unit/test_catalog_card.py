"""Model cards as anybody may have written them: what can be read is used, nothing else hurts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_cluster.catalog.card import LIMIT, README, REST, Card, parse_card
from wellhead_cluster.catalog.documents import read_document, write_documents
from wellhead_cluster.catalog.entry import Entry
from wellhead_cluster.catalog.kubeflow import model_document
from wellhead_cluster.catalog.model_checks import check_models

CARD = b"""---
license: apache-2.0
language:
- en
- no
pipeline_tag: text-generation
library_name: transformers
base_model: Qwen/Qwen3-8B-Base
tags: [chat]
---

# Qwen3-8B
<a href="https://chat.qwen.ai/" target="_blank">
    <img alt="Chat" src="https://img.shields.io/badge/x.svg"/>
</a>

- a list

```python
print("code")

more = "code"
```

The **latest** model of [its family](https://example.org), with `thinking`.
It spans two lines.

Another paragraph.
"""


def test_a_card_of_the_hub() -> None:
    card = parse_card(CARD)
    assert card.license == "apache-2.0"
    assert card.languages == ("en", "no"), "Norwegian, and not false"
    assert (card.tasks, card.library, card.base_models) == (
        ("text-generation",),
        "transformers",
        ("Qwen/Qwen3-8B-Base",),
    )
    assert card.description == "The latest model of its family, with thinking. It spans two lines."
    assert card.readme.startswith("# Qwen3-8B\n<a href")
    assert card.readme.endswith("Another paragraph.\n")
    assert card.fault == ""


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("license: mit", ("mit", "")),
        ("license: [mit, apache-2.0]", ("mit", "")),
        ("license: other\nlicense_name: llama3.1\nlicense_link: LICENSE", ("llama3.1", "")),
        ("license: other\nlicense_link: https://example.org/l", ("other", "https://example.org/l")),
        ("license: mit\nlicense_name: x", ("mit", "")),
        ("license: 1.0", ("1.0", "")),
        ("license: {a: b}\nlicense_link: [x]", ("", "")),
        ("license:", ("", "")),
    ],
)
def test_licences(front: str, expected: tuple[str, str]) -> None:
    card = parse_card(f"---\n{front}\n---\nx\n".encode())
    assert (card.license, card.license_link) == expected


def test_one_word_is_a_list_of_one() -> None:
    assert parse_card(b"---\nlanguage: no\n---\n").languages == ("no",)


def test_a_description_of_its_own_wins_and_is_short() -> None:
    assert parse_card(b"---\ndescription: |\n  One.\n  Two.\n---\nText.\n").description == "One. Two."
    long = parse_card(b"word " * 500).description
    assert len(long) <= 300
    assert long.endswith("word…")


@pytest.mark.parametrize("text", [b"", b"\n\n", b"# Only a title\n", b"| a | b |\n|---|---|\n", b"```\ncode\n"])
def test_without_prose_there_is_no_description(text: bytes) -> None:
    assert parse_card(text).description == ""


BROKEN = {
    "not closed": b"---\nlicense: mit\n\n# Title\n",
    "no YAML": b"---\n\tlicense: [mit\n---\nText.\n",
    "a bomb": b"---\na: &a [x,x,x]\nb: &b [*a,*a,*a]\n---\nText.\n",
    "deep": b"---\na: " + b"[" * 5000 + b"\n---\nText.\n",
    "two keys": b"---\n? [a]\n: b\n---\nText.\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_front_is_left_out_and_said(case: str) -> None:
    card = parse_card(BROKEN[case])
    assert card.fault
    assert card.license == ""
    assert card.description == ("" if case == "not closed" else "Text.")


def test_a_long_text_is_cut_at_a_line() -> None:
    card = parse_card(b"---\nlicense: mit\n---\n" + b"a line\n" * (LIMIT // 7))
    assert len(card.readme) <= README + len(REST)
    assert card.readme.endswith(f"a line{REST}")


def test_what_postgresql_refuses_is_taken_out() -> None:
    card = parse_card("\ufeff---\r\nlicense: m\x00it\r\n---\r\nA\x00 t\x1bext.\r\n".encode())
    assert (card.license, card.readme) == ("mit", "A text.\n")


SLOW = {
    "comments": b"<!--" * (LIMIT // 4),
    "brackets": b"[" * LIMIT,
    "stars": b"*" * LIMIT,
    "fences": b"```\n" * (LIMIT // 4),
    "blanks": b" " * LIMIT,
    "keys": b"---\n" + b"".join(b"key%d: [a, b]\n" % n for n in range(9000)) + b"---\n",
    "braces": b"---\n" + b"{a: " * 9000 + b"\n---\n",
    "question marks": b"---\n" + b"? " * 50_000 + b"\n---\n",
}


@pytest.mark.parametrize("case", SLOW)
def test_no_card_takes_long(case: str) -> None:
    begin = time.process_time()
    card = parse_card(SLOW[case][:LIMIT])
    assert time.process_time() - begin < 10
    assert isinstance(card, Card)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"---\n{text}\n---\n{text}".encode()))
def test_any_card_makes_an_entry_without_a_mistake(raw: bytes) -> None:
    entry = Entry("a", "s3://models/a", "stream", "safetensors", card=parse_card(raw))
    document = {"models": [model_document(entry, "")]}
    assert read_document(write_documents([document])) == document
    assert check_models(document) == []
