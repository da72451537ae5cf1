"""A server that answers as MONAI Label with our app does, with the JSON of the design, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

#: Half an 80 % range, in standard deviations of a normal distribution, and the same of 95 %.
_Z80, _Z95 = 1.2816, 1.96
_CEILING, _CEILING_SD, _SCORE_SD = 0.9, 0.012, 0.07
_MINUTES = 18.0
#: What trainings may be told, in the app's words.
OFFERED = [
    {
        "name": "baseline",
        "title": "Baseline",
        "what": "Shows your cases turned, scaled, brighter, darker and blurred.",
    },
    {"name": "genda", "title": "GenDA", "what": "Bends your cases into new shapes of the same kind."},
]


def interval(mean: float, sd: float) -> dict[str, float]:
    ends = {"lo80": -_Z80, "hi80": _Z80, "lo95": -_Z95, "hi95": _Z95}
    bounds = {name: round(min(max(mean + z * sd, 0.0), 1.0), 4) for name, z in ends.items()}
    return {"mean": round(mean, 4), **bounds}


def dice_at(n: float, offset: float = 0.0) -> float:
    """The one curve that every number of this server comes from."""
    return _CEILING + offset - 0.55 * n**-0.75


def sd_at(n: float) -> float:
    return _SCORE_SD / max(n, 1) ** 0.5


def above(mean: float, sd: float, least: float) -> float:
    """The chance that something normal is at least so large."""
    return 0.5 * math.erfc((least - mean) / (sd * 2**0.5))


def cases_to(n: int, dice: float, z: float = 0.0) -> int | None:
    """How many cases after `n` the curve, shifted by so many standard deviations, takes to a Dice; None for never."""
    return next((k for k in range(999) if dice_at(n + k) + z * sd_at(n) >= dice), None)


def gain(n: int, extra: int, offset: float = 0.0) -> dict[str, float]:
    mean = dice_at(n + extra, offset) - dice_at(n, offset)
    sd = 0.4 * mean
    ends = {"mean": mean, "lo80": mean - _Z80 * sd, "hi80": mean + _Z80 * sd}
    return {**{k: round(v, 4) for k, v in ends.items()}, "p_at_least_1pt": round(above(mean, sd, 0.01), 2)}


def curve(n: int, offset: float = 0.0) -> dict:
    rows = [
        {
            "extra": extra,
            "n": n + extra,
            **interval(dice_at(n + extra, offset), sd_at(n)),
            "gain": gain(n, extra, offset),
            "minutes": _MINUTES * extra,
        }
        for extra in sorted({1, 5, 10, n})
    ]
    sizes = [k for k in (2, 3, 4, 6, 8, 10) if k < n] + [n] + [row["n"] for row in rows]
    return {
        "curve": [{"n": k, **interval(dice_at(k, offset), sd_at(min(k, n)))} for k in sorted(set(sizes))],
        "now": interval(dice_at(n, offset), sd_at(n)),
        "forecast": rows,
        "ceiling": {
            name: interval(_CEILING + offset, _CEILING_SD)[name] for name in ("mean", "lo80", "hi80")
        },
        "prior_share": round(1 / (1 + n / 4), 2),
    }


def target_of(n: int, dice: float) -> dict:
    return {
        "dice": dice,
        "p_reached": round(above(dice_at(n), sd_at(n), dice), 2),
        "cases": {
            "median": cases_to(n, dice),
            "lo80": cases_to(n, dice, _Z80),
            "hi80": cases_to(n, dice, -_Z80),
        },
        "p_unreachable": round(1 - above(_CEILING, _CEILING_SD, dice), 2),
    }


def in_percent(chance: float) -> str:
    """In the app's words, which never say 0 % or 100 %."""
    if chance < 0.01:
        return "under 1 %"
    return "over 99 %" if chance > 0.99 else f"{100 * chance:.0f} %"


