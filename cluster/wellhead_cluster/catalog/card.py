"""A model card: README.md of a model's folder, with YAML in front (huggingface.co/docs/hub/model-cards). Pure.

Anybody may have written it, so nothing in it is an error: what cannot be read is left out, and said. Scalars are read
as they stand there, because cards say `language: no` and mean Norwegian.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from wellhead_cluster.catalog.documents import Unreadable, read_plain
from wellhead_cluster.catalog.model_checks import is_web_address

NAME = "README.md"
LIMIT = 256 * 1024
"""Bytes of a card that are read."""
README = 64 * 1024
"""Characters of its text that a catalog gets: Kubernetes takes 1 MiB in a ConfigMap with the whole catalog."""
REST = f"\n\n(The rest stands in {NAME} of the model's folder.)\n"

_WORD = 200  # characters of a licence's name, a task, a language
_WORDS = 100  # of them
_SENTENCE = 300  # characters of a description
_PARAGRAPH = 2000  # characters that are looked at for one
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")  # PostgreSQL refuses the first of them
_MARKUP = ("#", "<", "|", "!", "[!", "-", "*", "+", ">", "=", "$", ":::")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Card:
    """What a catalog shows of it; empty where it says nothing.

    Attributes:
        readme: the text without the YAML.
        fault: why the YAML could not be read.
    """

    description: str = ""
    readme: str = ""
    license: str = ""
    license_link: str = ""
    languages: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    library: str = ""
    base_models: tuple[str, ...] = ()
    fault: str = ""


def parse_card(raw: bytes) -> Card:
    """Read a card.

    Args:
        raw: its first `LIMIT` bytes.
    """
    text = _CONTROL.sub("", raw.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
    front, body, fault = _split(text)
    fields: dict[str, object] = {}
    if front:
        try:
            read = read_plain(front)
        except Unreadable as error:
            fault = str(error)
        else:
            fields = read if isinstance(read, dict) else {}
    link = _word(fields.get("license_link"))
    return Card(
        description=_sentence(_text(fields.get("description"))) or _first_paragraph(body),
        readme=_readme(body, whole=len(raw) < LIMIT),
        license=_license(fields),
        license_link=link if is_web_address(link) else "",
        languages=_words(fields.get("language")),
        tasks=_words(fields.get("pipeline_tag")),
        library=_word(fields.get("library_name")),
        base_models=_words(fields.get("base_model")),
        fault=fault,
    )


def _split(text: str) -> tuple[str, str, str]:
    """YAML, text, and what is wrong with the border between them."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return "", text, ""
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == "---":
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]), ""
    return "", "", "the YAML in front does not end"


def _license(fields: dict[str, object]) -> str:
    """Licences that the Hub has no id for are called `other`, and have a name beside it."""
    found = next(iter(_words(fields.get("license"))), "")
    return _word(fields.get("license_name")) or found if found in {"", "other"} else found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _word(value: object) -> str:
    word = " ".join(_text(value).split())
    return word if len(word) <= _WORD else ""


def _words(value: object) -> tuple[str, ...]:
    items: Iterable[object] = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(filter(None, map(_word, items))))[:_WORDS]


def _readme(body: str, *, whole: bool) -> str:
    body = body.strip("\n")
    if whole and len(body) <= README:
        return f"{body}\n" if body else ""
    return body[:README].rpartition("\n")[0] + REST


def _first_paragraph(body: str) -> str:
    """The first one that is prose: no heading, list, table, code, picture or HTML."""
    paragraph: list[str] = []
    fenced = False
    for line in [*body.split("\n"), ""]:
        stripped = line.strip()
        if stripped.startswith(("```", "~~~")):
            fenced = not fenced
        elif stripped and not fenced:
            paragraph.append(stripped)
            continue
        if paragraph and not paragraph[0].startswith(_MARKUP):
            return _sentence(" ".join(paragraph))
        paragraph = []
    return ""


def _sentence(text: str) -> str:
    text = _LINK.sub(r"\1", text[:_PARAGRAPH])
    text = " ".join(text.replace("**", "").replace("`", "").split())
    if len(text) <= _SENTENCE:
        return text
    return text[: _SENTENCE - 1].rpartition(" ")[0] + "…"
