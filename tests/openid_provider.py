"""A certified OpenID provider on loopback, from the npm registry; a test holds its key."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scaling_app.commands.launch import free_port
from tests.login_server import AUDIENCE, LoginServer, jwk, new_key, running_login_server

PROVIDER = Path(__file__).parent / "contract" / "openid"
PEOPLE = {
    f"{role}-person": {"password": f"{role}-Tr0ub4dor", "roles": [f"monailabel-{role}"]}
    for role in ("user", "annotator", "reviewer", "admin")
}


def what_it_lacks() -> str:
    """Why there is no certified OpenID provider here, or nothing."""
    if shutil.which("node") is None:
        return "there is no node to run an OpenID provider with"
    if not (PROVIDER / "node_modules" / "oidc-provider").is_dir():
        return f"`npm ci --prefix {PROVIDER.relative_to(Path.cwd())}` brings the OpenID provider that this test needs"
    return ""


@contextmanager
def running_provider() -> Iterator[LoginServer]:
    """The provider with `PEOPLE`; where there is none, a server that says what one says of itself."""
    if what_it_lacks():
        with running_login_server() as running:
            yield running
        return
    key, port = new_key(), free_port()
    told = {"port": port, "audience": AUDIENCE, "keys": [jwk(key, "one", private=True)], "people": PEOPLE}
    command = ["node", str(PROVIDER / "provider.mjs"), json.dumps(told)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None and process.stdout.readline() == b"listening\n"
        try:
            yield LoginServer(f"http://127.0.0.1:{port}", {"one": key})
        finally:
            process.terminate()
