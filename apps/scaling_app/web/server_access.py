"""Which pages and names the server answers: what MONAI Label 0.8.5 leaves open.

It answers the pages of all other sites, credentials allowed, so that any page open in a browser on a computer
that reaches the server could read images and labels, or have it train. Here only the server's own pages are
answered (OHIF, as it comes with MONAI Label, is one of them), and links to it are followed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scaling_app.web.addresses import is_address, is_loopback
from scaling_app.web.in_front import stand_in_front


def keep_other_sites_out(server: FastAPI, hosts: Collection[str] = (), *, login: bool = False) -> None:
    """Answers what pages of other sites send with 403, and never with permission to read.

    Args:
        hosts: names by which browsers reach a web server in front of this one.
        login: whether each request has to say who asks; then its token decides, whatever name it calls the server by.
    """
    theirs: Any = CORSMiddleware
    server.user_middleware = [entry for entry in server.user_middleware if entry.cls is not theirs]
    stand_in_front(server, _OwnPagesOnly, hosts=frozenset(hosts), login=login)


class _OwnPagesOnly:
    """Refuses requests that browsers send for other sites.

    Newer browsers say so (https://www.w3.org/TR/fetch-metadata/), others name the origin of what may change
    something. A site whose name was made to lead here (DNS rebinding) would count as the same: so what comes
    over loopback, with nobody logged in, has to call the server by an address, `localhost` or one of `hosts`.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], login: bool) -> None:
        self.app, self.hosts, self.login = app, hosts, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._refusal(scope) if scope["type"] == "http" else None
        await (self.app if answer is None else JSONResponse({"detail": answer}, 403))(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers, method = Headers(scope=scope), scope["method"]
        name = _name_of(headers.get("host", ""))
        over_loopback = is_loopback((scope.get("server") or ("",))[0])
        if over_loopback and not self.login and not self._is_known(name):
            return f"This server is not known as {name!r}; start it with --conf hosts {name} if it should be."
        if (site := headers.get("sec-fetch-site")) is not None:
            followed = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
            own = site in ("same-origin", "none") or followed
        else:
            origin = headers.get("origin")
            asked = {headers.get("host"), headers.get("x-forwarded-host")}
            own = origin is None or method in ("GET", "HEAD") or urlsplit(origin).netloc in asked
        return None if own else "Pages of other sites are not answered."

    def _is_known(self, name: str) -> bool:
        return name == "localhost" or name in self.hosts or is_address(name)


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host
