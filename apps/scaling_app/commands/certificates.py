"""The certificate of https: whether it goes with its key, and how long it is good."""

from __future__ import annotations

import socket
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

SOON = timedelta(days=21)
"""A certificate that ends within this time is to be renewed now."""

_CONNECT_SECONDS = 10.0


def require_pair(certificate: Path | None, key: Path | None) -> str | None:
    """Checks that https can be spoken with these files.

    Returns:
        A sentence where the certificate has ended, or ends soon.

    Raises:
        ValueError: only one of them, one that cannot be read, or a key of another certificate.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ValueError("https takes both --ssl-certfile and --ssl-keyfile")
    for option, file in (("--ssl-certfile", certificate), ("--ssl-keyfile", key)):
        if not file.is_file():
            raise ValueError(f"{option}: there is no file {file}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certificate, key, password=_refuse_password_prompt
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ValueError(
            f"--ssl-certfile {certificate} and --ssl-keyfile {key} are no certificate with its unlocked key in PEM ({error})"
        ) from None
    return said_of(ends_at(certificate.read_bytes()))


def _refuse_password_prompt() -> bytes:
    raise ValueError("the key asks for a password")


def ends_at(pem: bytes) -> datetime:
    """When a certificate ends, UTC.

    Raises:
        ValueError: it is none.
    """
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def served_certificate(host: str, port: int) -> bytes:
    """The certificate that a server shows, in PEM, whether or not it can be trusted.

    Raises:
        OSError: no server answers there, or not with TLS.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as shown,
    ):
        return ssl.DER_cert_to_PEM_cert(shown.getpeercert(binary_form=True) or b"").encode()


def said_of(end: datetime) -> str | None:
    """A sentence about a certificate that has ended or ends soon; None for one that is good for long."""
    left = end - datetime.now(timezone.utc)
    if left <= timedelta(0):
        return f"the certificate has expired on {end:%Y-%m-%d}, and viewers refuse it: renew it and start the server again"
    if left <= SOON:
        return f"the certificate expires on {end:%Y-%m-%d}, in {left.days} days: renew it and start the server again"
    return None
