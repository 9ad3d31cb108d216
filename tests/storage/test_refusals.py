"""What a store, a network or a setting refuses: one sentence in the log and in the termination message, in seconds."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model
from tests.storage.pod import Outcome, Pod, assert_refused, side_by_side
from tests.storage.signed import put_policy
from tests.storage.stub_s3 import StubS3, stub_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.seaweedfs import SeaweedFS

CHECK_SECRET = "Check the secret on the service account and the bucket's policy (s3:ListBucket, s3:GetObject)."
LLAMA = "s3://models/llama"
UNREACHABLE = f"The store of {LLAMA} cannot be reached at"

# URI, variables, exit code, sentence
REFUSALS: dict[str, tuple[str, dict[str, str | None], int, str]] = {
    "wrong access key id": (
        LLAMA,
        {"AWS_ACCESS_KEY_ID": "AKIAWRONG"},
        12,
        f"The store refuses access to {LLAMA}: it does not know the access key id. {CHECK_SECRET}",
    ),
    "wrong secret access key": (
        LLAMA,
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        12,
        f"The store refuses access to {LLAMA}: the secret access key does not belong to the access key id. "
        + CHECK_SECRET,
    ),
    "half a key pair": (
        LLAMA,
        {"AWS_SECRET_ACCESS_KEY": None},
        19,
        "AWS_SECRET_ACCESS_KEY is missing while the other half of the pair is set. Give both.",
    ),
    "no credentials at all": (
        LLAMA,
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
        12,
        (
            f"There are no credentials for {LLAMA} in this container. Put a secret with AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY on the pod's service account, or set awsAnonymousCredential to true for a public "
            "bucket."
        ),
    ),
    "anonymous access to a private bucket": (
        LLAMA,
        {"awsAnonymousCredential": "true"},
        12,
        f"The store refuses access to {LLAMA}: these credentials may not read it. {CHECK_SECRET}",
    ),
    "missing bucket": (
        "s3://no-such-bucket/llama",
        {},
        11,
        "The bucket of s3://no-such-bucket/llama does not exist. Check the bucket name and endpoint.",
    ),
    "empty prefix": (
        "s3://models/no-such-folder",
        {},
        11,
        "s3://models/no-such-folder holds no objects. Check the path; names are case-sensitive.",
    ),
    "the beginning of a name": (
        "s3://models/llam",
        {},
        11,
        "s3://models/llam holds no objects. Check the path; names are case-sensitive.",
    ),
    "malformed storage configuration": (
        LLAMA,
        {"STORAGE_CONFIG": '{"type": "s3", "secret_access_key": "hush'},
        19,
        "STORAGE_CONFIG is not a JSON object. Correct the storage-config secret.",
    ),
    "storage configuration that is a list": (
        LLAMA,
        {"STORAGE_CONFIG": "[]"},
        19,
        "STORAGE_CONFIG is not a JSON object. Correct the storage-config secret.",
    ),
    "absent CA bundle": (
        LLAMA,
        {"AWS_CA_BUNDLE": "/nowhere/ca.crt"},
        19,
        (
            "The CA bundle /nowhere/ca.crt does not exist in this container. Check the ConfigMap named by "
            "AWS_CA_BUNDLE_CONFIGMAP, or the path in AWS_CA_BUNDLE."
        ),
    ),
    "unknown mode": (
        LLAMA,
        {"WELLHEAD_MODE": "sideways"},
        19,
        (
            "WELLHEAD_MODE='sideways' is not valid: input should be 'auto', 'stream' or 'download'. Correct the "
            "variable, or the annotation that feeds it."
        ),
    ),
    "KServe's own mounts": (
        "pvc://claim/llama",
        {},
        10,
        (
            "pvc:// is mounted by KServe itself and needs no initializer. Use it as storageUri, or name the mounted "
            "path."
        ),
    ),
    "no scheme": (
        "models/llama",
        {},
        10,
        (
            "'models/llama' is not a model URI: it has no scheme. Write s3://bucket/path, hf://owner/model, or an "
            "absolute path."
        ),
    ),
    "a way out of the folder": (
        "s3://models/llama/../secret",
        {},
        10,
        "'s3://models/llama/../secret' contains a '.' or '..' segment. Name the folder itself.",
    ),
    "TLS to a port without TLS": (
        LLAMA,
        {"AWS_ENDPOINT_URL": "https://{store}"},
        16,
        f"{UNREACHABLE} https://{{store}}: it does not speak TLS. Use an http:// endpoint, or S3_USE_HTTPS=0.",
    ),
    "a port where nobody listens": (
        LLAMA,
        {"AWS_ENDPOINT_URL": "http://{nobody}"},
        16,
        f"{UNREACHABLE} http://{{nobody}}: it refuses connections. Check the endpoint's port and that the store runs.",
    ),
    "a host that does not exist": (
        LLAMA,
        {"AWS_ENDPOINT_URL": "http://host.invalid:9000"},
        16,
        f"{UNREACHABLE} http://host.invalid:9000: its host name cannot be resolved. Check the endpoint's host name.",
    ),
}


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """A port that is taken, so that no other test gets it, and on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def stub() -> Iterator[StubS3]:
    with stub_s3() as running:
        yield running


