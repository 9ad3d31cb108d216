"""Placeholders in a runtime's container: Go's html/template, rendered into JSON."""

from __future__ import annotations

import pytest

from tests.kserve import NotModelledError, Refused, build, recorded
from tests.kserve.errors import KServeError
from tests.kserve.placeholders import replace_placeholders

START = "failed to replace placeholders in serving runtime wellhead-vllm Container kserve-container: "


def render(argument: str, **annotations: str) -> str:
    service = recorded.annotated(recorded.inference_service(), **annotations)
    service["metadata"]["labels"] = {"team": "a&b"}
    return str(replace_placeholders({"name": "kserve-container", "args": [argument]}, service)["args"][0])


@pytest.mark.parametrize(
    ("argument", "rendered"),
    [
        ("--name={{.Name}}", "--name=llama"),
        ("{{ .Namespace }}/{{- .Name -}} /x", "team-a/llama/x"),
        ("{{.Labels.team}}", "a&amp;b"),
        ("{{.Labels.missing}}", ""),
        ("{{index .Annotations `nope`}}", ""),
        ("{{index .Annotations `a/mode`}}", "stream"),
        ("{{with index .Annotations `a/mode`}}--mode={{.}}{{else}}--mode=auto{{end}}", "--mode=stream"),
        ("{{with index .Annotations `nope`}}--mode={{.}}{{else}}--mode=auto{{end}}", "--mode=auto"),
        ("{{if eq (index .Annotations `a/mode`) `stream`}}yes{{else}}no{{end}}", "yes"),
        ("{{if ne .Name `llama`}}a{{else if .Labels.team}}b{{else}}c{{end}}", "b"),
        ("{{or (index .Annotations `nope`) .Name}}", "llama"),
        ("{{and .Name .Labels.missing}}", ""),
        ("{{if not .Labels.missing}}none{{end}}", "none"),
        ("{{.Name | printf `%s-%s` `a`}}", "a-llama"),
        ("{{len .Name}}", "5"),
        ("{{$.Name}}", "llama"),
        ("{{/* nothing */}}{{true}}", "true"),
        ("{{range .Labels}}[{{.}}]{{end}}", "[a&amp;b]"),
        ('<x>&y {"concurrency": 16, "a": {"b": 1}}', '<x>&y {"concurrency": 16, "a": {"b": 1}}'),
        ("{single} braces }} stay", "{single} braces }} stay"),
    ],
)
def test_what_is_rendered(argument: str, rendered: str) -> None:
    assert render(argument, a__mode="stream") == rendered


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ('{"a": 1}', "{&#34;a&#34;: 1}"),
        ("it's <b> & a+b", "it&#39;s &lt;b&gt; &amp; a&#43;b"),
        ("s3+stream://b/p?a=1&b=2", "s3&#43;stream://b/p?a=1&amp;b=2"),
        (r"a\tb", "a\tb"),
        (r"\u0041", "A"),
    ],
)
def test_values_are_escaped_for_html_and_read_as_json(value: str, arrives: str) -> None:
    assert render("{{index .Annotations `a`}}", a=value) == arrives


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("{{ messages[0] }}", "template: container-tmpl:1: bad character U+005B '['"),
        ("{{ bos_token }}", 'template: container-tmpl:1: function "bos_token" not defined'),
        ('{{index .Annotations "k"}}', 'template: container-tmpl:1: unexpected "\\\\" in operand'),
        ('{{"a":1}}', 'template: container-tmpl:1: unexpected "\\\\" in command'),
        ("{{}}", "template: container-tmpl:1: missing value for command"),
        ("{{ if .Name }}x", "template: container-tmpl:1: unexpected EOF"),
        ("{{ end }}", "template: container-tmpl:1: unexpected {{end}}"),
        ("{{ .Name", "template: container-tmpl:1: bad character U+0022 '\"'"),
        ("{{ (.Name }}", "template: container-tmpl:1: unclosed left paren"),
        ("{{ .Name) }}", "template: container-tmpl:1: unexpected right paren"),
        (
            "{{.Spec}}",
            'template: container-tmpl:1:38: executing "container-tmpl" at <.Spec>: '
            "can't evaluate field Spec in type v1.ObjectMeta",
        ),
        (
            "{{.Name.First}}",
            'template: container-tmpl:1:43: executing "container-tmpl" at <.Name.First>: '
            "can't evaluate field First in type string",
        ),
    ],
)
def test_what_is_no_template_is_refused_with_gos_words(argument: str, words: str) -> None:
    with pytest.raises(KServeError) as caught:
        render(argument)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("two\nlines", "invalid character '\\n' in string literal"),
        (r"C:\models", "invalid character 'm' in string escape code"),
    ],
)
def test_a_value_that_breaks_the_json_is_refused(value: str, words: str) -> None:
    with pytest.raises(KServeError) as caught:
        render("{{index .Annotations `a`}}", a=value)
    assert str(caught.value) == words


def test_the_service_is_refused_at_its_reconciliation() -> None:
    service = recorded.inference_service({"env": [{"name": "TEMPLATE", "value": "{{ bos_token }}"}]})
    with pytest.raises(Refused) as caught:
        build(recorded.cluster(), service)
    assert caught.value.stage == "reconcile"
    assert caught.value.message == START + 'template: container-tmpl:1: function "bos_token" not defined'
    assert (caught.value.reason, caught.value.status_message) == ("InvalidPredictorSpec", START.removesuffix(": "))


def test_only_the_server_and_a_transformer_are_rendered() -> None:
    own = [
        {"name": "sidecar", "image": "i", "args": ["{{.Name}}"]},
        {"name": "transformer-container", "image": "i", "args": ["{{.Name}}"]},
    ]
    pod = build(recorded.cluster(), recorded.inference_service(containers=own)).pod
    names = [each["name"] for each in pod["spec"]["containers"]]
    assert names == ["kserve-container", "transformer-container", "sidecar"]
    assert recorded.named(pod["spec"]["containers"], "transformer-container")["args"] == ["llama"]
    assert recorded.named(pod["spec"]["containers"], "sidecar")["args"] == ["{{.Name}}"]


@pytest.mark.parametrize("argument", ["{{$x := .Name}}{{$x}}", "{{urlquery .Name}}", "{{define `t`}}{{end}}"])
def test_the_rest_of_the_language_is_not_guessed(argument: str) -> None:
    with pytest.raises(NotModelledError):
        render(argument)
