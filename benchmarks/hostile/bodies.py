"""Requests that are hostile whatever file they carry: slow, endless, broken off, nested; and what a good day looks like."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import requests

from benchmarks.common.served import Served

Note = Callable[[str, requests.Response], None]
SLOW_SECONDS = 45
BOUNDARY = "frontier"


def put_label(server: Served, image: str, path: Path) -> requests.Response:
    """Sends a genuine label."""
    info = [{"name": "organ", "idx": 1}, {"name": "nodule", "idx": 2}]
    return requests.put(
        f"{server.base}/datastore/label",
        params={"image": image},
        data={"params": json.dumps({"label_info": info})},
        files={"label": (path.name, path.read_bytes())},
        timeout=120,
    )


def genuine_round(server: Served) -> dict[str, int]:
    """What a radiologist's client asks; the answers by their status."""
    base = server.base
    label = server.folder / "truth" / "synthetic_000.nrrd"
    one = {"image": "synthetic_000", "output": "json"}
    return {
        "label": put_label(server, "synthetic_000", label).status_code,
        "infer": requests.post(f"{base}/infer/segmentation", params=one, timeout=120).status_code,
        "next case": requests.post(f"{base}/activelearning/random", json={}, timeout=120).status_code,
        "datastore": requests.get(f"{base}/datastore/?output=all", timeout=120).status_code,
        "batch": requests.post(
            f"{base}/batch/infer/segmentation", params={"run_sync": True}, json={"images": "all"}, timeout=300
        ).status_code,
        "report": requests.get(f"{base}/sufficiency/report", timeout=120).status_code,
        "curve": requests.get(f"{base}/sufficiency/curve.csv", timeout=120).status_code,
    }


def _head(server: Served, length: int, path: str = "/datastore/label?image=synthetic_000") -> bytes:
    host = urlsplit(server.base).netloc
    return (
        f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="label"; filename="case.nii.gz"\r\n\r\n'
    ).encode()


def _open(server: Served) -> socket.socket:
    place = urlsplit(server.base)
    return socket.create_connection((place.hostname, place.port), timeout=60)


def _said(peer: socket.socket) -> requests.Response:
    """The first bytes of an answer as one; status 0 when there was none."""
    answer = requests.Response()
    answer.status_code = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        peer.settimeout(5)
        text = peer.recv(4096)
        head, _, body = text.partition(b"\r\n\r\n")
        answer.status_code = int(head.split()[1])
        answer._content = body
    return answer


