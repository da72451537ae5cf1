"""What stands between a label server and its DICOM server, and fails: a cut connection, a slow line, a certificate."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Fault = Callable[[bytes, bool], bytes | None]
"""What becomes of a piece on its way, up or down; None cuts the connection."""


@dataclass
class Wire:
    """A way to a server on loopback.

    Attributes:
        port: where it begins.
        fault: what happens on it; by default nothing.
    """

    port: int
    fault: Fault = field(default=lambda piece, up: piece)


@contextlib.contextmanager
def wire_to(port: int, tls: ssl.SSLContext | None = None) -> Iterator[Wire]:
    """Passes bytes on between a port of its own and a server's; with `tls` the first part of the way is https."""
    listening = socket.create_server(("127.0.0.1", 0))
    wire = Wire(listening.getsockname()[1])

    def accept() -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=connect, args=(near,), daemon=True).start()

    def connect(near: socket.socket) -> None:
        try:
            near = tls.wrap_socket(near, server_side=True) if tls else near
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            near.close()
            return
        ways = ((near, far, True), (far, near, False))
        ends = [threading.Thread(target=pump, args=way, daemon=True) for way in ways]
        for end in ends:
            end.start()
        for end in ends:
            end.join()
        near.close()
        far.close()

    def pump(source: socket.socket, goal: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while (piece := source.recv(1 << 14)) and (passed := wire.fault(piece, up)) is not None:
                goal.sendall(passed)
        for end in (source, goal):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def cut_after(count: int, *, up: bool) -> Fault:
    """Cuts the connection once so many bytes have gone one way."""
    gone = 0

    def fault(piece: bytes, goes_up: bool) -> bytes | None:
        nonlocal gone
        if goes_up == up:
            gone += len(piece)
            if gone > count:
                return None
        return piece

    return fault


def certificate(folder: Path, *, name: str = "127.0.0.1", days: int = 30) -> tuple[ssl.SSLContext, Path]:
    """A certificate that vouches for itself, for a server's side, and its file.

    Args:
        name: an address or a host name that it is for.
        days: until it ends; negative for one that has ended.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pacs")])
    try:
        known_as: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        known_as = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([known_as]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / "pacs.pem", folder / "pacs.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return context, file
