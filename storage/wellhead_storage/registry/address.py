"""`model-registry://…` and the registry's variables → where to ask, and for what. Pure but for one DNS lookup.

The forms are those of Kubeflow's own initializer (kserve.md 15.1, golden/model-registry): model, model/version,
host/model, host/model/version, each with `?namespace=`. Two parts may mean either; ours asks the configured registry
wherever the first part is not plainly a host, where the stock one sends a request to `http://llama/…` first.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from wellhead_storage.errors import InvalidConfiguration, InvalidUri
from wellhead_storage.uri import StorageUri

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_WITH_PORT = re.compile(r".+:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Address:
    """One reading of the URI.

    Attributes:
        base: of the registry, without trailing slash.
        model: its name.
        version: its name, or None for the newest.
        configured: its host and port are those of MODEL_REGISTRY_BASE_URL, so that the token may be sent. A URI is
            anybody's who may write an InferenceService; a namespace in it leads to a host of its choice like any other.
    """

    base: str
    model: str
    version: str | None
    configured: bool = True


@dataclass(frozen=True, slots=True)
class _Variables:
    base: str
    scheme: str
    service: str
    domain: str

    @property
    def port(self) -> str:
        found = urlsplit(self.base).port
        return f":{found}" if found else ""

    def in_namespace(self, service: str, namespace: str) -> str:
        return f"{self.scheme}://{service}.{namespace}.{self.domain}{self.port}"

    def address(self, base: str, model: str, version: str | None) -> Address:
        return Address(base, model, version, configured=urlsplit(base).netloc == urlsplit(self.base).netloc)


def read_address(
    uri: StorageUri, environment: Mapping[str, str], resolves: Callable[[str], bool] | None = None
) -> list[Address]:
    """The readings of a URI, in the order in which they are to be tried.

    Args:
        uri: of kind `registry`; its parts may be percent-encoded, which a `/` in a name has to be.
        environment: for MODEL_REGISTRY_BASE_URL and the like.
        resolves: whether a host name does.

    Raises:
        InvalidUri: too many parts, an empty name, or a namespace that cannot be one.
        InvalidConfiguration: a base URL that is none.
    """
    raw = [part for part in f"{uri.container}/{uri.key}".split("/") if part]
    if not 1 <= len(raw) <= 3:
        raise InvalidUri(
            f"{uri.location} has too many parts.", "Write model-registry://[host/]model[/version], and %2F for a slash."
        )
    parts = [unquote(part) for part in raw]
    variables = _read(environment)
    namespace = uri.parameters.get("namespace", "")
    if namespace and not _LABEL.fullmatch(namespace):
        raise InvalidUri(f"{namespace!r} is no Kubernetes namespace.", "Correct ?namespace= in the URI.")
    base = variables.in_namespace(variables.service, namespace) if namespace else variables.base
    if len(parts) == 1:
        return [variables.address(base, parts[0], None)]
    if len(parts) == 3:
        return [_at_host(parts[0], parts[1], parts[2], variables, namespace)]
    by_version = variables.address(base, parts[0], parts[1])
    if not _HOST.fullmatch(parts[0]):
        return [by_version]
    by_host = _at_host(parts[0], parts[1], None, variables, namespace)
    if _WITH_PORT.fullmatch(parts[0]):
        return [by_host, by_version]
    known = (resolves or _resolves)(urlsplit(by_host.base).hostname or "")
    if not known:
        return [by_version]
    return [by_host, by_version] if "." in parts[0] else [by_version, by_host]


def _at_host(host: str, model: str, version: str | None, variables: _Variables, namespace: str) -> Address:
    if not _HOST.fullmatch(host):
        raise InvalidUri(f"{host!r} is no host name.", "Write %2F for a slash in the name of a model.")
    if namespace and "." not in host and ":" not in host:
        return variables.address(variables.in_namespace(host, namespace), model, version)
    return variables.address(f"{variables.scheme}://{host}", model, version)


def _read(environment: Mapping[str, str]) -> _Variables:
    def value(name: str, default: str) -> str:
        return environment.get(f"MODEL_REGISTRY_{name}", "").strip() or default

    scheme = value("SCHEME", "http").lower().removesuffix("://")
    base = value("BASE_URL", "localhost:8080")
    base = (base if "://" in base else f"{scheme}://{base}").rstrip("/")
    try:
        parts = urlsplit(base)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or parts.query:
        raise InvalidConfiguration(
            "MODEL_REGISTRY_BASE_URL is not an http or https URL.", "Write it as host:port, or https://host:port/path."
        )
    return _Variables(
        base,
        parts.scheme,
        value("SERVICE_NAME", "model-registry-service"),
        value("CLUSTER_DOMAIN", "svc.cluster.local"),
    )


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return True
