"""A request for every route of the server: what writes, and what can be answered without a byte of room."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import requests

from benchmarks.faults.house import House, label_upload
from scaling_app.imaging import synthetic

LABELLED, DOUBTED, POOL = 0, 1, 9
"""Places in `House.images`: with a label, with a doubt about it, without a label."""

NO_ROOM, UNABLE = 507, 503


@dataclass(frozen=True)
class Request:
    """A request that does what it should on a quiet day.

    Attributes:
        method, route: as the server names the route.
        needs: `room`: it writes; `none`: it has to be answered on a full disk, too; `either`: what it writes may be there
            already, or it writes later.
        path: where it goes.
        options: of `requests.request`.
    """

    method: str
    route: str
    needs: Literal["room", "none", "either"]
    path: str
    options: dict = field(default_factory=dict)

    def send(self, house: House) -> requests.Response:
        """Sends it."""
        return house.request(self.method, self.path, **self.options)

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


def prepare(house: House) -> str:
    """Labels, one of them doubted, and a lent image, as the requests below want them; returns the session's id."""
    for image in house.images[:6]:
        house.put_label(image).raise_for_status()
    image = house.images[DOUBTED]
    swapped = [{"name": name, "idx": 3 - value} for name, value in synthetic.STRUCTURES.items()]
    version = house.new_version(image)
    said = {**label_upload(image, version), "data": {"params": json.dumps({"label_info": swapped})}}
    answer = house.request("PUT", "/datastore/label", **said)
    answer.raise_for_status()
    assert answer.json()["sufficiency"]["flags"], "the doubted label raised no doubt"
    lent = house.request("PUT", "/session/", files={"files": _image_file(house)})
    lent.raise_for_status()
    return lent.json()["session_id"]


def requests_of(house: House, session: str, *, model: bool = True) -> Sequence[Request]:
    """One or more for each route; what deletes comes last.

    Args:
        house: where they go.
        session: the lent image's.
        model: whether there is one; without, a prediction is refused before it writes anything.
    """
    image, doubted = house.images[LABELLED], house.images[DOUBTED]
    name, content = _image_file(house)
    new = {"files": {"file": (f"new_{name}", content)}}
    of_image, of_label = {"params": {"image": image}}, {"params": {"label": image, "tag": "final"}}
    gone = {"params": {"id": image, "tag": "final"}}
    info = {"data": {"info": '{"scanner": "A"}', "params": '{"scanner": "A"}'}}
    slides = {"json": {}, "params": {"image": image}}
    case = "/sufficiency/case/{image:path}"

    def to(method: str, route: str, needs: str, path: str = "", **options: object) -> Request:
        return Request(method, route, needs, path or route, options)  # type: ignore[arg-type]

    return [
        to("PUT", "/datastore/label", "room", **label_upload(image, house.new_version(image))),
        to("PUT", "/datastore/image", "room", **new),
        to("PUT", "/datastore/", "room", **new),
        to("PUT", "/datastore/image/info", "room", **of_image, **info),
        to("PUT", "/datastore/label/info", "room", **of_label, **info),
        to("PUT", "/datastore/updatelabelinfo", "room", **of_label, **info),
        to("GET", "/datastore/dataset", "room"),
        to("POST", "/sufficiency/target", "room", json={"dice": 0.87}),
        to("POST", "/sufficiency/steps", "room", json={"steps": 77}),
        to("POST", case, "room", f"/sufficiency/case/{doubted}", json={"minutes": 99.5}),
        to("POST", case, "room", f"/sufficiency/case/{doubted}", json={"blind": True}),
        to("POST", case, "room", f"/sufficiency/case/{doubted}", json={"resolved": True}),
        to("POST", "/activelearning/{strategy}", "room", "/activelearning/random", json={}),
        to("POST", "/train/{model}", "room", "/train/segmentation", json={"steps": 2}),
        to("POST", "/sufficiency/update", "room"),
        to("PUT", "/session/", "room", files={"files": (name, content)}),
        to("GET", "/session/{session_id}", "room", f"/session/{session}", params={"update_ts": True}),
        to("POST", "/infer/{model}", "room" if model else "none", "/infer/segmentation", **of_image),
        to("POST", "/batch/infer/{model}", "either", "/batch/infer/segmentation", json={}),
        to("DELETE", "/batch/infer", "none"),
        to("POST", "/scoring/{method}", "either", "/scoring/sufficiency"),
        to("DELETE", "/scoring/", "none"),
        to("DELETE", "/train/", "none"),
        to("POST", "/train/", "room"),
        to("POST", "/sufficiency/lease/{image:path}", "none", f"/sufficiency/lease/{image}", json={}),
        to("POST", "/scoring/", "none"),
        to("POST", "/infer/wsi/{model}", "none", "/infer/wsi/segmentation", **slides),
        to("POST", "/infer/wsi_v2/{model}", "none", "/infer/wsi_v2/segmentation", **slides),
        to("PUT", "/model/{model}", "none", "/model/segmentation"),
        to("POST", "/reload", "none"),
        to("GET", "/proxy/dicom/{path:path}", "none", "/proxy/dicom/studies"),
        to("POST", "/proxy/dicom/{path:path}", "none", "/proxy/dicom/studies"),
        *(to("GET", path, "none") for path in _PAGES),
        to("GET", "/datastore/image", "none", **of_image),
        to("HEAD", "/datastore/image", "none", **of_image),
        to("GET", "/datastore/image/info", "none", **of_image),
        to("GET", "/datastore/label", "either", **of_label),
        to("HEAD", "/datastore/label", "none", **of_label),
        to("GET", "/datastore/label/info", "none", **of_label),
        to("GET", "/model/{model}", "none", "/model/segmentation"),
        to("GET", "/model/info/{model}", "none", "/model/info/segmentation"),
        to("GET", "/ohif/{path:path}", "none", "/ohif/index.html"),
        to("DELETE", "/datastore/label", "room", **gone),
        to("DELETE", "/datastore/image", "room", **gone),
        to("DELETE", "/datastore/", "room", **gone),
        to("DELETE", "/session/{session_id}", "none", f"/session/{session}"),
        to("DELETE", "/model/{model}", "none", "/model/segmentation"),
    ]


_PAGES = (
    "/",
    "/favicon.ico",
    "/docs",
    "/openapi.json",
    "/info/",
    "/datastore/",
    "/sufficiency/",
    "/sufficiency/curve.csv",
    "/sufficiency/report",
    "/sufficiency/report.html",
    "/sufficiency/report/often",
    "/sufficiency/report/sections",
    "/train/",
    "/scoring/",
    "/batch/infer",
    "/logs/",
    "/logs/gpu",
    "/logs/names",
)


def complaint(request: Request, answer: requests.Response, failure: int) -> str:
    """What is wrong with an answer that a server gave which could not write; empty where nothing is.

    Args:
        failure: the status that says so.
    """
    refused = answer.status_code == failure
    if refused and request.method != "HEAD" and len(answer.json().get("detail", "").split()) < 5:
        return f"{request}: {failure} without a sentence"
    if request.needs == "room" and not refused:
        return f"{request}: {answer.status_code} {answer.text[:120]}"
    if request.needs == "none" and answer.status_code >= 500:
        return f"{request}: {answer.status_code} {answer.text[:120]}"
    if answer.status_code >= 500 and not refused:
        return f"{request}: {answer.status_code} {answer.text[:120]}"
    return ""


def _image_file(house: House) -> tuple[str, bytes]:
    file = next(house.studies.glob(f"{house.images[POOL]}.n*"))
    return file.name, file.read_bytes()
