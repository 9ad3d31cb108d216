"""`{{.Name}}` and its like in a runtime's container.

KServe renders the container's JSON as a template of Go's html/template over the service's metadata. So values are
escaped for HTML, and then read as part of a JSON string.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.kserve.errors import KServeError
from tests.kserve.go_json import container_json
from tests.kserve.manifests import Manifest, annotations_of, labels_of, name_of, namespace_of
from tests.kserve.template_parser import TemplateError
from tests.kserve.template_run import MISSING, Options, run_template, text_of

_HTML = str.maketrans(
    {"\0": "\ufffd", '"': "&#34;", "&": "&amp;", "'": "&#39;", "+": "&#43;", "<": "&lt;", ">": "&gt;"}
)


def replace_placeholders(container: Manifest, service: Manifest) -> Manifest:
    """The container with every placeholder replaced, wherever it stands.

    Raises:
        KServeError: it is no template, or no JSON afterwards.
    """
    options = Options(show=_html, functions={})
    try:
        rendered = run_template("container-tmpl", container_json(container), _ObjectMeta(service), options)
    except TemplateError as error:
        raise KServeError(str(error)) from None
    try:
        replaced = json.loads(rendered)
    except json.JSONDecodeError as error:
        raise KServeError(_words(error)) from None
    assert isinstance(replaced, dict)
    return replaced


@dataclass(frozen=True)
class _ObjectMeta:
    service: Manifest

    def field(self, name: str) -> object:
        fields = {
            "Name": name_of(self.service),
            "Namespace": namespace_of(self.service),
            "Labels": labels_of(self.service),
            "Annotations": annotations_of(self.service),
            "GenerateName": "",
        }
        if name not in fields:
            raise TemplateError(f"can't evaluate field {name} in type v1.ObjectMeta")
        return fields[name]


def _html(value: object) -> str:
    return "" if value is MISSING or value is None else text_of(value).translate(_HTML)


def _words(error: json.JSONDecodeError) -> str:
    """Go's words for the two kinds of JSON error that a value can cause."""
    at = error.doc[error.pos : error.pos + 1]
    if error.msg.startswith("Invalid control character"):
        return f"invalid character {_quoted(at)} in string literal"
    if error.msg.startswith("Invalid \\"):
        place = error.doc[error.pos + 1 : error.pos + 2]
        return f"invalid character {_quoted(place)} in string escape code"
    return f"invalid character {_quoted(at)} after array element" if at else "unexpected end of JSON input"


def _quoted(character: str) -> str:
    return {"'": "'\\''", '"': "'\"'", "\n": "'\\n'", "\t": "'\\t'", "\r": "'\\r'"}.get(character, f"'{character}'")
