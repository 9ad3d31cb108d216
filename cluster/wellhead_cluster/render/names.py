"""Names as Kubernetes and KServe take them. Pure.

An InferenceService is called as KServe's webhook demands (`[a-z]([-a-z0-9]*[a-z0-9])?`, a DNS-1035 label), everything
else as the API server does (`k8s.io/apimachinery/pkg/util/validation`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wellhead_storage.errors import InvalidConfiguration

_LABEL = 63  # characters of a DNS label, and of a label's value
_SUBDOMAIN = 253
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN = re.compile(rf"{_DNS_LABEL.pattern}(\.{_DNS_LABEL.pattern})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREDICTOR = "-predictor"
"""What KServe appends for the Service; of an LLMInferenceService it shortens names that become too long."""


def check_service_name(name: str, *, llm: bool) -> None:
    """Raises `InvalidConfiguration` for a name that KServe, or the API server afterwards, would refuse."""
    longest = _LABEL if llm else _LABEL - len(_PREDICTOR)
    if not _SERVICE.fullmatch(name) or len(name) > longest:
        raise InvalidConfiguration(
            f"{name!r} cannot be the name of a service.",
            f"Write at most {longest} lower-case letters, digits and '-', beginning with a letter and not ending in '-'"
            + ("." if llm else f" (KServe makes a Service called NAME{_PREDICTOR})."),
        )


def check_namespace(name: str) -> None:
    """Raises `InvalidConfiguration` for what is no DNS label."""
    if not _DNS_LABEL.fullmatch(name) or len(name) > _LABEL:
        raise InvalidConfiguration(
            f"{name!r} cannot be a namespace.", f"Write at most {_LABEL} lower-case letters, digits and '-'."
        )


def check_object_name(name: str, what: str) -> None:
    """Raises `InvalidConfiguration` for a name that no object can have.

    Args:
        name: to be checked.
        what: it is the name of, for the sentence.
    """
    if not _DNS_SUBDOMAIN.fullmatch(name) or len(name) > _SUBDOMAIN:
        raise InvalidConfiguration(
            f"{name!r} cannot be the name of a {what}.", "Write lower-case letters, digits, '-' and '.'."
        )


def read_labels(pairs: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` pairs as a dict.

    Raises:
        InvalidConfiguration: one is none, or Kubernetes would refuse it.
    """
    return dict(_label(pair) for pair in pairs)


def _label(pair: str) -> tuple[str, str]:
    key, mark, value = pair.partition("=")
    prefix, slash, name = key.rpartition("/")
    valid = (
        mark
        and _QUALIFIED.fullmatch(name)
        and len(name) <= _LABEL
        and (not slash or (_DNS_SUBDOMAIN.fullmatch(prefix) and len(prefix) <= _SUBDOMAIN))
        and (not value or (_QUALIFIED.fullmatch(value) and len(value) <= _LABEL))
    )
    if not valid:
        raise InvalidConfiguration(
            f"{pair!r} is no label.",
            f"Write KEY=VALUE, with at most {_LABEL} letters, digits, '-', '_' and '.' on either side.",
        )
    return key, value
