"""The page of error texts: everything it quotes is said by somebody, and everything of a kind is there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.kserve import recorded
from tests.unit.pages import page
from tests.unit.spoken import BLANK, errors_saying, is_said
from wellhead_runtime.arguments import parse_arguments
from wellhead_runtime.diagnosis import _CAUSES, likely_cause
from wellhead_storage import errors
from wellhead_storage.credentials.seal import unseal
from wellhead_storage.decision import refusal
from wellhead_storage.errors import WellheadError
from wellhead_storage.files import require_space
from wellhead_storage.plan import read_plan
from wellhead_storage.settings import read_settings
from wellhead_storage.stores import failures, http_failures, hub_failures
from wellhead_storage.uri import parse

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, WellheadError)]
ENGINE = "vLLM ended"
NOTHING = "\N{EN DASH}"
KSERVE = "What KServe and Kubernetes say"


class Entry(NamedTuple):
    """One text of the page, the headings above it, and what is explained below it."""

    text: str
    section: str
    heading: str
    explained: str


def entries_of(text: str) -> list[Entry]:
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        for part in re.split(r"^###+ ", section, flags=re.MULTILINE):
            heading = part.partition("\n")[0]
            for item in re.findall(r"^- (.*(?:\n  .*)*)", part, re.MULTILINE):
                first, _, rest = item.partition("\n")
                [quoted] = spans(first)
                found.append(Entry(quoted, section.partition("\n")[0], heading, rest))
    return found


def spans(text: str) -> list[str]:
    """Everything that is written as code."""
    return [(double or single).strip() for double, single in re.findall(r"``(.+?)``|`([^`]+)`", text, re.DOTALL)]


@cache
def entries() -> list[Entry]:
    return entries_of(page("troubleshooting"))


def of_kserve() -> list[str]:
    return [each.text for each in entries() if each.heading == KSERVE]


def of_the_engine() -> list[Entry]:
    return [each for each in entries() if each.text.startswith(ENGINE)]


def wildcard(text: str) -> str:
    return ".*".join(re.escape(part) for part in text.split(BLANK))


def kinds_saying(text: str) -> set[str]:
    """Of errors; a text that ends in ` …` may leave out a hint that an entry above it shows."""
    return errors_saying(text) | errors_saying(text.removesuffix(f" {BLANK}"))


def strangers(text: str) -> list[str]:
    """Entries of a page, other than KServe's, that nothing in the code says."""
    ours = [each.text for each in entries_of(text) if each.heading != KSERVE]
    return [each for each in ours if not is_said(each) and not kinds_saying(each)]


class TestOurs:
    def test_every_text_is_said_by_the_code(self) -> None:
        assert len(entries()) > 150
        assert strangers(page("troubleshooting")) == []

    @pytest.mark.parametrize(
        "text",
        [
            "The bucket of … has gone away. Check the bucket name and endpoint.",
            "The bucket of … does not exist. Pray.",
            "The store refuses access to …: it does not like the access key id. …",
            "vLLM ended … (…): CUDA out of mammoths. Use fewer.",
            "Anything at all, as long as nobody says it",
            "…",
        ],
    )
    def test_a_text_that_nobody_says_would_be_found(self, text: str) -> None:
        assert strangers(f"## Init container\n\n### 12: `AccessDenied`\n\n- `{text}`\n  Do.\n") == [text]

    def test_one_changed_word_would_be_found_in_every_text(self) -> None:
        for each in entries():
            if each.heading != KSERVE:
                word = max(re.findall("[A-Za-z]+", each.text), key=len)
                changed = each.text.replace(word, "mammoth")
                assert not is_said(changed), changed
                assert not kinds_saying(changed), changed

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_error_is_there_under_its_code(self, kind: type[WellheadError]) -> None:
        own = [
            each
            for each in entries()
            if f"`{kind.__name__}`" in each.heading and kind.__name__ in kinds_saying(each.text)
        ]
        assert own
        if kind is not errors.EngineFailed:  # its code is vLLM's
            assert {int(each.heading.partition(":")[0]) for each in own} == {kind.exit_code}

    def test_a_text_under_an_error_is_that_errors(self) -> None:
        for each in entries():
            if (named := re.search(r"`(\w+)`", each.heading)) and hasattr(errors, named[1]):
                assert named[1] in kinds_saying(each.text), each.text

    def test_no_text_stands_there_twice(self) -> None:
        texts = [each.text for each in entries()]
        assert sorted(texts) == sorted(set(texts))


class TestEngine:
    @pytest.mark.parametrize(("pattern", "cause", "hint"), _CAUSES)
    def test_every_cause_is_there_with_what_to_do(self, pattern: str, cause: str, hint: str) -> None:
        sentence = f"{ENGINE} … (…): {cause}{': …' if '?P<' in pattern else ''}. {hint}"
        assert sentence in [each.text for each in of_the_engine()]

    def test_what_vllm_writes_leads_to_the_sentence_above_it(self) -> None:
        quoted = 0
        for each in of_the_engine():
            written = each.explained.partition("vLLM's log:")[2].partition(". ")[0]
            for text in spans(written):
                cause, hint = likely_cause([text.replace(BLANK, "['x']"), ""])
                sentence = f"{ENGINE} before it was ready (exit code 1): {cause}. {hint}"
                assert re.fullmatch(wildcard(each.text), sentence), text
                quoted += 1
        assert quoted > 30

    def test_every_cause_quotes_vllm(self) -> None:
        quoting = [each for each in of_the_engine() if "vLLM's log: `" in each.explained]
        assert len(quoting) == len(_CAUSES)