@pytest.fixture(scope="module")
def filled(store: SeaweedFS, nobody: str) -> Callable[[str], str]:
    """Puts addresses in the places of their names."""
    address = store.endpoint_url.partition("://")[2]
    return lambda text: text.replace("{store}", address).replace("{nobody}", nobody)


@pytest.fixture(scope="module")
def ends(new_pod: Callable[[], Pod], llama: Model, filled: Callable[[str], str]) -> dict[str, tuple[Pod, Outcome]]:
    """How each of them ends; most of the time goes into asking again."""

    def run(uri: str, environment: dict[str, str | None]) -> tuple[Pod, Outcome]:
        pod = new_pod()
        return pod, pod.init(uri, **{name: value and filled(value) for name, value in environment.items()})

    return side_by_side({name: partial(run, uri, given) for name, (uri, given, *_) in REFUSALS.items()})


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_sentence(
    ends: dict[str, tuple[Pod, Outcome]], filled: Callable[[str], str], case: str
) -> None:
    *_, code, sentence = REFUSALS[case]
    assert_refused(*ends[case], code, filled(sentence))


@pytest.mark.parametrize("uri", ["ftp://models/llama", "minio://models/llama"])
def test_an_unknown_scheme_is_answered_with_the_known_ones(pod: Pod, uri: str) -> None:
    outcome = pod.init(uri)
    assert outcome.exit_code == 10
    assert outcome.sentence.startswith(f"'{uri}' has the unknown scheme {uri.partition(':')[0]}://. Known are s3://,")
    assert pod.is_untouched


def test_a_bucket_that_may_be_listed_and_not_read(pod: Pod, store: SeaweedFS, checkpoint_in_locked_bucket: str) -> None:
    outcome = pod.init(checkpoint_in_locked_bucket)
    assert outcome.exit_code == 12
    assert outcome.sentence.startswith("The store refuses access to s3://locked/llama/")
    assert outcome.sentence.endswith(f": these credentials may not read it. {CHECK_SECRET}")
    assert pod.is_untouched


@pytest.fixture
def checkpoint_in_locked_bucket(store: SeaweedFS, llama: Model) -> str:
    store.create_bucket("locked")
    store.put_folder("locked", "llama", llama.original)
    put_policy(store, "locked", "Deny", "s3:GetObject")
    return "s3://locked/llama"


# status, error code, exit code, words
ANSWERS: dict[str, tuple[int, str, int, str]] = {
    "expired session": (400, "ExpiredToken", 12, "the session token has expired"),
    "wrong clock": (403, "RequestTimeTooSkewed", 12, "this machine's clock differs from its own"),
    "another region": (301, "PermanentRedirect", 19, "lies in another region than the one asked"),
    "malformed": (400, "InvalidRequest", 19, "rejects the request for s3://models/llama as malformed (InvalidRequest)"),
    "not S3 at all": (404, "", 11, "s3://models/llama does not exist"),
    "forbidden by a proxy": (403, "", 12, "refuses access to s3://models/llama: status 403"),
}


@pytest.mark.parametrize(("status", "error", "code", "words"), ANSWERS.values(), ids=ANSWERS)
def test_what_other_stores_answer(pod: Pod, stub: StubS3, status: int, error: str, code: int, words: str) -> None:
    stub.refusals, stub.refuses_forever = [(status, error)], True
    outcome = pod.init(LLAMA, **stub.environment)
    assert outcome.exit_code == code
    assert words in outcome.sentence
    assert pod.is_untouched


def test_a_store_that_is_busy_is_asked_again(pod: Pod, stub: StubS3) -> None:
    stub.objects = [("llama/config.json", b"{}")]
    stub.refusals = [(503, "SlowDown"), (503, "SlowDown"), (500, "InternalError")]
    outcome = pod.init(LLAMA, **stub.environment)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == {"config.json": b"{}"}


def test_a_store_that_stays_busy_is_given_up(pod: Pod, stub: StubS3) -> None:
    stub.refusals, stub.refuses_forever = [(503, "SlowDown")], True
    outcome = pod.init(LLAMA, WELLHEAD_RETRY_TIMEOUT="2", **stub.environment)
    sentence = f"The store keeps answering 503 SlowDown for {LLAMA}. Try again later, or look at the store's own log."
    assert_refused(pod, outcome, 16, sentence)


def test_a_store_without_ranges_is_refused(pod: Pod, stub: StubS3) -> None:
    stub.objects, stub.ignores_ranges = [("llama/config.json", b"{}")], True
    sentence = (
        "s3://models/llama/config.json came whole where a part was asked for. "
        "Use a store that serves ranges, or check the proxy or cache in front of it."
    )
    assert_refused(pod, pod.init(LLAMA, **stub.environment), 17, sentence)