def advice_of(n: int, target: dict | None) -> dict:
    """In the app's words."""
    if target is not None and target["p_reached"] >= 0.9:
        chance = in_percent(target["p_reached"])
        sentence = f"The target of {100 * target['dice']:g} points is reached for cases of this kind (probability {chance})."
        return {
            "action": "stop",
            "cases": 0,
            "probability": target["p_reached"],
            "sentence": sentence,
            "because": "target",
        }
    five = gain(n, 5)
    chance = in_percent(five["p_at_least_1pt"])
    sentence = (
        f"5 more cases of this kind raise the Dice by 1 point or more with a chance of {chance}, and take about "
        f"{5 * _MINUTES / 60:.1f} hours."
    )
    return {"action": "continue", "cases": 5, "probability": five["p_at_least_1pt"], "sentence": sentence}


def sufficiency(
    n: int,
    target: float | None = 0.85,
    labels: tuple[str, ...] = ("anterior", "posterior"),
    measured: bool = True,
) -> dict:
    """`GET /sufficiency/` with `n` cases labelled, following the design's contract.

    Not `measured`: no model has been tested on them yet.
    """
    base = {
        "schema": 1,
        "model": "segmentation",
        "status": "too_few" if n < 4 or not measured else "prior_dominated" if n < 6 else "ready",
        "n_labelled": n,
        "n_in_curve": n,
        "n_pool": 60 - n,
        "metric": "dice",
        "updated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "message": "",
        "overall": None,
        "structures": [],
        "target": None,
        "strategies": [],
        "advice": {"action": "wait", "cases": 1, "probability": None, "sentence": "", "reason": ""},
        "coverage": {"outside": 7, "pool": 24, "cases": [{"image": "case_041", "distance": 3.1}]},
        "observed": [],
        "job": {"state": "idle", "done": 0, "total": 0, "eta_seconds": None},
        "doubts": [],
    }
    if n < 4 or not measured:
        missing = (
            f"{n} usable labelled case{'' if n == 1 else 's'} so far, at least 4 are needed"
            if n < 4
            else "no model has been tested on these cases yet"
        )
        sentence = f"Not enough to say yet: {missing}."
        base["message"] = base["advice"]["sentence"] = sentence
        base["advice"]["cases"] = max(0, (4 if measured else 5) - n) or None
        return base
    kinds = ("prequential", "fold", "prequential")
    for index, k in enumerate(range(2, n + 1, 2)):
        wobble, kind = (0.012, -0.016, 0.007)[index % 3], kinds[index % 3]
        for name, offset in (("", 0.0), *zip(labels, (0.015, -0.015), strict=False)):
            ends = interval(dice_at(k, offset) + wobble, sd_at(k))
            lo80, hi80 = (ends["lo80"], ends["hi80"]) if kind == "fold" else (None, None)
            point = {
                "n": k,
                "dice": ends["mean"],
                "kind": kind,
                "structure": name,
                "lo80": lo80,
                "hi80": hi80,
            }
            base["observed"].append({**point, "n_cases": k if kind == "fold" else 1})
    base["target"] = None if target is None else target_of(n, target)
    base.update(
        overall=curve(n),
        structures=[{"name": m, **curve(n, o)} for m, o in zip(labels, (0.015, -0.015), strict=False)],
        advice={"reason": "", **advice_of(n, base["target"])},
        strategies=[
            {
                "name": "genda",
                "title": "GenDA",
                "what": "Bends your cases into new shapes of the same kind.",
                "kappa": {"mean": 1.6, "lo80": 1.2, "hi80": 2.1},
                "dice_difference": {"mean": 0.021, "lo80": 0.008, "hi80": 0.034, "n_cases": n},
                "nsd_difference": {"mean": 0.03, "lo80": 0.01, "hi80": 0.05},
            },
            {
                "name": "genseg",
                "title": "GenSeg",
                "what": "Paints new images for given labels, as far as that is shown to help.",
                "kappa": {"mean": 1.1, "lo80": 0.8, "hi80": 1.5},
                "dice_difference": {"mean": 0.004, "lo80": -0.01, "hi80": 0.019},
            },
        ],
    )
    return base


