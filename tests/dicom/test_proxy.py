"""The DICOM server as the viewer reaches it through this one: all of DICOMweb that it needs, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User

from benchmarks.common.made_series import as_bytes, make_series
from scaling_app.monai_app.dicom.pacs import Pacs
from scaling_app.monai_app.dicom.proxy import add_dicom_proxy
from scaling_app.monai_app.routes import readers
from scaling_app.web.storage_answers import answer_storage_errors

pytestmark = pytest.mark.slow_processes


def proxy(pacs: Pacs, *show: Callable[[str, User], object]) -> TestClient:
    router, server = APIRouter(), FastAPI()
    add_dicom_proxy(router, pacs, *show)
    server.include_router(router)
    answer_storage_errors(server)
    return TestClient(server, raise_server_exceptions=False)


@pytest.fixture
def viewer(orthanc) -> Iterator[TestClient]:
    with proxy(Pacs(orthanc.url)) as client:
        yield client


def test_a_search_finds_what_it_is_for_and_voxels_come_as_they_are(orthanc, viewer) -> None:
    one, other = make_series(patient="P1"), make_series(patient="P2", seed=1)
    orthanc.send(one), orthanc.send(other)
    studies = viewer.get("/proxy/dicom/qido/studies", params={"PatientID": "P2"}).json()
    study, series = other[0].StudyInstanceUID, other[0].SeriesInstanceUID
    assert [found["0020000D"]["Value"] for found in studies] == [[study]]
    place = f"/proxy/dicom/wado/studies/{study}/series/{series}"
    assert len(viewer.get(f"{place.replace('wado', 'qido')}/metadata").json()) == len(other)
    assert len(viewer.get(f"{place}/metadata").json()) == len(other)
    frame = viewer.get(f"{place}/instances/{other[0].SOPInstanceUID}/frames/1")
    assert frame.headers["content-type"].startswith("multipart/related")
    assert other[0].PixelData in frame.content


def test_an_instance_that_a_viewer_stores_is_there(orthanc, viewer) -> None:
    sent = make_series(patient="P3")[0]
    head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
    answer = viewer.post(
        "/proxy/dicom/wado/studies",
        content=head + as_bytes(sent) + b"\r\n--x--",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'},
    )
    assert answer.status_code == 200
    assert len(orthanc.series(SeriesInstanceUID=sent.SeriesInstanceUID)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "qido/../../system",
        "qido/..%2f..%2fsystem",
        "qido/%2e%2e/%2e%2e/system",
        "wado/studies/..%2f..%2f..%2fsystem",
        "wado/studies/1/%2e%2e/%2e%2e/%2e%2e/system",
        "wado/system",
        "wado/",
        "wado//127.0.0.1/studies",
        "wado/studies/@127.0.0.1",
        "wado/studies/1%3f",
        "studies",
    ],
)
def test_nothing_else_of_that_machine_can_be_asked(monkeypatch, path: str) -> None:
    asked: list[object] = []
    pacs = Pacs("http://127.0.0.1:9/dicom-web")
    monkeypatch.setattr(pacs._session, "request", lambda *said, **_: asked.append(said))
    client = proxy(pacs)
    for method in ("GET", "POST"):
        assert client.request(method, f"http://testserver/proxy/dicom/{path}").status_code == 404
    assert client.post("/proxy/dicom/wado/studies/1/series/2").status_code == 404
    assert asked == []


def test_who_may_only_read_stores_nothing() -> None:
    router = APIRouter()
    add_dicom_proxy(router, Pacs("http://127.0.0.1:9/dicom-web"))
    roles = {
        method: dependency.call.roles
        for route in router.routes
        for method in route.methods
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, RBAC)
    }
    assert roles == {
        "GET": settings.MONAI_LABEL_AUTH_ROLE_USER,
        "POST": settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR,
    }


def test_a_dicom_server_that_is_silent_or_knows_us_not_is_named(orthanc, viewer, monkeypatch) -> None:
    monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PASSWORD", "wrong")
    answer = proxy(Pacs(orthanc.url)).get("/proxy/dicom/qido/studies")
    assert answer.status_code == 503 and "user and password" in answer.json()["detail"]
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes the connection and says nothing
        monkeypatch.setattr(settings, "MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT", 0.2)
        answer = proxy(Pacs(f"http://127.0.0.1:{deaf.getsockname()[1]}")).get("/proxy/dicom/qido/studies")
    assert answer.status_code == 503 and "did not answer in time" in answer.json()["detail"]


def test_who_reads_a_label_here_has_seen_it_and_who_reads_the_case_alone_may_not(
    orthanc, ward_of, monkeypatch
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")
    image = orthanc.send(make_series())
    ward = ward_of()
    ward.submit(image, ward.draw(image))
    (held,) = orthanc.segmentations()
    study = f"/proxy/dicom/wado/studies/{held.StudyInstanceUID}"
    label = f"{study}/series/{held.SeriesInstanceUID}"
    ledger, app = ward.studies.ledger, SimpleNamespace(open_studies=ward.studies)
    client = proxy(
        ward.store.pacs, lambda path, user: readers.show_labels(app, ward.store.labels_at(path), user)
    )
    who = "ben"
    monkeypatch.setattr(readers, "reader_name", lambda *_: who)
    for harmless in (
        f"{label}/metadata",
        f"{study}/series",
        f"{study}/series/{image}",
        "/proxy/dicom/qido/studies",
    ):
        assert client.get(harmless).status_code == 200
    assert not ledger.saw_label_of_others(image, "ben")
    for place in (
        label,
        f"{label}/instances/{held.SOPInstanceUID}/frames/1",
        study,
        label.replace("wado", "qido"),
    ):
        who = f"reader of {place}"
        client.get(place)  # Orthanc cuts no frames of one bit out
        assert ledger.saw_label_of_others(image, who.casefold())
    who = "anna"
    assert client.get(label).status_code == 200 and not ledger.saw_label_of_others(image, "anna")
    who = "carl"
    ledger.ask_reading(image, "carl")
    refused = client.get(label)
    assert refused.status_code == 409 and "Second reading" in refused.json()["detail"]
    assert not ledger.saw_label_of_others(image, "carl")
