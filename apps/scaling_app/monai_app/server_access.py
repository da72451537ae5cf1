"""Who may talk to the server: two things that MONAI Label 0.8.5 leaves open or shut.

Pages of other sites: it answers them all, credentials allowed, so that any page open in a browser on a computer
that reaches the server could read images and labels. Here only the server's own pages are answered (OHIF, as it
comes with MONAI Label, is one of them).

Its login: it verifies tokens without naming the algorithms, which PyJWT has refused since 2.0, so that nobody
gets in. Here RSA signatures are accepted, which is what the public key of a realm is for; never the token's own
choice among symmetric ones (RFC 8725, 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from fastapi import FastAPI
from monailabel.endpoints.user import auth
from starlette.middleware.cors import CORSMiddleware

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class _RsaTokens:
    """Stands where the login looks for `jwt`."""

    @staticmethod
    def decode(token: str, key: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of a token, its signature verified.

        Raises:
            jwt.InvalidTokenError: the login answers 401.
        """
        return jwt.decode(token, key, algorithms=list(ALGORITHMS), options=dict(options))


def accept_tokens() -> None:
    """Lets the login verify tokens."""
    auth.jwt = _RsaTokens


def keep_other_sites_out(server: FastAPI) -> None:
    """Answers cross-origin requests of browsers no longer with permission to read."""
    server.user_middleware = [entry for entry in server.user_middleware if entry.cls is not CORSMiddleware]
    server.middleware_stack = None  # built anew at the next request
