"""The OHIF viewer with the login on, behind the web server of `deploy/ohif.Caddyfile`, which signs people in."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests
from label_server import labelling
from orthanc import running_orthanc
from viewer import Viewer

from benchmarks.common.made_series import SHAPE, make_series
from scaling_app.commands.launch import free_port
from tests.openid_provider import running_provider

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

pytestmark = pytest.mark.slow_server

CADDYFILE = Path(__file__).parents[2] / "deploy" / "ohif.Caddyfile"


@contextmanager
def keeping_sessions(tokens: dict[str, str]) -> Iterator[int]:
    """What oauth2-proxy answers Caddy: the token of the person whose session the cookie names; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            token = tokens.get(self.headers.get("Cookie", "").removeprefix("_oauth2_proxy="))
            self.send_response(202 if token and self.path == "/oauth2/auth" else 401)
            if token:
                self.send_header("X-Auth-Request-Access-Token", token)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@contextmanager
def web_server(folder: Path, sessions: int, upstream: str) -> Iterator[str]:
    """Caddy with the file that is handed out, over http on loopback; its address."""
    if shutil.which("caddy") is None:
        pytest.skip("Caddy is not installed")
    site = f"http://127.0.0.1:{free_port()}"
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\nimport {CADDYFILE}\n")
    names = {"SITE": site, "SESSIONS": f"127.0.0.1:{sessions}", "UPSTREAM": upstream.removeprefix("http://")}
    own = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | own | names, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None, (folder / "caddy.log").read_text()
            try:
                requests.get(site, timeout=30, allow_redirects=False)
                break
            except requests.ConnectionError:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield site
    finally:
        process.terminate()
        process.wait(20)


def test_people_who_are_signed_in_work_in_the_viewer_under_their_own_name_and_role(tmp_path: Path) -> None:
    with running_orthanc(tmp_path / "orthanc") as orthanc, running_provider() as login:
        image = orthanc.send(make_series())
        tokens = {
            "s-anna": login.token(preferred_username="anna"),
            "s-carl": login.token(preferred_username="carl", realm_access={"roles": ["monailabel-user"]}),
            "s-old": login.token(exp=int(time.time()) - 3600),
        }
        settings = {"MONAI_LABEL_AUTH_ENABLE": "true", "MONAI_LABEL_AUTH_REALM_URI": login.uri}
        with (
            labelling(orthanc.url, tmp_path, settings, hosts="127.0.0.1") as server,
            keeping_sessions(tokens) as sessions,
            web_server(tmp_path, sessions, server.base) as site,
        ):

            def viewer(session: str) -> Viewer:
                one = Viewer(site)
                one.http.headers["Cookie"] = f"_oauth2_proxy={session}"
                return one

            anna, carl = viewer("s-anna"), viewer("s-carl")
            assert "html" in anna._said("GET", "/ohif/").headers["content-type"]
            assert anna.info()["datastore"]["total"] == 1
            assert len(anna.dicom("qido/studies").json()) == 1
            assert anna.next_sample()["id"] == image
            voxels = np.zeros(SHAPE, np.uint8)
            voxels[2:9, 2:9, 3:6] = 1
            assert anna.submit(image, voxels, {"liver": 1})["sufficiency"]["doubts"] == []
            assert str(orthanc.segmentations()[0].ContentCreatorName) == "anna^"

            assert carl.info()["labels"] == ["liver"]
            assert carl._ask("DELETE", "/train/").status_code == 403

            others = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
            anna.http.headers.update(others)  # her browser is at a page of somebody else
            assert anna._ask("GET", "/info/").status_code == 403

            for session, said in (
                ("nobody", {}),
                ("nobody", {"X-Auth-Request-Access-Token": tokens["s-old"]}),
            ):
                stranger = viewer(session)
                stranger.http.headers.update(said)
                answer = stranger.http.get(f"{site}/info/", allow_redirects=False, timeout=60)
                assert answer.status_code == 302 and answer.headers["Location"].startswith("/oauth2/start")
            assert viewer("s-old")._ask("GET", "/info/").status_code == 401
            forged = {
                "X-Auth-Request-Access-Token": tokens["s-anna"],
                "Authorization": f"Bearer {tokens['s-anna']}",
            }
            carl.http.headers.update(forged)  # what a browser says of itself counts for nothing
            answer = carl._ask(
                "PUT", "/datastore/label", params={"image": image}, files={"label": ("l.bin", b"")}
            )
            assert answer.status_code == 403
