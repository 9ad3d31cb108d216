"""`model-registry://…` and the registry's variables → where to ask for what; every form of Kubeflow's initializer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_storage.errors import InvalidConfiguration, InvalidUri, WellheadError
from wellhead_storage.registry.address import Address, read_address
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB = {"MODEL_REGISTRY_BASE_URL": "hub:8080"}


def readings(text: str, environment: Mapping[str, str] = HUB, *hosts: str) -> list[Address]:
    """All readings, where only these hosts have an address."""
    return read_address(parse(text), environment, lambda host: host in hosts)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("llama", Address("http://hub:8080", "llama", None)),
        ("llama/v1", Address("http://hub:8080", "llama", "v1")),
        ("llama/v1/", Address("http://hub:8080", "llama", "v1")),
        ("hub:8080/llama/v1", Address("http://hub:8080", "llama", "v1")),
        ("other/llama/v1", Address("http://other", "llama", "v1", configured=False)),
        ("other:9000/llama/v1", Address("http://other:9000", "llama", "v1", configured=False)),
        ("model with spaces/release 1", Address("http://hub:8080", "model with spaces", "release 1")),
        ("model%20with%20spaces/release%201", Address("http://hub:8080", "model with spaces", "release 1")),
        ("Qwen 3 größe 模型/v 1.0 ü", Address("http://hub:8080", "Qwen 3 größe 模型", "v 1.0 ü")),
        ("org%2Fmodel", Address("http://hub:8080", "org/model", None)),
        ("org%2Fmodel/v1", Address("http://hub:8080", "org/model", "v1")),
        ("100%25/v%251", Address("http://hub:8080", "100%", "v%1")),
    ],
)
def test_one_reading(text: str, reading: Address) -> None:
    assert readings(f"model-registry://{text}") == [reading]


BY_VERSION = Address("http://hub:8080", "reg", "llama")
BY_HOST = Address("http://reg", "llama", None, configured=False)


def test_two_parts_are_model_and_version_where_the_first_is_no_host() -> None:
    assert readings("model-registry://reg/llama") == [BY_VERSION]


def test_two_parts_mean_the_model_first_where_the_first_is_a_short_host_too() -> None:
    """The stock initializer asks `http://llama/` for every model first."""
    assert readings("model-registry://reg/llama", HUB, "reg") == [BY_VERSION, BY_HOST]


def test_two_parts_mean_the_host_first_where_it_has_a_dot_or_a_port() -> None:
    dotted = readings("model-registry://reg.team.svc/llama", HUB, "reg.team.svc")
    assert [(address.base, address.model) for address in dotted] == [
        ("http://reg.team.svc", "llama"),
        ("http://hub:8080", "reg.team.svc"),
    ]
    [with_port, other] = readings("model-registry://reg:8080/llama")
    assert (with_port.base, with_port.model, other.version) == ("http://reg:8080", "llama", "llama")


def test_a_model_of_a_dotted_name_that_is_no_host() -> None:
    assert readings("model-registry://llama-3.1/v1") == [Address("http://hub:8080", "llama-3.1", "v1")]


@pytest.mark.parametrize(
    ("text", "base", "version"),
    [
        ("llama?namespace=team", "http://model-registry-service.team.svc.cluster.local:8080", None),
        ("llama/v1?namespace=team", "http://model-registry-service.team.svc.cluster.local:8080", "v1"),
        ("own/llama/v1?namespace=team", "http://own.team.svc.cluster.local:8080", "v1"),
        ("own.other.svc/llama/v1?namespace=team", "http://own.other.svc", "v1"),
    ],
)
def test_a_namespace(text: str, base: str, version: str | None) -> None:
    """The stock initializer takes the host for the model where three parts and a namespace are given."""
    [address] = readings(f"model-registry://{text}")
    assert address == Address(base, "llama", version, configured=False)


@pytest.mark.parametrize(
    ("text", "configured"),
    [
        ("llama", True),
        ("hub.mlops.svc.cluster.local:8080/llama/v1", True),
        ("llama?namespace=mlops", True),
        ("llama/v1?namespace=mlops", True),
        ("hub/llama/v1?namespace=mlops", True),
        ("evil/llama/v1?namespace=attacker", False),
        ("evil/llama/v1?namespace=mlops", False),
        ("llama?namespace=attacker", False),
        ("llama/v1?namespace=attacker", False),
        ("hub/llama/v1?namespace=attacker", False),
        ("hub.mlops.svc.cluster.local/llama/v1", False),
        ("hub.mlops.svc.cluster.local:8081/llama/v1", False),
    ],
)
def test_only_the_host_and_port_that_the_variables_name_are_configured(text: str, configured: bool) -> None:
    """To all others no token is sent, whichever way the URI names them."""
    variables = {
        "MODEL_REGISTRY_BASE_URL": "https://hub.mlops.svc.cluster.local:8080/registry",
        "MODEL_REGISTRY_SERVICE_NAME": "hub",
    }
    [address] = readings(f"model-registry://{text}", variables)
    assert address.configured is configured


def test_the_parts_of_a_namespaced_address_can_be_set() -> None:
    variables = {
        "MODEL_REGISTRY_BASE_URL": "https://hub:8443",
        "MODEL_REGISTRY_SERVICE_NAME": "hub",
        "MODEL_REGISTRY_CLUSTER_DOMAIN": "svc.example",
    }
    [address] = readings("model-registry://llama?namespace=team", variables)
    assert address.base == "https://hub.team.svc.example:8443"


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (None, "http://localhost:8080"),
        ("", "http://localhost:8080"),
        ("hub:8080", "http://hub:8080"),
        ("http://hub:8080/", "http://hub:8080"),
        ("https://hub.example/registry/", "https://hub.example/registry"),
    ],
)
def test_the_base_url(value: str | None, base: str) -> None:
    variables = {} if value is None else {"MODEL_REGISTRY_BASE_URL": value}
    assert readings("model-registry://llama", variables) == [Address(base, "llama", None)]


def test_the_scheme_variable() -> None:
    [address] = readings("model-registry://llama", {**HUB, "MODEL_REGISTRY_SCHEME": "https"})
    assert address.base == "https://hub:8080"


@pytest.mark.parametrize(
    "value", ["ftp://hub", "http://", "http://hub:port", "http://user:pw@hub", "http://hub/?a=b", "http://[::1"]
)
def test_a_base_url_that_is_none_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(InvalidConfiguration, match="MODEL_REGISTRY_BASE_URL is not an http or https URL") as caught:
        readings("model-registry://llama", {"MODEL_REGISTRY_BASE_URL": value})
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a/b/c/d", "has too many parts"),
        ("llama?namespace=Team!", "is no Kubernetes namespace"),
        ("llama?namespace=a.b", "is no Kubernetes namespace"),
        ("org%2Fmodel/llama/v1", "is no host name"),
        ("user:pw@host/llama/v1", "must not carry a user name or password"),
    ],
)
def test_what_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InvalidUri, match=sentence):
        readings(f"model-registry://{text}")


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(NAMES, NAMES)
def test_any_encoded_name_is_read_back(model: str, version: str) -> None:
    encoded = f"model-registry://{quote(model, safe='')}/{quote(version, safe='')}"
    assert (model, version) in [(found.model, found.version) for found in readings(encoded)]


@given(st.text(alphabet="abc:/%2F._-?=& @[]", max_size=40))
def test_nothing_but_our_own_errors(text: str) -> None:
    try:
        found = readings(f"model-registry://{text}", HUB, "a", "b")
    except WellheadError:
        return
    for address in found:
        assert address.model
        assert "@" not in address.base
