"""`http(s)://`: one file of a web server, or an archive of a whole model."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.storage.pod import Outcome, Pod, assert_refused
from tests.storage.tls_proxy import new_authority, tls_proxy
from tests.support.web_server import WebServer, web_server
from wellhead_storage.manifest import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.storage.model import Model

GGUF = b"GGUF" + bytes(range(256)) * 9000
HURRIED = {"WELLHEAD_STALL_TIMEOUT": "1", "WELLHEAD_RETRY_TIMEOUT": "2"}


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as running:
        running.files["/models/q4.gguf"] = GGUF
        yield running


def fetch(pod: Pod, web: WebServer, path: str = "/models/q4.gguf", **variables: str) -> Outcome:
    return pod.init(f"{web.url}{path}", **HURRIED | variables)


def tar_of(files: dict[str, bytes], folder: str = "") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{folder}{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return raw.getvalue()


# Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("lengths", [True, False])
def test_a_file_arrives_whole_whatever_the_server_can(pod: Pod, web: WebServer, ranges: bool, lengths: bool) -> None:
    web.ranges, web.lengths = ranges, lengths
    outcome = fetch(pod, web)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"q4.gguf": GGUF}
    assert pod.plan.mode == "download"
    assert pod.plan.reasons[0] == "http:// cannot be streamed by vLLM"
    assert pod.plan.weights.layout == "gguf"


def test_an_empty_file(pod: Pod, web: WebServer) -> None:
    web.files["/models/empty.bin"] = b""
    assert fetch(pod, web, "/models/empty.bin", WELLHEAD_ENGINE="").exit_code == 0
    assert pod.files == {"empty.bin": b""}


@pytest.mark.parametrize("content", [GGUF, b""])
def test_a_server_that_refuses_every_range_still_has_the_file(pod: Pod, web: WebServer, content: bytes) -> None:
    web.refuses_ranges = True
    web.files["/models/q4.gguf"] = content
    outcome = fetch(pod, web, WELLHEAD_ENGINE="")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"q4.gguf": content}


def test_a_broken_body_goes_on_from_where_it_broke_off(pod: Pod, web: WebServer) -> None:
    web.cuts = 1
    outcome = fetch(pod, web)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"q4.gguf": GGUF}
    assert [headers["range"] for _, headers in web.asked] == [
        "bytes=0-0",
        f"bytes=0-{len(GGUF) - 1}",
        f"bytes={len(GGUF) // 2}-{len(GGUF) - 1}",
    ]


def test_a_name_is_decoded(pod: Pod, web: WebServer) -> None:
    web.files["/models/my%20model%C3%A9.gguf"] = GGUF
    assert fetch(pod, web, "/models/my%20model%C3%A9.gguf").exit_code == 0
    assert list(pod.files) == ["my modelé.gguf"]


def test_the_server_may_name_the_file(pod: Pod, web: WebServer) -> None:
    web.files["/download"] = GGUF
    web.headers["/download"] = {"content-disposition": 'attachment; filename="q4.gguf"'}
    assert fetch(pod, web, "/download?id=7").exit_code == 0
    assert list(pod.files) == ["q4.gguf"]


def test_the_second_run_fetches_nothing(pod: Pod, web: WebServer) -> None:
    assert fetch(pod, web).exit_code == 0
    web.asked.clear()
    assert fetch(pod, web).exit_code == 0
    assert [headers.get("range") for _, headers in web.asked] == ["bytes=0-0"]
    web.files["/models/q4.gguf"] = GGUF + b"new"
    assert fetch(pod, web).exit_code == 0
    assert pod.files == {"q4.gguf": GGUF + b"new"}


# Editions --------------------------------------------------------------------------------------------------------

OLD, NEW = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:01 GMT"
MARKS = {
    "an ETag": [{"etag": '"1"'}, {"etag": '"2"'}],
    "a weak ETag": [{"etag": 'W/"1"'}, {"etag": 'W/"2"'}],
    "a date": [{"last-modified": OLD}, {"last-modified": NEW}],
    "an old-fashioned date": [
        {"last-modified": "Sunday, 06-Nov-94 08:49:37 GMT"},
        {"last-modified": "Sunday, 06-Nov-94 08:49:38 GMT"},
    ],
    "a weak ETag that stays, and a date": [
        {"etag": 'W/"1"', "last-modified": OLD},
        {"etag": 'W/"1"', "last-modified": NEW},
    ],
}


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("mark", MARKS)
def test_a_file_that_is_replaced_by_one_of_the_same_size_is_noticed(
    pod: Pod, web: WebServer, mark: str, ranges: bool
) -> None:
    before, after = MARKS[mark]
    web.etags, web.ranges, web.headers["/models/q4.gguf"] = False, ranges, before

    def replace(number: int) -> None:
        if number == 2:
            web.files["/models/q4.gguf"], web.headers["/models/q4.gguf"] = GGUF[::-1], after

    web.before = replace
    sentence = (
        f"{web.url}/models/q4.gguf was replaced while it was being read. Start again once the upload is finished."
    )
    assert_refused(pod, fetch(pod, web), 17, sentence)
    assert fetch(pod, web).exit_code == 0
    assert pod.files == {"q4.gguf": GGUF[::-1]}


def test_halves_of_two_editions_are_never_put_together(pod: Pod, web: WebServer) -> None:
    web.etags, web.headers["/models/q4.gguf"], web.cuts = False, {"last-modified": OLD}, 1

    def replace(number: int) -> None:
        if number == 3:  # the one that goes on
            web.files["/models/q4.gguf"], web.headers["/models/q4.gguf"] = GGUF[::-1], {"last-modified": NEW}

    web.before = replace
    outcome = fetch(pod, web)
    assert (outcome.exit_code, "was replaced while it was being read" in outcome.sentence) == (17, True)
    assert pod.files == {}


def test_a_file_that_became_smaller(pod: Pod, web: WebServer) -> None:
    web.cuts = 1
    web.before = lambda number: web.files.update({"/models/q4.gguf": b"GGUF"}) if number == 3 else None
    outcome = fetch(pod, web)
    assert (outcome.exit_code, "was replaced while it was being read" in outcome.sentence) == (17, True)


def test_a_date_that_changes_all_the_time_does_not_matter_beside_an_etag(pod: Pod, web: WebServer) -> None:
    web.before = lambda number: web.headers.update({"/models/q4.gguf": {"last-modified": [OLD, NEW][number % 2]}})
    assert fetch(pod, web).exit_code == 0
    assert pod.files == {"q4.gguf": GGUF}


def test_what_nothing_marks_comes_in_one_answer(pod: Pod, web: WebServer) -> None:
    web.etags = False
    assert fetch(pod, web).exit_code == 0
    assert pod.files == {"q4.gguf": GGUF}
    assert [headers.get("range") for _, headers in web.asked] == ["bytes=0-0", None]


# Secrets ---------------------------------------------------------------------------------------------------------


def test_the_secrets_headers_are_sent(pod: Pod, web: WebServer) -> None:
    web.needs = {"X-Api-Key": "hush-hush"}
    outcome = fetch(pod, web, **{"127.0.0.1-headers": '{"X-Api-Key": "hush-hush"}'})
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"q4.gguf": GGUF}
    assert "hush-hush" not in outcome.stderr


def test_and_to_nobody_else(pod: Pod, web: WebServer) -> None:
    with web_server() as other:
        other.files["/elsewhere.gguf"] = GGUF
        web.redirects["/models/q4.gguf"] = f"{other.url}/elsewhere.gguf"
        secret = {f"{web.host}-headers": '{"X-Api-Key": "hush-hush", "Authorization": "Bearer hush"}'}
        outcome = fetch(pod, web, **secret)
        assert outcome.exit_code == 0, outcome.stderr
        assert pod.files == {"q4.gguf": GGUF}
        assert {"x-api-key", "authorization"} <= set(web.asked[0][1])
        assert not any({"x-api-key", "authorization"} & set(headers) for _, headers in other.asked)


def test_nor_behind_a_redirect_that_comes_late(pod: Pod, web: WebServer) -> None:
    with web_server() as other:
        other.files["/models/q4.gguf"] = GGUF

        def move(number: int) -> None:
            if number == 2:
                web.redirects["/models/q4.gguf"] = f"{other.url}/models/q4.gguf"

        web.before = move
        secret = {f"{web.host}-headers": '{"X-Api-Key": "hush-hush", "Authorization": "Bearer hush"}'}
        outcome = fetch(pod, web, "/models/q4.gguf?sig=hush", **secret)
        assert outcome.exit_code == 0, outcome.stderr
        assert pod.files == {"q4.gguf": GGUF}
        assert all({"x-api-key", "authorization"} <= set(headers) for _, headers in web.asked)
        assert other.asked
        assert "hush" not in str(other.asked)


def test_a_link_that_expires_is_asked_for_again(pod: Pod, web: WebServer) -> None:
    with web_server() as other:
        other.files["/signed"] = GGUF
        other.before = lambda number: other.failures.append(403) if number == 2 else None
        web.redirects["/models/q4.gguf"] = f"{other.url}/signed"
        outcome = fetch(pod, web)
        assert outcome.exit_code == 0, outcome.stderr
        assert pod.files == {"q4.gguf": GGUF}
        assert (len(web.asked), len(other.asked)) == (2, 3)


def test_a_secret_may_name_the_client(pod: Pod, web: WebServer) -> None:
    assert fetch(pod, web, **{"127.0.0.1-headers": '{"User-Agent": "curl", "accept-encoding": "gzip"}'}).exit_code == 0
    assert {(headers["user-agent"], headers["accept-encoding"]) for _, headers in web.asked} == {("curl", "identity")}


def test_a_signed_url_is_asked_for_and_never_shown(pod: Pod, web: WebServer) -> None:
    outcome = fetch(pod, web, "/models/q4.gguf?X-Amz-Signature=abc%2Fdef&x=1", WELLHEAD_LOG_LEVEL="debug")
    assert outcome.exit_code == 0, outcome.stderr
    assert {path for path, _ in web.asked} == {"/models/q4.gguf?X-Amz-Signature=abc%2Fdef&x=1"}
    everything = outcome.stderr + "".join(path.read_text(errors="replace") for path in pod.destination.rglob("*.json"))
    assert "Signature" not in everything
    assert "abc" not in everything
    assert (pod.plan.uri, pod.plan.resolved) == (f"{web.url}/models/q4.gguf",) * 2
    manifest = parse_manifest((pod.destination / ".wellhead" / "manifest.json").read_bytes())
    assert manifest is not None
    assert manifest.source == f"{web.url}/models/q4.gguf"


@pytest.mark.parametrize("text", ["not json", "[]", '{"a": 1}'])
def test_malformed_headers_are_named_and_not_shown(pod: Pod, web: WebServer, text: str) -> None:
    outcome = fetch(pod, web, **{"127.0.0.1-headers": text})
    sentence = f"The headers for {web.host} are no JSON object of strings. Correct `headers` in the secret."
    assert_refused(pod, outcome, 19, sentence)


UNSENDABLE = {
    r'{"X-Api-Key": "hush\n"}': "The header X-Api-Key for {host} has a value with line breaks, control characters or "
    "letters outside ASCII.",
    r'{"X-Api-Key": "hush\u00e9"}': "The header X-Api-Key for {host} has a value with line breaks, control characters "
    "or letters outside ASCII.",
    r'{"hush: hush": "x"}': "The headers for {host} have a name that is none.",
    r'{"": "hush"}': "The headers for {host} have a name that is none.",
}


@pytest.mark.parametrize("text", UNSENDABLE)
def test_headers_that_cannot_be_sent_are_named_and_not_shown(pod: Pod, web: WebServer, text: str) -> None:
    outcome = fetch(pod, web, **{"127.0.0.1-headers": text}, WELLHEAD_LOG_LEVEL="debug")
    assert (outcome.exit_code, web.asked) == (19, [])
    assert outcome.message.startswith(f"{UNSENDABLE[text].format(host=web.host)} Correct `headers` in the secret")
    assert "hush" not in outcome.stderr


# Refusals --------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(pod: Pod, web: WebServer) -> None:
    outcome = fetch(pod, web, "/models/none.gguf")
    assert_refused(pod, outcome, 11, f"{web.url}/models/none.gguf does not exist. Check the URL.")


def test_a_file_that_goes_away_meanwhile(pod: Pod, web: WebServer) -> None:
    web.before = lambda number: web.files.clear() if number == 2 else None
    outcome = fetch(pod, web)
    assert_refused(pod, outcome, 11, f"{web.url}/models/q4.gguf does not exist. Check the URL.")


def test_a_login(pod: Pod, web: WebServer) -> None:
    web.needs = {"authorization": "Bearer x"}
    outcome = fetch(pod, web)
    assert outcome.exit_code == 12
    assert outcome.sentence.startswith(f"The server refuses access to {web.url}/models/q4.gguf (status 401)")


def test_a_page_instead_of_a_file(pod: Pod, web: WebServer) -> None:
    web.files["/models/q4.gguf"] = b"<html>please log in</html>"
    web.headers["/models/q4.gguf"] = {"content-type": "text/html; charset=utf-8"}
    outcome = fetch(pod, web)
    assert outcome.exit_code == 12
    assert "answers with a web page instead of a file" in outcome.sentence


def test_redirects_in_a_circle(pod: Pod, web: WebServer) -> None:
    web.redirects |= {"/models/q4.gguf": "/a", "/a": "/models/q4.gguf"}
    outcome = fetch(pod, web)
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith(f"{web.url}/models/q4.gguf redirects in a circle.")
    assert pod.is_untouched


def test_redirects_that_become_a_circle(pod: Pod, web: WebServer) -> None:
    web.before = lambda number: web.redirects.update({"/models/q4.gguf": "/models/q4.gguf"}) if number == 2 else None
    outcome = fetch(pod, web)
    assert (outcome.exit_code, pod.files) == (19, {})
    assert outcome.sentence.startswith(f"{web.url}/models/q4.gguf redirects in a circle.")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/q4.gguf", "data:,GGUF"])
def test_a_redirect_to_what_is_no_web_server(pod: Pod, web: WebServer, target: str, late: bool) -> None:
    web.before = lambda number: web.redirects.update({"/models/q4.gguf": target}) if number > late else None
    scheme = target.partition(":")[0]
    sentence = f"{web.url}/models/q4.gguf redirects to {scheme}://, which is not followed. Check the URL."
    assert_refused(pod, fetch(pod, web), 10, sentence)


@pytest.mark.parametrize("target", ["http://[::1/q4.gguf", "http://127.0.0.1:port/q4.gguf"])
def test_a_redirect_to_no_address(pod: Pod, web: WebServer, target: str) -> None:
    web.redirects["/models/q4.gguf"] = target
    sentence = f"{web.url}/models/q4.gguf leads to an address that is none. Check the URL."
    assert_refused(pod, fetch(pod, web), 10, sentence)


def test_a_redirect_out_of_tls_is_not_followed_with_a_secret(pod: Pod, web: WebServer, tmp_path: Path) -> None:
    authority = new_authority(tmp_path)
    with web_server() as other, tls_proxy(web.url, authority.issue(tmp_path / "cert.pem", "127.0.0.1")) as endpoint:
        other.files["/q4.gguf"] = GGUF
        web.redirects["/models/q4.gguf"] = f"{other.url}/q4.gguf"
        trust = {"SSL_CERT_FILE": str(authority.bundle), **HURRIED}
        outcome = pod.init(f"{endpoint}/models/q4.gguf", **trust, **{"127.0.0.1-headers": '{"X-Api-Key": "hush"}'})
        assert_refused(
            pod,
            outcome,
            10,
            f"{endpoint}/models/q4.gguf redirects from https:// to http://, which is not followed where a secret has "
            "headers for the server. Correct the server's redirect, or name the address that it leads to.",
        )
        assert other.asked == []
        assert pod.init(f"{endpoint}/models/q4.gguf", **trust).exit_code == 0
        assert pod.files == {"q4.gguf": GGUF}


def test_a_directory_names_no_file(pod: Pod, web: WebServer) -> None:
    web.files["/"] = b"x"
    outcome = fetch(pod, web, "/")
    assert (outcome.exit_code, "names no file" in outcome.sentence) == (10, True)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "host.invalid"])
def test_nobody_is_there(pod: Pod, host: str) -> None:
    """Which is believed at once, whatever the patience with a server that answers."""
    outcome = pod.init(f"http://{host}/model.gguf")
    assert outcome.exit_code == 16
    assert outcome.sentence.startswith(f"http://{host}/model.gguf does not come from {host}: it cannot be reached.")
    assert "trying again" not in outcome.stderr


def test_a_busy_server_is_asked_again(pod: Pod, web: WebServer) -> None:
    web.failures = [503, 429, 500]
    outcome = fetch(pod, web, WELLHEAD_RETRY_TIMEOUT="20")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"q4.gguf": GGUF}


def test_a_private_authority(pod: Pod, web: WebServer, tmp_path: Path) -> None:
    authority = new_authority(tmp_path)
    with tls_proxy(web.url, authority.issue(tmp_path / "cert.pem", "127.0.0.1")) as endpoint:
        refused = pod.init(f"{endpoint}/models/q4.gguf")
        assert "trying again" not in refused.stderr
        assert (refused.exit_code, "TLS certificate is not trusted" in refused.sentence) == (16, True)
        outcome = pod.init(f"{endpoint}/models/q4.gguf", SSL_CERT_FILE=str(authority.bundle), **HURRIED)
        assert outcome.exit_code == 0, outcome.stderr
        assert pod.files == {"q4.gguf": GGUF}


# Archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "llama-3/", "./"])
def test_an_archive_becomes_the_model(pod: Pod, web: WebServer, llama: Model, folder: str) -> None:
    web.files["/llama.tar.gz"] = tar_of(llama.files, folder)
    outcome = fetch(pod, web, "/llama.tar.gz")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == llama.files
    assert pod.plan.weights.tensors == 9
    assert pod.plan.reasons[0] == "llama.tar.gz is an archive, which is unpacked"
    assert pod.own_files == ["manifest.json", "plan.json"]


@pytest.mark.parametrize("folder", ["", "llama-3/"])
def test_an_unpacked_archive_is_recognised(pod: Pod, web: WebServer, llama: Model, folder: str) -> None:
    web.files["/llama.tar.gz"] = tar_of(llama.files, folder)
    assert fetch(pod, web, "/llama.tar.gz").exit_code == 0
    web.asked.clear()
    again = fetch(pod, web, "/llama.tar.gz")
    assert again.exit_code == 0, again.stderr
    assert [headers.get("range") for _, headers in web.asked] == ["bytes=0-0"]
    assert "llama.tar.gz is unpacked in" in again.stderr
    assert pod.files == llama.files
    assert pod.plan.fetched.files == 0


def test_an_unpacked_archive_of_another_edition_or_with_a_changed_file_is_not(
    pod: Pod, web: WebServer, llama: Model
) -> None:
    web.files["/llama.tar.gz"] = tar_of(llama.files)
    assert fetch(pod, web, "/llama.tar.gz").exit_code == 0
    (pod.destination / "tokenizer.json").write_bytes(b"{}")
    assert fetch(pod, web, "/llama.tar.gz").exit_code == 0
    assert pod.files == llama.files
    newer = {**llama.files, "notes.txt": b"new"}
    del newer["tokenizer.json"]
    web.files["/llama.tar.gz"] = tar_of(newer)
    assert fetch(pod, web, "/llama.tar.gz").exit_code == 0
    assert pod.files == newer


def test_a_folder_that_was_lifted_is_not_taken_for_what_other_engines_get(
    pod: Pod, web: WebServer, llama: Model
) -> None:
    web.files["/llama.tgz"] = tar_of(llama.files, "llama-3/")
    always = {"WELLHEAD_MANIFEST": "always"}
    assert fetch(pod, web, "/llama.tgz", **always).exit_code == 0
    assert fetch(pod, web, "/llama.tgz", WELLHEAD_ENGINE="", **always).exit_code == 0
    assert pod.files == {f"llama-3/{name}": data for name, data in llama.files.items()}
    assert fetch(pod, web, "/llama.tgz", WELLHEAD_ENGINE="", **always).exit_code == 0
    assert fetch(pod, web, "/llama.tgz", **always).exit_code == 0
    assert pod.files == llama.files


def test_for_other_engines_it_is_what_kserve_leaves(pod: Pod, web: WebServer, llama: Model) -> None:
    web.files["/llama.tgz"] = tar_of(llama.files, "llama-3/")
    assert fetch(pod, web, "/llama.tgz", WELLHEAD_ENGINE="").exit_code == 0
    assert pod.files == {f"llama-3/{name}": data for name, data in llama.files.items()}
    assert pod.own_files == []


def test_a_zip(pod: Pod, web: WebServer) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("model.joblib", b"sklearn")
    web.files["/model.zip"] = raw.getvalue()
    assert fetch(pod, web, "/model.zip", WELLHEAD_ENGINE="").exit_code == 0
    assert pod.files == {"model.joblib": b"sklearn"}


def test_a_lone_archive_in_a_bucket_is_unpacked_too(pod: Pod, llama: Model, new_model: object) -> None:
    name = "archived/llama.tar.gz"
    llama.store.put("models", name, tar_of(llama.files))
    outcome = pod.init("s3://models/archived")
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == llama.files


def test_an_archive_with_a_way_out_is_refused_by_name(pod: Pod, web: WebServer) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        entry = tarfile.TarInfo("../../evil")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    web.files["/evil.tar"] = raw.getvalue()
    outcome = fetch(pod, web, "/evil.tar")
    assert (outcome.exit_code, "'../../evil'" in outcome.sentence) == (17, True)
    assert pod.is_untouched


def test_an_archive_that_is_none(pod: Pod, web: WebServer) -> None:
    web.files["/model.zip"] = b"<xml>oops</xml>"
    outcome = fetch(pod, web, "/model.zip")
    assert (outcome.exit_code, outcome.sentence.startswith("model.zip is no readable archive")) == (13, True)
    assert pod.is_untouched