def break_off(connection: socket.socket) -> None:
    """End a connection, whatever is on it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class StubServer(ThreadingHTTPServer):
    """State and switches of the stub; `handlers` replaces single routes for single tests."""

    daemon_threads = True

    def __init__(
        self, image: Path | None = None, labels: dict[str, int] | None = None, port: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.labels = {"anterior": 1, "posterior": 2} if labels is None else labels
        self.model = True
        self.image = image
        self.n = 6
        self.total = 60
        self.measured = True
        self.target: float | None = 0.85
        self.steps = 400
        self.choices = {
            "random": "Random order; about one case in five is to be labelled without a prediction",
            "coverage": "The case that the labelled ones explain worst; one in four at random",
        }
        self.delay = 0.0
        self.clock_s = 0.0
        self.blind: bool | None = False
        self.cases = [f"case_{i:03d}" for i in range(7, 20)]
        self.saved: list[dict] = []
        self.notes: list[tuple[str, dict]] = []
        self.label_times: dict[str, int] = {}
        self.told_times: list[int | None] = []
        self.requests: list[str] = []
        self.headers_seen: list[dict] = []
        self.training: dict | None = None
        self.queued: list[dict] = []
        self.train_stats: dict = {}
        self.job = {"state": "idle", "done": 0, "total": 0, "eta_seconds": None}
        self.checks: list[dict] = []
        self.prediction: bytes = b""
        self.connections: set[socket.socket] = set()
        self.handlers: dict[tuple[str, str], Callable[[_Handler], None]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> StubServer:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            break_off(connection)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def encrypt(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: StubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.clock_s)

    def log_message(self, *_args: object) -> None:
        """Quiet."""

    def answer(self, data: object, status: int = 200) -> None:
        self.send(json.dumps(data).encode(), "application/json", status)

    def send(self, body: bytes, kind: str = "application/octet-stream", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        server = self.server
        self.place = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(self.place.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.requests.append(f"{self.command} {self.path}")
        server.headers_seen.append(dict(self.headers))
        time.sleep(server.delay)
        special = server.handlers.get((self.command, self.place.path))
        if special is not None:
            special(self)
            return
        route = getattr(self, f"_{self.command.lower()}_{self.place.path.strip('/').split('/')[0]}", None)
        if route is None:
            self.answer({"detail": "Not Found"}, 404)
        else:
            route()

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _get_info(self) -> None:
        server = self.server
        config = {"strategy": ["baseline", "genda"], "steps": server.steps, "max_minutes": 60}
        self.answer(
            {
                "name": "Scaling App",
                "description": "",
                "version": "0.1.0",
                "labels": list(server.labels),
                "models": {"segmentation": {"type": "segmentation", "labels": server.labels}}
                if server.model
                else {},
                "trainers": {
                    "segmentation": {"config": config, "labels": server.labels},
                    "learning_curve": {"config": {**config, "curve_minutes": 30}},
                },
                "strategies": {name: {"description": words} for name, words in server.choices.items()},
                "scoring": {},
                "train_stats": server.train_stats,
                "datastore": {
                    "total": server.total,
                    "completed": server.n,
                    "label_tags": {"final": server.n},
                },
                "sufficiency": {"schema": 1, "status": "ready", "strategies": OFFERED},
            }
        )

    def _get_sufficiency(self) -> None:
        server = self.server
        data = sufficiency(server.n, server.target, tuple(server.labels) or ("kidney",), server.measured)
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + server.clock_s))
        self.answer({**data, "updated": made, "job": server.job, "doubts": server.checks})

    def _post_sufficiency(self) -> None:
        parts = self.place.path.strip("/").split("/")
        data = json.loads(self.body or b"{}")
        if parts[1] == "target":
            self.server.target = data["dice"]
        elif parts[1] == "case" and not data:
            reason = "A case takes minutes, blind, confirmed, but nothing came."
            self.answer({"detail": reason}, 422)
            return
        elif parts[1] == "case":
            self.server.notes.append((unquote(parts[2]), data))
            if data.get("confirmed"):
                self.server.checks = [c for c in self.server.checks if c["image"] != unquote(parts[2])]
        elif parts[1] == "steps":
            self.server.steps = data["steps"]
        elif parts[1] == "update":
            self.server.job = {"state": "running", "done": 0, "total": 9, "eta_seconds": 240}
            request = {"model": "learning_curve"}
            self.server.training = {"id": "1", "status": "RUNNING", "request": request, "details": []}
        self.answer({})

    def _post_activelearning(self) -> None:
        server = self.server
        if not server.cases:
            self.answer({})
            return
        name = server.image.name if server.image else "image.nii.gz"
        found = {"id": server.cases[0], "name": name, "path": f"/server/studies/{name}", "ts": 1}
        self.answer(found if server.blind is None else {**found, "blind": server.blind})

    def _get_datastore(self) -> None:
        server = self.server
        if self.place.path == "/datastore/image":
            self.send(server.image.read_bytes())
        elif self.place.path == "/datastore/image/info":
            self.answer({"name": server.image.name})
        elif self.place.path == "/datastore/label":
            self.send(server.prediction)
        elif self.place.path == "/datastore/label/info":
            saved_at = server.label_times.get(self.query["label"])
            server.told_times.append(saved_at)
            self.answer({} if saved_at is None else {"ts": saved_at})
        else:
            self.answer({"objects": {case: {} for case in server.cases}})

    def _put_datastore(self) -> None:
        server = self.server
        form = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + self.body
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(form)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        image = self.query["image"]
        if image not in server.cases and image not in [s["image"] for s in server.saved]:
            self.answer({"detail": f"There is no image {image!r} in the datastore."}, 404)
            return
        server.saved.append(
            {
                "image": image,
                "tag": self.query["tag"],
                "params": json.loads(parts["params"].get_payload(decode=True)),
                "file_name": parts["label"].get_filename(),
                "content": parts["label"].get_payload(decode=True),
            }
        )
        if not server.labels:
            server.labels = {
                entry["name"]: entry["idx"] for entry in server.saved[-1]["params"]["label_info"]
            }
        if image in server.cases:
            server.cases.remove(image)
            server.n += 1
        self.answer(
            {"image": image, "label": image, "sufficiency": {"status": "ready", "doubts": server.checks}}
        )

    def _post_infer(self) -> None:
        self.send(self.server.prediction)

    def _get_train(self) -> None:
        if self.server.training is None:
            self.answer({"detail": "No Train Tasks Found"}, 404)
        elif self.query.get("all") == "true":
            self.answer([self.server.training, *self.server.queued])
        else:
            self.answer(self.server.training)

    def _post_train(self) -> None:
        if self.server.training and self.server.training["status"] == "RUNNING":
            self.answer({"detail": "++++++++++ Train Task is Already Running"}, 429)
            return
        model = self.place.path.strip("/").split("/")[1]
        request = {**json.loads(self.body or b"{}"), "model": model}
        self.server.training = {"id": "1", "status": "RUNNING", "request": request, "details": []}
        self.answer(self.server.training)

    def _delete_train(self) -> None:
        if self.server.training:
            self.server.training = {**self.server.training, "status": "STOPPED"}
        self.answer(self.server.training)


def redirect(handler: Any) -> None:
    """As a proxy does whose users have to log in."""
    handler.send_response(302)
    handler.send_header("Location", "/login")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def half(handler: Any) -> None:
    """The beginning of an answer, and then the connection breaks."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"schema": 1, "stat')
    handler.wfile.flush()
    break_off(handler.connection)


def drip(handler: Any) -> None:
    """A byte now and then, without end, until nobody listens."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    _pour(handler, b" ", 0.03)


def drip_headers(handler: Any) -> None:
    """The same, before there is an answer at all."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
    _pour(handler, b"x", 0.03)


def endless(handler: Any) -> None:
    """An answer of any length that is read."""
    handler.send_response(200)
    handler.end_headers()
    _pour(handler, b" " * (1 << 18), 0.0)


def _pour(handler: Any, drop: bytes, pause_s: float) -> None:
    handler.close_connection = True
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(drop)
            handler.wfile.flush()
            time.sleep(pause_s)
