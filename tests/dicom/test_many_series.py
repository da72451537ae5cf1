"""Two thousand series: a look costs a row of each kind, and what is new is seen at the next one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from scaling_app.monai_app.dicom.pacs import MODALITIES, Pacs

MANY = 2000
LOOKS = 10


class Archive:
    """A DICOM server that answers searches for series as Orthanc does, and writes down how much it said."""

    def __init__(self) -> None:
        self.held = {"CT": MANY // 2, "MR": MANY // 2, "SEG": 50}
        self.said: list[int] = []

    def found(self, query: str) -> list[dict]:
        """The rows of one answer."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        kind = asked["Modality"]
        offset = int(asked.get("offset", 0))
        numbers = range(self.held.get(kind, 0))[offset : offset + int(asked.get("limit", MANY))]
        self.said.append(len(numbers))
        of_kind = list(self.held).index(kind) + 1 if kind in self.held else 9
        tags = [{"0020000E": f"1.2.{of_kind}.{n}", "0020000D": f"1.3.{n}", "00080060": kind} for n in numbers]
        return [{tag: {"vr": "UI", "Value": [value]} for tag, value in one.items()} for one in tags]


@pytest.fixture
def archive() -> Iterator[tuple[Archive, Pacs]]:
    held = Archive()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = json.dumps(held.found(urlsplit(self.path).query)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield held, Pacs(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_a_look_at_two_thousand_series_asks_for_a_row_of_each_kind_and_sees_a_new_one(archive) -> None:
    held, pacs = archive

    def look() -> int:
        return len(pacs.images()) + len(pacs.segmentation_series())

    assert look() == MANY + 50
    held.said.clear()
    for _ in range(LOOKS):
        assert look() == MANY + 50
    assert len(held.said) <= LOOKS * (len(MODALITIES) + 1) and max(held.said) == 1
    held.held["MR"] += 1
    held.held["SEG"] -= 1
    assert look() == MANY + 50 and f"1.2.2.{MANY // 2}" in pacs.images()
