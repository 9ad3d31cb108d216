"""Certificate authorities for web requests: the usual variables, and KServe's mounted ConfigMap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from wellhead_storage.errors import InvalidConfiguration

_CA_FILE = "cabundle.crt"  # the file name that KServe uses in a mounted CA ConfigMap


def web_ca_bundle(environment: Mapping[str, str]) -> str | None:
    """The path of a PEM file with further authorities, or None.

    Raises:
        InvalidConfiguration: it does not exist.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    path = given.get("REQUESTS_CA_BUNDLE") or given.get("SSL_CERT_FILE")
    mount = given.get("CA_BUNDLE_VOLUME_MOUNT_POINT")
    if not path and mount and given.get("CA_BUNDLE_CONFIGMAP_NAME"):
        path = f"{mount.rstrip('/')}/{_CA_FILE}"
    if path and not Path(path).is_file():
        raise InvalidConfiguration(
            f"The CA bundle {path} does not exist in this container.",
            "Check REQUESTS_CA_BUNDLE, SSL_CERT_FILE, or KServe's CA bundle ConfigMap.",
        )
    return path


def with_public_authorities(bundle: Path) -> bytes:
    """That PEM file behind the public authorities of this container, for clients that trust one file and no other.

    Raises:
        OSError: it cannot be read.
    """
    return b"\n".join(path.read_bytes() for path in (*_public_authorities(), bundle))


def _public_authorities() -> Iterator[Path]:
    """The system's as it was installed, whatever SSL_CERT_FILE says, and those of `certifi` where that is."""
    import ssl

    system = ssl.get_default_verify_paths()
    if Path(system.openssl_cafile).is_file():
        yield Path(system.openssl_cafile)
    else:
        yield from sorted(Path(system.openssl_capath).glob("*.[0-9]"))  # OpenSSL's own names, a certificate each
    try:
        import certifi
    except ImportError:
        return
    yield Path(certifi.where())
