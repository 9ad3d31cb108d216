"""Requests to a Model Registry: both API versions, and its refusals in sentences; who asks tries again."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from wellhead_storage.credentials.certificates import web_ca_bundle
from wellhead_storage.errors import AccessDenied, InvalidConfiguration, InvalidUri, StoreUnavailable
from wellhead_storage.registry.address import Address
from wellhead_storage.registry.answers import Artifacts, Refusal, Versions
from wellhead_storage.settings import Settings
from wellhead_storage.stores.client import web_client

if TYPE_CHECKING:
    import httpx2

A = TypeVar("A", bound=BaseModel)
P = TypeVar("P", Versions, Artifacts)

# The older one is what servers of today all have; it will go (golden/model-registry, fact 11).
_API_VERSIONS = ("v1alpha3", "v1")
_PASSING = {408, 425, 429}


class NothingFound(Exception):
    """The registry's own 404, with its words: absent or ambiguous."""


class NotReached(StoreUnavailable):
    """Nobody answers there."""


class NoRegistry(StoreUnavailable):
    """Whoever answers there is no Model Registry."""


class Registry:
    """One registry.

    Args:
        address: where it is.
        environment: for token and certificates.
        settings: time-outs.

    Raises:
        InvalidConfiguration: a token file or CA bundle that is not there.
    """

    def __init__(self, address: Address, environment: Mapping[str, str], settings: Settings) -> None:
        self.base = address.base
        self._settings = settings
        # A host that only the URI names gets no token.
        self._token = _read_token(environment) if address.configured else None
        self._withheld = not address.configured and any(environment.get(name, "").strip() for name in _TOKENS)
        self._ca_bundle = environment.get("MODEL_REGISTRY_CA", "").strip() or web_ca_bundle(environment)
        self._api: str | None = None

    @cached_property
    def _client(self) -> httpx2.Client:
        client = web_client(self._settings, self._ca_bundle)
        weakref.finalize(self, client.close)
        return client

    def get(self, kind: type[A], path: str, **parameters: str) -> A:
        """One answer.

        Raises:
            NothingFound: the registry has no such thing, or more than one.
            NotReached, NoRegistry: nobody is there, or somebody else.
            AccessDenied, InvalidUri, StoreUnavailable: as it, or a proxy before it, says.
        """
        for api in [self._api] if self._api else _API_VERSIONS:
            answer = self._ask(f"{api}/{path}", parameters)
            if answer is not None:
                self._api = api
                return self._read(kind, answer)
        raise NoRegistry(
            f"What answers at {self.base} is no Model Registry.", "Check MODEL_REGISTRY_BASE_URL, or the URI's host."
        )

    def pages(self, kind: type[P], path: str, **parameters: str) -> Iterator[P]:
        """One page after the other."""
        token, seen = "", set()
        while token not in seen:
            seen.add(token)
            page = self.get(kind, path, **parameters, **({"nextPageToken": token} if token else {}))
            yield page
            token = page.next_page
            if not token:
                return

    def _ask(self, path: str, parameters: Mapping[str, str]) -> httpx2.Response | None:
        """The answer, or None where this API version is not served."""
        import httpx2

        headers = {"accept": "application/json", "user-agent": "wellhead"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token.get_secret_value()}"
        try:
            answer = self._client.get(
                f"{self.base}/api/model_registry/{path}", params=dict(parameters), headers=headers
            )
        except httpx2.TimeoutException:
            raise NotReached(f"The Model Registry at {self.base} does not answer in time.", _REACH) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            what = "TLS certificate is not trusted" if "certificate" in str(error).lower() else "address is not reached"
            raise NotReached(f"The Model Registry at {self.base} cannot be asked: its {what}.", _REACH) from None
        status, refusal = answer.status_code, _refusal(answer)
        if status == 410 or (status == 404 and refusal is None):
            return None
        if status in {401, 403}:
            said = "the token is not accepted" if self._token else "it wants a token"
            raise AccessDenied(
                f"The Model Registry at {self.base} refuses access (status {status}): {said}.", self._way_in()
            )
        if 300 <= status < 400:
            target = _host(self.base, answer.headers.get("location", ""))
            raise AccessDenied(
                f"The Model Registry at {self.base} redirects to {target}: a login, or https is wanted.",
                "For https set MODEL_REGISTRY_SCHEME, or write https:// in MODEL_REGISTRY_BASE_URL. "
                f"For a login: {self._way_in()}",
            )
        if status in _PASSING or status >= 500:
            raise StoreUnavailable(
                f"The Model Registry at {self.base} keeps answering {status}: {answer.text.strip()[:200]!r}.",
                "Look at its pod; while its database starts it answers so.",
            )
        return answer

    def _way_in(self) -> str:
        if self._withheld:
            return (
                "The token is sent only to the host and port in MODEL_REGISTRY_BASE_URL: "
                f"set that to {urlsplit(self.base).netloc}."
            )
        return "Give MODEL_REGISTRY_TOKEN, or MODEL_REGISTRY_TOKEN_FILE, from a secret."

    def _read(self, kind: type[A], answer: httpx2.Response) -> A:
        refusal = _refusal(answer)
        if answer.status_code == 404 and refusal:
            raise NothingFound(refusal.message)
        if answer.status_code != 200:
            said = refusal.message if refusal else f"status {answer.status_code}"
            raise InvalidUri(
                f"The Model Registry at {self.base} rejects the request: {said[:200]}.", "Check the names."
            )
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError:
            raise AccessDenied(
                f"What answers at {self.base} sends no registry's answer but something else.",
                "A proxy's login page, perhaps: give MODEL_REGISTRY_TOKEN, or name the registry itself.",
            ) from None


_TOKENS = ("MODEL_REGISTRY_TOKEN", "MODEL_REGISTRY_TOKEN_FILE")
_REACH = "Check MODEL_REGISTRY_BASE_URL (or the URI's host and namespace), its CA and the network policy."


def _refusal(answer: httpx2.Response) -> Refusal | None:
    if answer.status_code < 400:
        return None
    try:
        return Refusal.model_validate_json(answer.content)
    except ValidationError:
        return None


def _host(base: str, location: str) -> str:
    """Scheme and host of a redirect; what follows may hold the state of a login."""
    try:
        parts = urlsplit(urljoin(base, location))
    except ValueError:
        return "an address that is none"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _read_token(environment: Mapping[str, str]) -> SecretStr | None:
    if token := environment.get("MODEL_REGISTRY_TOKEN", "").strip():
        return SecretStr(token)
    path = environment.get("MODEL_REGISTRY_TOKEN_FILE", "").strip()
    if not path:
        return None
    try:
        return SecretStr(Path(path).read_text().strip())
    except (OSError, ValueError):
        raise InvalidConfiguration(f"The registry's token file {path} cannot be read.", "Mount the secret.") from None