def slow(server: Served, note: Note) -> None:
    """Twenty bodies that come a byte every second, and a genuine label beside them."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(contextlib.closing(_open(server))) for _ in range(20)]
        for peer in peers:
            peer.sendall(_head(server, 50_000_000))
        for second in range(SLOW_SECONDS):
            for peer in peers:
                with contextlib.suppress(OSError):
                    peer.sendall(b"x")
            if second == SLOW_SECONDS - 5:
                note(
                    "genuine", put_label(server, "synthetic_000", server.folder / "truth/synthetic_000.nrrd")
                )
            time.sleep(1)
        for peer in peers:
            note("slow", _said(peer))


def broken(server: Served, note: Note) -> None:
    """Forty bodies that end in the middle: half with a farewell, half without."""
    for index in range(40):
        peer = _open(server)
        peer.sendall(_head(server, 50_000_000) + bytes(5_000_000))
        if index % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    time.sleep(1)
    note("afterwards", requests.get(f"{server.base}/datastore/", timeout=60))


def endless(server: Served, note: Note) -> None:
    """A body without an end, and one that says it has 10^15 bytes."""

    def pieces():  # type: ignore[no-untyped-def]
        while True:
            yield bytes(1 << 20)

    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    for headers in ({"Content-Type": "application/json"}, kind):
        try:
            note(
                "endless",
                requests.put(f"{server.base}/datastore/label", data=pieces(), headers=headers, timeout=300),
            )
        except requests.ConnectionError:  # it was cut off
            note("cut off", _nothing())
    with contextlib.closing(_open(server)) as peer:
        peer.sendall(_head(server, 10**15))
        note("10^15 bytes", _said(peer))


def _nothing() -> requests.Response:
    answer = requests.Response()
    answer.status_code = 0
    return answer


def forms(server: Served, note: Note) -> None:
    """Forms that are none: ten thousand parts, no boundary, half a header, fields of a megabyte."""
    url = f"{server.base}/datastore/label?image=synthetic_000"
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="label"; filename="a.nii.gz"\r\n\r\nx\r\n'
    plain = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="params"\r\n\r\n'
    end = f"--{BOUNDARY}--\r\n"
    for body, headers in (
        (part * 10_000 + end, kind),
        (plain + "x" * 3_000_000 + "\r\n" + part + end, kind),
        (part, kind),
        ("x", kind),
        ("", kind),
        (part + end, {"Content-Type": "multipart/form-data"}),
        (f"--{BOUNDARY}\r\n{'x: y' * 100_000}\r\n\r\n{end}", kind),
    ):
        note("form", requests.put(url, data=body, headers=headers, timeout=120))


DEEP = "[" * 990 + "]" * 990
STRANGE = (
    DEEP, '{"a":' * 990 + "1" + "}" * 990, "NaN", '{"minutes": NaN}', '{"minutes": 1e999}', '{"a": "\\ud800"}', "[", "",
    '{"label_info": ' + DEEP + "}", '{"minutes": ' + "9" * 5000 + "}", '{"label_info": [{"name": 1, "idx": "x"}]}', "\0",
    '{"label_info": [{"name": "a", "idx": ' + "9" * 30 + "}]}", '{"label_info": [{"name": "a", "idx": 1e30}]}',
)  # fmt: skip


def nested(server: Served, note: Note) -> None:
    """JSON nested 990 deep, NaN, infinite and half characters, to every route that takes JSON."""
    base, label = server.base, server.folder / "truth" / "synthetic_000.nrrd"
    json_kind = {"Content-Type": "application/json"}
    one = {"image": "synthetic_000"}
    for text in STRANGE:
        file = {"label": (label.name, label.read_bytes())}
        note(
            "params",
            requests.put(
                f"{base}/datastore/label", params=one, data={"params": text}, files=file, timeout=60
            ),
        )
        note(
            "info", requests.put(f"{base}/datastore/image/info", params=one, data={"info": text}, timeout=60)
        )
        for route in (
            "activelearning/random", "train/segmentation", "scoring/sufficiency", "sufficiency/target",
            "sufficiency/steps", "batch/infer/segmentation",
        ):  # fmt: skip
            if route.startswith(("train", "batch", "scoring")) and (not text or text.startswith('{"')):
                continue  # what is no option is left out there, and they would begin
            note("json", requests.post(f"{base}/{route}", data=text.encode(), headers=json_kind, timeout=60))


def others(server: Served, note: Note) -> None:
    """Routes that once ended with an error of Python."""
    base = server.base
    for method, path in (
        ("GET", "/logs/gpu"), ("GET", "/logs/?lines=1000000000000000000000"), ("POST", "/scoring/x"), ("POST", "/scoring/"),
        ("GET", "/datastore/label?label=../../etc/passwd&tag=final"), ("GET", "/datastore/image?image=../../etc/passwd"),
        ("GET", "/session/..%2f..%2fetc?image=true"), ("GET", "/ohif/%2e%2e/%2e%2e/%2e%2e/etc/passwd"), ("GET", "/static/%00"),
        ("GET", "/model/..%2f..%2fx"), ("POST", "/infer/segmentation?image=/etc/passwd"), ("POST", "/infer/wsi/x?image=/etc/passwd"),
        ("POST", "/batch/infer/segmentation?images=none"), ("GET", "/batch/infer"), ("GET", "/proxy/dicom/x"),
    ):  # fmt: skip
        note(path.split("?")[0], requests.request(method, f"{base}{path}", timeout=60))
    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda _: requests.post(f"{base}/scoring/sufficiency", timeout=60), range(24)):
            note("scoring at once", answer)


ATTACKS: dict[str, Callable[[Served, Note], None]] = {
    "a byte a second, twenty at once": slow,
    "broken off in the middle, forty": broken,
    "without an end": endless,
    "forms that are none": forms,
    "JSON nested 990 deep, NaN, half characters": nested,
    "routes that once ended with an error": others,
}
