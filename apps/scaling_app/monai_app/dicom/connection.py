"""The connection to a DICOM server: bounded in time whatever happens, and what went wrong with it as a sentence."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from types import MappingProxyType
from typing import Any

import requests
from dicomweb_client.ext.gcp.session_utils import create_session_from_gcp_credentials
from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.config import settings
from requests.adapters import HTTPAdapter
from retrying import RetryError
from urllib3 import HTTPResponse
from urllib3.exceptions import ProtocolError

from scaling_app.studies.datastore import DatastoreSilentError

CONNECT_SECONDS = 5.0

SLOWEST_BYTES = 8 << 10
"""A second, of an answer: one that comes slower for longer than a request may take is given up."""

_CERTIFICATES = MappingProxyType(
    {
        "certificate has expired": "has expired: renew it there",
        "certificate is not yet valid": "is not valid yet: set the clocks right",
        "Hostname mismatch": "is for another name: use the address that it names",
        "IP address mismatch": "is for another address: use the one that it names",
        "unable to get local issuer": "is by an authority not known here: name its file in REQUESTS_CA_BUNDLE",
        "self-signed certificate": "is by an authority not known here: name its file in REQUESTS_CA_BUNDLE",
    }
)
"""What OpenSSL says of a certificate, and what is to be done."""


class PacsError(DatastoreSilentError):
    """The DICOM server gave no usable answer; the sentence is for people.

    Attributes:
        answered: whether it answered at all, so that it may answer another question.
    """

    def __init__(self, sentence: str, *, answered: bool = False) -> None:
        super().__init__(sentence)
        self.answered = answered


def session_with(url: str) -> requests.Session:
    """A session with the server at an address, with the user and password of MONAI Label's settings."""
    user = settings.MONAI_LABEL_DICOMWEB_USERNAME or settings.MONAI_LABEL_DATASTORE_USERNAME
    password = settings.MONAI_LABEL_DICOMWEB_PASSWORD or settings.MONAI_LABEL_DATASTORE_PASSWORD
    if "googleapis.com" in url:
        session = create_session_from_gcp_credentials()
    elif user and password:
        session = create_session_from_user_pass(user, password)
    else:
        session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _BoundedAdapter())
    return session


def said_of(url: str, error: Exception) -> PacsError:
    """What an error means for the one who asked the server at an address.

    What is no error of the connection comes from a library that took the answer for DICOM.
    """
    server = f"The DICOM server at {url}"
    if isinstance(error, requests.HTTPError):
        code = error.response.status_code if error.response is not None else "an error"
        cure = "check its user and password" if code in (401, 403) else "try again later"
        return PacsError(f"{server} answered {code}; {cure}.", answered=True)
    if isinstance(error, requests.exceptions.SSLError):
        known = (cure for words, cure in _CERTIFICATES.items() if words in str(error))
        if (cure := next(known, None)) is not None:
            return PacsError(f"The certificate of the DICOM server at {url} {cure}.")
        return PacsError(f"{server} speaks no https that can be trusted; check its address and certificate.")
    if isinstance(error, (requests.Timeout, RetryError)) or "timed out" in str(error).lower():
        return PacsError(f"{server} did not answer in time; try again later.")
    if isinstance(error, requests.exceptions.JSONDecodeError) or not isinstance(error, OSError):
        return PacsError(f"{server} gave no DICOMweb answer ({type(error).__name__}).", answered=True)
    if "refused" in str(error) or "resolve" in str(error):
        return PacsError(f"{server} cannot be reached; try again later.")
    return PacsError(f"The connection to the DICOM server at {url} was cut; try again later.")


class _BoundedAdapter(HTTPAdapter):
    """Gives every request a bound in time; the library gives none."""

    def send(self, request: requests.PreparedRequest, *said: Any, **options: Any) -> requests.Response:
        longest = settings.MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT
        options["timeout"] = options.get("timeout") or (CONNECT_SECONDS, longest)
        try:
            response = super().send(request, *said, **options)
        except requests.ConnectionError as error:
            # a connection kept from before, which the server closed at this moment; with a body it is not known what arrived
            if request.method != "GET" or not isinstance(error.args[0], ProtocolError):
                raise
            response = super().send(request, *said, **options)
        response.raw.stream = partial(_paced, response.raw, longest)
        return response


def _paced(
    raw: HTTPResponse, longest: float, amount: int = 1 << 16, decode_content: bool | None = None
) -> Iterator[bytes]:
    """The body of an answer as it comes; only waiting for it counts, and not what is done with it.

    Raises:
        requests.ReadTimeout: it trickles.
    """
    waited, came = 0.0, 0
    while True:
        began = time.monotonic()
        piece = raw.read1(amount, decode_content=decode_content)
        waited, came = waited + time.monotonic() - began, came + len(piece)
        if not piece:
            return
        if waited > longest + came / SLOWEST_BYTES:
            raw.close()
            raise requests.ReadTimeout("The answer timed out: it trickles.")
        yield piece
