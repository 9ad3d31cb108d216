"""The grammar: text → `StorageUri`, one function for each kind of store."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import parse_qsl, unquote

from wellhead_storage.azure_hosts import PUBLIC, azure_host, is_account, is_blob_host, is_files_host
from wellhead_storage.errors import InvalidUri
from wellhead_storage.uri.model import STREAMABLE, WRAPPER, Kind, StorageUri

_KINDS: dict[str, Kind] = {
    "s3": "s3",
    "gs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
    "hf": "hf",
    "http": "http",
    "https": "http",
    "file": "file",
    "pvc": "mounted",
    "oci": "mounted",
    "oci+native": "mounted",
    "oci+fetch": "mounted",
    "oci+modelcar": "mounted",
    "model-registry": "registry",
    "hdfs": "delegated",
    "webhdfs": "delegated",
    "modelscope": "delegated",
}
_SIGNATURES = {"sig", "x-amz-signature", "x-goog-signature"}  # of Azure, S3 and GCS; they are credentials
_PLACEHOLDER = "<scheme-placeholder>://"  # as it stands, in storage-initializer-sourceuri (kserve.md 4.4)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://(.*)", re.DOTALL)
# KServe allows a user name in front of a Git host; access tokens, often put there, must not get into plans and logs.
_GIT_USER = re.compile(r"(?!gh[a-z]_|github_pat_|gl[a-z]+-|hf_)[A-Za-z0-9._-]{1,39}")
_OTHER_REPOSITORIES = {"datasets", "spaces", "buckets", "kernels"}  # huggingface_hub's own hf:// URIs start with them
_S3_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # how Python shows bytes of argv that are not UTF-8
_PASSWORD = re.compile(r"[^/?]*:[^/?]*@")


def parse(text: str) -> StorageUri:
    """Parse a storage URI or a plain absolute path.

    Raises:
        InvalidUri: unknown scheme, no bucket, control characters, a `..` segment, or a spelling whose normal form
            would mean something else (a key that ends in a blank, an encoded `?`).
    """
    uri = _parse(text)
    try:
        stable = _parse(str(uri)) == uri
    except InvalidUri:
        stable = False
    if not stable:
        shown, normal = uri.as_asked(text), uri.public
        raise InvalidUri(f"{shown!r} is ambiguous: its normal form is {normal!r}.", "Rename the folder.")
    return uri


def _parse(text: str) -> StorageUri:
    if not text.strip():
        raise InvalidUri("The model URI is empty.", "Give storageUri something like s3://bucket/models/llama.")
    without_query = text.partition("?")[0]
    if _CONTROL.search(text):
        raise InvalidUri(f"The model URI {without_query!r} contains control characters.", "Remove them.")
    if _SURROGATE.search(text):
        raise InvalidUri(f"The model URI {without_query!r} is not valid UTF-8.", "Write it in UTF-8.")
    text = text.strip()
    if text.startswith("/"):
        return _file(text)
    if text.startswith(_PLACEHOLDER):
        path = text.removeprefix(_PLACEHOLDER)
        raise InvalidUri(
            f"{text!r} is what KServe notes for `storage.path` in an annotation, and no model URI.",
            f"Write s3://bucket/{path}, with the bucket of that storage.key; KServe puts both into the init "
            "container's arguments itself.",
        )
    match = _SCHEME.fullmatch(text)
    if not match:
        raise InvalidUri(
            f"{text!r} is not a model URI: it has no scheme.",
            "Write s3://bucket/path, hf://owner/model, or an absolute path.",
        )
    scheme, rest = match[1].lower(), match[2]
    if scheme == WRAPPER:
        return _wrapped(text, rest)
    kind = _KINDS.get(scheme)
    if kind not in {"hf", "file", "mounted"} and _PASSWORD.match(rest):
        raise _with_password(scheme)  # first of all, so that no other refusal repeats the text
    if kind is None:
        known = ", ".join(f"{name}://" for name in (*_KINDS, WRAPPER))
        raise InvalidUri(f"{text!r} has the unknown scheme {scheme}://.", f"Known are {known}.")
    if kind == "file":
        return _file(rest if rest.startswith("/") else f"/{rest}")
    body, query = _split_query(rest, kind)
    if kind in STREAMABLE or (kind == "http" and is_blob_host(body.partition("/")[0])):
        _refuse_signature(body, query)
    return _PARSERS[kind](text, scheme, body, query)


def _refuse_signature(body: str, query: tuple[tuple[str, str], ...]) -> None:
    """A plan shows the query of a bucket's URI, and a signature would be for one object only or a key for all."""
    if any(name.lower() in _SIGNATURES for name, _ in query):
        raise InvalidUri(
            f"The URI of {body} carries a signature, which everybody who may read the InferenceService would see.",
            "Put credentials into a secret; a SAS goes into AZURE_STORAGE_SAS_TOKEN.",
        )


def _with_password(scheme: str) -> InvalidUri:
    return InvalidUri(
        f"A {scheme}:// URI needs a host or bucket and must not carry a user name or password.",
        "Put credentials into a secret, not into the URI.",
    )


def _wrapped(text: str, rest: str) -> StorageUri:
    # llm-d's users write both runai_streamer://s3://b/p and runai_streamer:///mnt/models.
    inner = _parse(rest)
    if inner.forced_stream:
        raise InvalidUri(f"{text!r} wraps {WRAPPER}:// twice.", "Write it once.")
    return replace(inner, forced_stream=True)


def _file(path: str) -> StorageUri:
    key = "/" + "/".join(part for part in path.split("/") if part not in {"", "."})
    _refuse_dots(path, key)
    return StorageUri("file", "file", "", key)


