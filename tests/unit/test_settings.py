"""`WELLHEAD_*`: empty means unset, a bad value is refused by its variable's name, a stranger only warns."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellhead_storage.cgroups import usable_cores
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.settings import Settings, connections_for, read_settings, unknown_variables

ALL = {
    "WELLHEAD_MODE": ("stream", "mode", "stream"),
    "WELLHEAD_ENGINE": ("vllm", "engine", "vllm"),
    "WELLHEAD_HANDOFF": ("off", "handoff", "off"),
    "WELLHEAD_SERVICE_ACCOUNT_TOKEN": ("/run/token", "service_account_token", Path("/run/token")),
    "WELLHEAD_TERMINATION_LOG": ("/run/end", "termination_log", Path("/run/end")),
    "WELLHEAD_LOG_LEVEL": ("debug", "log_level", "debug"),
    "WELLHEAD_LOG_FORMAT": ("json", "log_format", "json"),
    "WELLHEAD_LOADER": ("overlap", "loader", "overlap"),
    "WELLHEAD_VERIFY": ("size", "verify", "size"),
    "WELLHEAD_MANIFEST": ("always", "manifest", "always"),
    "WELLHEAD_MIRROR": ("s3://models/hub", "mirror", "s3://models/hub"),
    "WELLHEAD_CONNECTIONS": ("4", "connections", 4),
    "WELLHEAD_CONNECT_TIMEOUT": ("2.5", "connect_timeout", 2.5),
    "WELLHEAD_STALL_TIMEOUT": ("7", "stall_timeout", 7.0),
    "WELLHEAD_REQUEST_TIMEOUT": ("90", "request_timeout", 90.0),
    "WELLHEAD_RETRY_TIMEOUT": ("0", "retry_timeout", 0.0),
    "WELLHEAD_MODEL_DIR": ("/data/model", "model_dir", Path("/data/model")),
    "WELLHEAD_MEMORY_DIR": ("/run/memory", "memory_dir", Path("/run/memory")),
    "WELLHEAD_CACHE_DIR": ("/data/cache", "cache_dir", Path("/data/cache")),
    "WELLHEAD_FAST_START": ("on", "fast_start", "on"),
    "WELLHEAD_MODEL_INFOS": ("/data/infos", "model_infos", Path("/data/infos")),
}


def test_the_defaults() -> None:
    assert read_settings({}).model_dump() == {
        "mode": "auto",
        "engine": "",
        "handoff": "sealed",
        "service_account_token": Path("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        "termination_log": Path("/dev/termination-log"),
        "log_level": "info",
        "log_format": "text",
        "loader": "auto",
        "verify": "full",
        "manifest": "auto",
        "mirror": "",
        "connections": connections_for(usable_cores()),
        "connect_timeout": 5,
        "stall_timeout": 30,
        "request_timeout": 300,
        "retry_timeout": 60,
        "model_dir": None,
        "memory_dir": Path("/dev/shm"),
        "cache_dir": None,
        "fast_start": "auto",
        "model_infos": Path("/opt/wellhead/modelinfos"),
    }


@pytest.mark.parametrize(("cores", "connections"), [(1, 8), (2, 8), (3, 12), (4, 16), (64, 16)])
def test_connections_follow_the_cores(cores: int, connections: int) -> None:
    assert connections_for(cores) == connections


@pytest.mark.parametrize("variable", ALL)
def test_every_variable_is_read(variable: str) -> None:
    text, field, value = ALL[variable]
    assert getattr(read_settings({variable: text}), field) == value
    assert read_settings({variable: f" {text} "}) == read_settings({variable: text})


def test_the_table_above_is_complete() -> None:
    assert {field for _, field, _ in ALL.values()} == set(Settings.model_fields)


@pytest.mark.parametrize("variable", ALL)
@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
def test_empty_means_unset(variable: str, empty: str) -> None:
    """A `fieldRef` on a missing annotation gives an empty string."""
    assert read_settings({variable: empty}) == read_settings({})


@pytest.mark.parametrize("variable", ["MODE", "ENGINE", "HANDOFF", "LOG_LEVEL", "LOG_FORMAT", "LOADER"])
def test_a_bad_value_names_the_variable_the_value_and_what_is_allowed(variable: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        read_settings({f"WELLHEAD_{variable}": "sideways"})
    assert f"WELLHEAD_{variable}='sideways'" in caught.value.problem
    assert ALL[f"WELLHEAD_{variable}"][0] in caught.value.problem
    assert caught.value.exit_code == 19


def test_words_are_case_insensitive_and_paths_are_not() -> None:
    settings = read_settings({"WELLHEAD_MODE": "Stream", "WELLHEAD_ENGINE": "vLLM", "WELLHEAD_CACHE_DIR": "/Data"})
    assert (settings.mode, settings.engine, settings.cache_dir) == ("stream", "vllm", Path("/Data"))


@given(st.dictionaries(st.sampled_from(sorted(ALL)), st.text(max_size=20)))
def test_whatever_stands_in_the_environment(environment: dict[str, str]) -> None:
    try:
        read_settings(environment)
    except InvalidConfiguration as error:
        assert any(name in error.problem for name in environment)


def test_strangers_are_named_in_order() -> None:
    environment = {
        "WELLHEAD_MODES": "stream",
        "WELLHEAD_FOO": "",
        "WELLHEAD_MODE": "stream",
        "HOME": "/",
        "XWELLHEAD_A": "",
    }
    assert unknown_variables(environment) == ["WELLHEAD_FOO", "WELLHEAD_MODES"]


SERVICE_LINKS = {
    "SERVICE_HOST": "10.0.0.1",
    "SERVICE_PORT": "80",
    "SERVICE_PORT_HTTP": "80",
    "PORT": "tcp://10.0.0.1:80",
    "PORT_80_TCP": "tcp://10.0.0.1:80",
    "PORT_80_TCP_PROTO": "tcp",
    "PORT_80_TCP_PORT": "80",
    "PORT_80_TCP_ADDR": "10.0.0.1",
}


@pytest.mark.parametrize("service", ["WELLHEAD", "WELLHEAD_X", "WELLHEAD_MODE", "WELLHEAD_LLAMA_PREDICTOR"])
def test_services_of_the_namespace_never_warn_and_change_nothing(service: str) -> None:
    environment = {f"{service}_{name}": value for name, value in SERVICE_LINKS.items()}
    assert unknown_variables(environment) == []
    assert read_settings(environment) == read_settings({})