def _refused_bucket() -> WellheadError:
    text = "Client error with status code: 404 Not Found: <Code>NoSuchBucket</Code>"
    return failures.explain(OSError(text), "s3://models/llama")


def _refused_key() -> WellheadError:
    text = "Client error with status code: 403 Forbidden: <Code>InvalidAccessKeyId</Code>"
    return failures.explain(OSError(text), "s3://models/llama")


def _no_such_host() -> WellheadError:
    return failures.explain(
        OSError("error performing GET http://minio.example:9000/models: dns error"), "s3://models/llama"
    )


def _gated() -> WellheadError:
    uri = parse("hf://owner/model")
    headers = {"x-error-code": "GatedRepo"}
    return hub_failures.refused(401, headers, uri.location, uri, "https://huggingface.co", signed=False)


def _web_server() -> WellheadError:
    return http_failures.refused(401, parse("https://models.example/llama.tar"), has_headers=False)


def _read(content: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (folder / ".wellhead").mkdir()
        (folder / ".wellhead" / "plan.json").write_text(content)
        return read_plan(folder)

    return read


CALLS: dict[str, Callable[[Path], object]] = {
    "no scheme": lambda folder: parse("models/llama"),
    "unknown scheme": lambda folder: parse("ftp://models/llama"),
    "signature": lambda folder: parse("s3://models/llama?X-Amz-Signature=x"),
    "empty": lambda folder: parse(""),
    "double slash": lambda folder: parse("s3://bucket/models//llama"),
    "model twice": lambda folder: parse_arguments(["--model", "a", "--model", "b"]),
    "extra config": lambda folder: parse_arguments(["--model-loader-extra-config", "8"]),
    "space": lambda folder: require_space(folder, 2**60),
    "setting": lambda folder: read_settings({"WELLHEAD_MODE": "fast"}),
    "damaged plan": _read("{"),
    "newer plan": _read('{"version": "99.0"}'),
    "seal": lambda folder: unseal(b"x", b"token", "s3://models/llama"),
}
MADE: dict[str, Callable[[], WellheadError]] = {
    "bucket": _refused_bucket,
    "key": _refused_key,
    "host": _no_such_host,
    "gated": _gated,
    "web server": _web_server,
    "not streamable": lambda: refusal(parse("hf://owner/model"), ["hf:// cannot be streamed by vLLM"]),
}


class TestSpoken:
    """The sentences of failures that really happen are found on the page by what they say."""

    @pytest.mark.parametrize("case", CALLS)
    def test_a_failure(self, case: str, tmp_path: Path) -> None:
        with pytest.raises(WellheadError) as caught:
            CALLS[case](tmp_path)
        assert on_the_page(caught.value)

    @pytest.mark.parametrize("case", MADE)
    def test_an_answer_of_a_store(self, case: str) -> None:
        assert on_the_page(MADE[case]())


def on_the_page(error: WellheadError) -> list[str]:
    kind = type(error).__name__
    return [
        each.text
        for each in entries()
        if f"`{kind}`" in each.heading and re.fullmatch(wildcard(each.text), str(error), re.DOTALL)
    ]


@cache
def recordings() -> dict[str, list[str]]:
    """Every sentence of KServe's, by the case in which it was recorded."""
    files = sorted(recorded.V0_20.parent.glob("*/*/refused.yaml"))
    return {path.parent.name: list(sentences(yaml.safe_load(path.read_text()))) for path in files}


def sentences(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [text for each in node.values() for text in sentences(each)]
    if isinstance(node, list):
        return [text for each in node for text in sentences(each)]
    return [str(node)]


def kserve_says(text: str, said: list[str]) -> bool:
    return any(re.search(wildcard(text), each) for each in said)


class TestKServe:
    def test_every_text_was_recorded(self) -> None:
        everything = [each for said in recordings().values() for each in said]
        assert [text for text in of_kserve() if not kserve_says(text, everything)] == []

    def test_a_text_that_was_not_recorded_would_be_found(self) -> None:
        everything = [each for said in recordings().values() for each in said]
        assert not kserve_says('ClusterStorageContainer "…" is tired', everything)

    @pytest.mark.parametrize("case", recordings())
    def test_every_refusal_is_there(self, case: str) -> None:
        assert [text for text in of_kserve() if kserve_says(text, recordings()[case])]

    def test_what_the_model_status_says_beside_it(self) -> None:
        quoted = {span for each in entries() if each.heading == KSERVE for span in spans(each.explained)}
        failures_ = [
            status["lastFailureInfo"]
            for path in recorded.V0_20.glob("*/refused.yaml")
            for status in [(yaml.safe_load(path.read_text()).get("status") or {}).get("modelStatus") or {}]
            if "lastFailureInfo" in status
        ]
        reasons = {each["message"] for each in failures_} - set(of_kserve())
        assert {each for each in reasons if not each.startswith("failed to replace")} <= quoted

    def test_the_table_of_states_is_the_recorded_one(self) -> None:
        table = page("troubleshooting").partition("| `lastFailureInfo.message` ")[2].partition("\n\n")[0]
        rows = [[cell.strip(" `") for cell in line.strip(" |").split(" | ")] for line in table.splitlines()[2:]]
        shown = {(target, transition, message != NOTHING) for target, transition, message, _ in rows}
        statuses = [each["modelStatus"] for each in yaml.safe_load((recorded.V0_20 / "model-status.yaml").read_text())]
        seen = {
            (
                each["states"]["targetModelState"],
                each["transitionStatus"],
                "message" in each.get("lastFailureInfo", {}) or each["states"]["targetModelState"] == "Pending",
            )
            for each in statuses
        }
        assert shown == seen | {("FailedToLoad", "InvalidSpec", True), ("Loaded", "UpToDate", True)}