def _bucket(text: str, scheme: str, body: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    container, _, key = body.partition("/")
    if not _S3_BUCKET.fullmatch(container):
        raise InvalidUri(f"{text!r} names no valid bucket ({container!r}).", f"Write {scheme}://bucket/path/to/model.")
    return StorageUri(_KINDS[scheme], scheme, container, _folder(text, key), query=query)


def _azure(text: str, scheme: str, body: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    authority, _, key = body.partition("/")
    container, _, host = authority.partition("@")
    if not container or (scheme != "az" and not host):
        raise InvalidUri(
            f"{text!r} names no container and account.",
            "Write az://container/path or abfss://container@account.dfs.core.windows.net/path.",
        )
    if not host or is_account(host.lower()):
        return StorageUri("az", "az", container, _folder(text, key), account=host.lower(), query=query)
    return _at_azure(text, container, key, host, query)


def _at_azure(text: str, container: str, key: str, host: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    named = azure_host(host)
    if not named:
        raise InvalidUri(
            f"{text!r} names {host!r}, which is no storage account of Azure.",
            "Write az://container@account/path; a private endpoint or an emulator goes into AZURE_SERVICE_URL.",
        )
    suffix = "" if named.suffix == PUBLIC else named.suffix
    return StorageUri("az", "az", container, _folder(text, key), account=named.account, suffix=suffix, query=query)


def _http(text: str, scheme: str, body: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    host, _, path = body.partition("/")
    # kserve_storage looks for `.git` anywhere, so that https://www.github.com/… is a repository whatever follows;
    # here it has to be the end of the path.
    git = scheme == "https" and path.rstrip("/").endswith(".git")
    if not host or ("@" in host and not git):
        raise _with_password(scheme)
    if scheme == "https" and is_files_host(host):
        return _azure_files(text, host.lower(), path, query)
    if is_blob_host(host):
        container, _, key = path.partition("/")
        if not container:
            raise InvalidUri(f"{text!r} names no container.", "Write https://account.blob…/container/path.")
        return _at_azure(text, container, unquote(key), host, query)
    if git:
        return _git(text, host, path.rstrip("/"), query)
    return StorageUri("http", scheme, host.lower(), path, query=query)


def _git(text: str, host: str, path: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    user, at, host = host.rpartition("@")
    if not host or (at and not _GIT_USER.fullmatch(user)):
        raise InvalidUri(
            "A Git URI needs a host, and must not carry more than a user's name in front of it.",
            "Put the token into GIT_PASSWORD and the name into GIT_USERNAME, from a secret.",
        )
    if query:
        raise InvalidUri(
            f"https://{host}/{path} has a query, and a Git repository takes none.",
            "Leave it out: what comes is the head of the default branch.",
        )
    _refuse_dots(text, path)
    return StorageUri("delegated", "https", f"{user}{at}{host.lower()}", path)


def _azure_files(text: str, host: str, path: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    path = _folder(f"https://{host}/{path}", path)
    if not path:
        raise InvalidUri(f"https://{host} names no share.", f"Write https://{host}/share/path/to/model.")
    return StorageUri("delegated", "https", host, path, query=query)


def _hugging_face(text: str, scheme: str, body: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    # Revisions may hold slashes (refs/pr/7), so a folder stands in front of the revision and never behind it.
    name, _, revision = body.replace("@", ":", 1).partition(":")
    parts = name.strip("/").split("/")
    if len(parts) > 2 and parts[0] in _OTHER_REPOSITORIES:
        raise InvalidUri(f"{text!r} names no model: Wellhead serves no {parts[0]}.", "Write hf://owner/model.")
    if len(parts) < 2 or not all(parts):
        raise InvalidUri(
            f"{text!r} is not owner/model.",
            "Write hf://owner/model, hf://owner/model:revision or hf://owner/model/folder:revision.",
        )
    _refuse_dots(text, name)
    return StorageUri("hf", scheme, "/".join(parts[:2]), "/".join(parts[2:]), revision=revision, query=query)


def _opaque(text: str, scheme: str, body: str, query: tuple[tuple[str, str], ...]) -> StorageUri:
    container, _, key = body.partition("/")
    if not body.strip("/"):
        raise InvalidUri(f"{text!r} names nothing behind {scheme}://.", "Complete the URI.")
    if scheme == "modelscope" and ("/" in key.rstrip("/") or not key.partition(":")[0]):
        raise InvalidUri(
            f"{text!r} is not owner/model.", "Write modelscope://owner/model or modelscope://owner/model:revision."
        )
    return StorageUri(_KINDS[scheme], scheme, container, key.rstrip("/"), query=query)


_PARSERS = {
    "s3": _bucket,
    "gs": _bucket,
    "az": _azure,
    "hf": _hugging_face,
    "http": _http,
    "mounted": _opaque,
    "registry": _opaque,
    "delegated": _opaque,
}


def _folder(text: str, key: str) -> str:
    key = key.strip("/")
    _refuse_dots(text, key)
    if "//" in key:
        raise InvalidUri(f"{text!r} has an empty folder name (//) in it.", "Write single slashes.")
    return key


def _refuse_dots(text: str, key: str) -> None:
    if any(part in {".", ".."} for part in key.split("/")):
        raise InvalidUri(f"{text!r} contains a '.' or '..' segment.", "Name the folder itself.")


def _split_query(rest: str, kind: Kind) -> tuple[str, tuple[tuple[str, str], ...]]:
    # In a web address the first '?' starts the query. It may be part of an object key elsewhere, and starts a query
    # only where something like name=value follows.
    body, mark, query = rest.partition("?") if kind == "http" else rest.rpartition("?")
    if mark and ("=" in query or kind in {"http", "registry"}):
        return body, tuple(parse_qsl(query, keep_blank_values=True))
    return rest, ()
