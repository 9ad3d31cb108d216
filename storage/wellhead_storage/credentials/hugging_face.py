"""Hugging Face: the variables of `huggingface_hub` and of KServe's secret → `HuggingFaceAccess`.

KServe gives the secret's `HF_TOKEN` as a variable (kserve.md 6.1). Everything else is `huggingface_hub`'s own:
HF_ENDPOINT, HF_HUB_DISABLE_IMPLICIT_TOKEN, HF_HUB_OFFLINE, HF_HUB_DISABLE_XET, and its token file.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from wellhead_storage.credentials.certificates import web_ca_bundle
from wellhead_storage.errors import InvalidConfiguration

HUB = "https://huggingface.co"

_TRUE = {"1", "true", "yes", "on"}


class HuggingFaceAccess(BaseModel):
    """How to reach the Hub.

    Attributes:
        endpoint: with scheme, without trailing slash.
        token: from a variable, or None.
        anonymous: send no token at all, not even one from a file.
        xet: files may come through Xet's own protocol.
        ca_bundle: path of a PEM file with further authorities, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str = HUB
    token: SecretStr | None = None
    anonymous: bool = False
    xet: bool = True
    ca_bundle: str | None = None

    def headers(self) -> dict[str, str]:
        """Headers for requests to the Hub itself, the token among them; nobody else may see them.

        Without a token of its own `huggingface_hub` looks for one: in its token file, or from its single sign-on.
        Its own headers are not used: making them costs a request that tells the Hub about this process (2.4.0).
        """
        from wellhead_storage import __version__

        headers = {"user-agent": f"wellhead/{__version__}"}
        if token := self._token():
            headers["authorization"] = f"Bearer {token}"
        return headers

    def _token(self) -> str | None:
        if self.anonymous or self.token:
            return self.token.get_secret_value() if self.token else None
        from huggingface_hub import get_token

        return get_token()


def hugging_face_access(environment: Mapping[str, str]) -> HuggingFaceAccess:
    """Read the variables; empty ones count as unset.

    Raises:
        InvalidConfiguration: an endpoint that is no URL, a token that cannot be one, a missing CA bundle, or
            HF_HUB_OFFLINE.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    if _is_true(given, "HF_HUB_OFFLINE"):
        raise InvalidConfiguration(
            "HF_HUB_OFFLINE forbids every request to the Hub.", "Unset it for the storage initializer."
        )
    token = given.get("HF_TOKEN") or given.get("HUGGING_FACE_HUB_TOKEN")
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidConfiguration("HF_TOKEN holds characters that no token has.", "Correct the secret.")
    anonymous = _is_true(given, "HF_HUB_DISABLE_IMPLICIT_TOKEN")
    return HuggingFaceAccess(
        endpoint=_endpoint(given.get("HF_ENDPOINT", HUB)),
        token=SecretStr(token) if token and not anonymous else None,
        anonymous=anonymous,
        xet=not _is_true(given, "HF_HUB_DISABLE_XET"),
        ca_bundle=web_ca_bundle(given),
    )


def _is_true(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "").lower() in _TRUE


def _endpoint(text: str) -> str:
    text = text.rstrip("/")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # brackets, ports and hosts that cannot be
        usable = False
    if not usable or parts.query or parts.fragment:
        # The text may hold a password: it is named, never shown.
        raise InvalidConfiguration("HF_ENDPOINT is not an http or https URL.", "Write it as https://host.")
    return text
