"""TLS with a private certificate authority in front of a plain-HTTP store."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own.

    Attributes:
        bundle: its certificate, as a file for clients.
    """

    bundle: Path
    _key: ec.EllipticCurvePrivateKey
    _certificate: x509.Certificate

    def issue(self, path: Path, *hosts: str, days: int = 1) -> Path:
        """Write a key and a certificate for these hosts into one file; with negative days it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        until = datetime.now(UTC) + days * _DAY
        request = (
            x509.CertificateBuilder()
            .subject_name(_name("store"))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - 30 * _DAY)
            .not_valid_after(until)
            .add_extension(names, critical=False)
        )
        certificate = request.sign(self._key, hashes.SHA256())
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, *form) + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path


def new_authority(folder: Path, name: str = "tests' own authority") -> Authority:
    """Found an authority; its certificate lies in `folder`. OpenSSL tells those that it trusts apart by their names."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * _DAY)
        .not_valid_after(now + 60 * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    bundle = folder / "cabundle.crt"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(bundle, key, certificate)


@contextmanager
def tls_proxy(endpoint_url: str, certificate: Path) -> Iterator[str]:
    """Terminate TLS for a plain-HTTP store until the block ends; gives the https:// endpoint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    store = urlsplit(endpoint_url)
    upstream = (str(store.hostname), int(store.port or 80))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, context, upstream), daemon=True)
        accepting.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)


def _accept(listener: socket.socket, context: ssl.SSLContext, upstream: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_relay, args=(client, context, upstream), daemon=True).start()


def _relay(plain: socket.socket, context: ssl.SSLContext, upstream: tuple[str, int]) -> None:
    """Pass bytes in both directions until either side closes."""
    with plain, contextlib.suppress(OSError):
        client = context.wrap_socket(plain, server_side=True)
        with client, socket.create_connection(upstream) as store:
            while True:
                ready = [client] if client.pending() else select.select([client, store], [], [])[0]
                for side in ready:
                    data = side.recv(1 << 16)
                    if not data:
                        return
                    (store if side is client else client).sendall(data)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
