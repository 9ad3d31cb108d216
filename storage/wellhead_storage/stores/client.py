"""How every client connects: time-outs, retries, certificates. One place for all stores."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    import httpx2
    from obstore.store import ClientConfig, RetryConfig


def client_options(
    settings: Settings, *, allow_http: bool, verify_tls: bool = True, ca_bundle: str | None = None
) -> ClientConfig:
    """Options for an obstore store's HTTP client.

    Raises:
        InvalidConfiguration: the CA bundle cannot be read.
    """
    options: ClientConfig = {
        "connect_timeout": f"{settings.connect_timeout}s",
        "read_timeout": f"{settings.stall_timeout}s",
        "timeout": f"{settings.request_timeout}s",
        "user_agent": "wellhead",
        "allow_http": allow_http,
    }
    if not verify_tls:
        options["allow_invalid_certificates"] = True
    if ca_bundle:
        try:
            options["root_certificate"] = Path(ca_bundle).read_bytes()
        except OSError as error:
            raise unusable_bundle(ca_bundle, f"it cannot be read ({error.strerror})") from error
    return options


def web_client(settings: Settings, ca_bundle: str | None) -> httpx2.Client:
    """A client for answers that obstore has no words for; redirects are the caller's affair, who closes it.

    Raises:
        InvalidConfiguration: the CA bundle is none.
    """
    import ssl

    import httpx2

    context = httpx2.create_ssl_context()
    if ca_bundle:
        try:
            context.load_verify_locations(ca_bundle)
        except (OSError, ssl.SSLError) as error:
            raise unusable_bundle(ca_bundle, "it holds no certificate in PEM form") from error
    return httpx2.Client(
        timeout=httpx2.Timeout(settings.stall_timeout, connect=settings.connect_timeout),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=settings.connections),
        verify=context,
    )


def retry_config(settings: Settings) -> RetryConfig:
    """Retries of one request by obstore itself: 5xx, time-outs and lost connections, with jitter."""
    return {
        "max_retries": 5,
        "retry_timeout": timedelta(seconds=min(30.0, settings.retry_timeout)),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }


def unusable_bundle(path: str, why: str) -> InvalidConfiguration:
    """For a CA bundle that is no CA bundle."""
    return InvalidConfiguration(
        f"The CA bundle {path} is unusable: {why}.",
        "Check KServe's CA bundle ConfigMap, or the file named by AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or SSL_CERT_FILE.",
    )
