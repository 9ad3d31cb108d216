"""`{{ … }}` in what becomes the server's container: KServe renders all of it as a template of Go's (kserve.md 8)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from wellhead_cluster.doctor.findings import Finding, error, warning
from wellhead_cluster.doctor.manifests import annotations_of
from wellhead_cluster.doctor.situation import Situation

_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r"`[^`]*`|\.[\w.]*|\$\w*|\w+|[^\s\w]")
_WORDS = frozenset(
    {
        *("and", "block", "break", "call", "continue", "define", "else", "end", "eq", "false", "ge", "gt", "html"),
        *("if", "index", "js", "le", "len", "lt", "ne", "nil", "not", "or", "print", "printf", "println", "range"),
        *("slice", "template", "true", "urlquery", "with"),
    }
)
_SYMBOLS = frozenset("|(),:=-")
_FIELDS = frozenset({"", "Name", "Namespace", "Labels", "Annotations", "GenerateName"})
_READS_ANNOTATION = re.compile(r"index\s+\.Annotations\s+`([^`]+)`|\.Annotations\.(\w+)")
_ESCAPED = frozenset("\"'&<>+")


def check_placeholders(situation: Situation) -> Iterator[Finding]:
    """Of an InferenceService; KServe renders LLMInferenceServices by other rules, and only their configs."""
    serving = situation.serving
    if serving is None or serving.runtime is None:
        return
    text = json.dumps(serving.pod.server, ensure_ascii=False)
    if "{{" in _ACTION.sub("", text):
        yield _no_template("an opening {{ without its }}")
    for action in _ACTION.findall(text):
        if fault := _fault(action):
            yield _no_template(f"{{{{{action}}}}}: {fault}")
    own = annotations_of(situation.service)
    for backquoted, dotted in _READS_ANNOTATION.findall(text):
        name = backquoted or dotted
        if _ESCAPED & set(own.get(name, "")):
            yield warning(
                f"an argument takes the annotation {name}, whose value has characters that KServe escapes for HTML",
                "Quotes, + & < and > arrive as &#34; and so on, which garbles JSON.",
                "Write the value into `args` itself.",
            )


def _no_template(seen: str) -> Finding:
    return error(
        f"the server's container has {seen}",
        "KServe renders the whole container as a template of Go's, and refuses the service (InvalidPredictorSpec). "
        "Chat templates and nested JSON look like one.",
        "Put the text into a file (a ConfigMap, mounted), or write } } apart in JSON.",
    )


def _fault(action: str) -> str:
    for token in _TOKEN.findall(action):
        if token.startswith("."):
            if (field := token[1:].partition(".")[0]) not in _FIELDS:
                return f"there is no field {field}"
        elif token[0] in "`$" or token.isdecimal() or token in _WORDS or token in _SYMBOLS:
            continue
        else:
            return f"{token} means nothing there"
    return ""
