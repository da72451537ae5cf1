"""What is refused before MONAI Label sees it."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from monailabel.endpoints import datastore as stock_datastore
from monailabel.endpoints import infer, session, train
from monailabel.utils.async_tasks.utils import background_tasks
from monailabel.utils.sessions import Sessions

from scaling_app.imaging.geometry import read_image, read_label
from scaling_app.ledger import LedgerError
from scaling_app.log.veil import Veil
from scaling_app.monai_app.routes import trainings
from scaling_app.monai_app.routes.every import make_router
from scaling_app.monai_app.routes.trainings import start_training
from scaling_app.studies import listing
from scaling_app.studies.labels.raw_voxels import as_label_map
from scaling_app.web.request_checks import read_params, refusing


@pytest.fixture
def client_of(tmp_path, monkeypatch) -> Callable[..., TestClient]:
    """The routes over a desk, with nobody logged in."""
    lent = Sessions(str(tmp_path / "lent"))

    def make(desk, **parts: Callable[..., object]) -> TestClient:
        app = SimpleNamespace(
            open_studies=desk.studies,
            datastore=lambda: desk.studies.datastore,
            take_stock=desk.intake.take_stock,
            veil=Veil(bytes(16)),
            follow_labels=desk.intake.take_stock,
            nothing_to_serve=lambda reader: desk.studies.datastore.nothing_to_serve(),
            take_label=lambda image, path, *_: {"image": image, "kind": path.suffix},
            on_save_label=lambda *_: {},
            files=desk.intake.files,
            studies=str(tmp_path / "studies"),
            scoring_names=lambda: ["sufficiency"],
            model_names=lambda: ["segmentation"],
            rule_names=lambda: ["random"],
            serving=nullcontext(),
            sessions=lambda: lent,
            **parts,
        )
        monkeypatch.setattr(session, "app_instance", lambda: app)
        monkeypatch.setattr(stock_datastore, "app_instance", lambda: app)
        server = FastAPI()
        server.include_router(make_router(app))
        return TestClient(server)

    return make


def files_under(folder: Path) -> set[Path]:
    """The files there, without the datastore's own."""
    return {
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "datastore"))
    }


@pytest.mark.parametrize(
    "name", ["../../../escaped", "/tmp/escaped", "a/b", "..", ".hidden", "a\\b", "a\0", "x" * 201, " "]
)
def test_no_name_that_a_client_gives_leads_out_of_the_datastore(desk_of, client_of, tmp_path, name):
    desk = desk_of(1)
    client, before = client_of(desk), files_under(tmp_path)
    image, label = desk.studies.image_path("synthetic_000"), desk.labels["synthetic_000"]
    known = {"image": "synthetic_000"}
    answers = [
        client.put(
            "/datastore/label",
            params={**known, "tag": name},
            files={"label": (label.name, label.read_bytes())},
        ),
        client.put(
            "/datastore/image", params={"image": name}, files={"file": (image.name, image.read_bytes())}
        ),
        client.delete("/datastore/label", params={"id": "synthetic_000", "tag": name}),
        client.post("/infer/segmentation", params=known, data={"params": json.dumps({"label_tag": name})}),
    ]
    for answer in answers:
        assert answer.status_code == 422 and "cannot be the name of the" in answer.json()["detail"]
    assert files_under(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["Patient 07 (T1)", "1.2.840.113619", "sub-01_T1w+c", "Müller", "_x", "左_01"]
)
def test_names_as_real_data_sets_have_them_are_taken(desk_of, client_of, tmp_path, name):
    desk = desk_of(1)
    image = desk.studies.image_path("synthetic_000")
    answer = client_of(desk).put(
        "/datastore/image", params={"image": name}, files={"file": (image.name, image.read_bytes())}
    )
    assert answer.json() == {"image": name} and desk.studies.image_path(name).parent == image.parent


def test_an_image_that_is_there_is_not_replaced(desk_of, client_of):
    desk = desk_of(2)
    desk.submit("synthetic_000")
    other = desk.studies.image_path("synthetic_001").read_bytes()
    answer = client_of(desk).put(
        "/datastore/image", params={"image": "synthetic_000"}, files={"file": ("x.nii.gz", other)}
    )
    assert answer.status_code == 409 and "another name" in answer.json()["detail"]
    assert desk.studies.has_label("synthetic_000")
    assert desk.studies.image_path("synthetic_000").read_bytes() != other


@pytest.mark.parametrize(("tag", "file"), [("final", "x.sh"), ("original", "x.sh"), ("original", "x.nii.gz")])
def test_a_label_of_a_kind_that_is_not_read_is_refused(desk_of, client_of, tag, file):
    desk = desk_of(1)
    params, files = {"image": "synthetic_000", "tag": tag}, {"label": (file, b"#!/bin/sh")}
    answer = client_of(desk).put("/datastore/label", params=params, files=files)
    assert answer.status_code == 422 and not desk.studies.has_label("synthetic_000", tag)


@pytest.mark.parametrize(
    ("route", "what", "params"),
    [
        ("/datastore/label", "label", {"image": "synthetic_000", "tag": "original"}),
        ("/datastore/image", "image", {"image": "new"}),
    ],
)
def test_a_damaged_file_is_called_what_it_was_sent_as(desk_of, client_of, route, what, params):
    """Nobody who sends one has a file of the name under which it came in."""
    sent = {"file" if what == "image" else "label": ("Doe John.nii.gz", b"no image")}
    answer = client_of(desk_of(1)).put(route, params=params, files=sent)
    assert answer.status_code == 422 and answer.json()["detail"].startswith(f"{what}.nii.gz cannot be read")


def test_a_label_with_another_tag_is_stored_and_deleted_again(desk_of, client_of):
    desk = desk_of(1)
    client, label = client_of(desk), desk.labels["synthetic_000"]
    put = client.put(
        "/datastore/label",
        params={"image": "synthetic_000", "tag": "original"},
        files={"label": (label.name, label.read_bytes())},
    )
    assert put.status_code == 200 and desk.studies.has_label("synthetic_000", "original")
    answer = client.delete("/datastore/label", params={"id": "synthetic_000", "tag": "nope"})
    assert answer.status_code == 404 and "no label 'nope'" in answer.json()["detail"]


def test_params_cannot_name_another_image_than_the_address(desk_of, client_of):
    answer = client_of(desk_of(1)).post(
        "/infer/segmentation", params={"image": "synthetic_000"}, data={"params": '{"image": "/etc/passwd"}'}
    )
    assert answer.status_code == 422 and "?image=" in answer.json()["detail"]


@pytest.mark.parametrize("address", ["/datastore/image", "/datastore/"])
def test_deleting_an_image_that_is_not_there_says_so(desk_of, client_of, address):
    answer = client_of(desk_of(1)).delete(address, params={"id": "ghost"})
    assert answer.status_code == 404 and "ghost" in answer.json()["detail"]


@pytest.mark.parametrize("raw", ["{", "[1]", '"text"', '{"client_id": "\\ud800"}'])
def test_params_that_are_no_object_are_refused(raw):
    with pytest.raises(HTTPException) as refused:
        read_params(raw)
    assert refused.value.status_code == 422
    assert read_params("") == {}


def test_a_prediction_is_never_stored_as_a_label(desk_of, client_of):
    client = client_of(desk_of(1))
    tag = {"label_tag": "final", "save_label": True}
    one = client.post(
        "/infer/segmentation", params={"image": "synthetic_000"}, data={"params": json.dumps(tag)}
    )
    for answer in (one, client.post("/batch/infer/segmentation", json=tag)):
        assert answer.status_code == 422 and "another label_tag" in answer.json()["detail"]
    image, slide = {"image": "synthetic_000"}, {"params": tag}
    assert client.post("/infer/wsi/segmentation", params=image, json=slide).status_code == 404
    answer = client.post("/infer/wsi_v2/segmentation", params=image, data={"wsi": json.dumps(slide)})
    assert answer.status_code == 404


def test_params_cannot_name_another_model_or_strategy_than_the_address(desk_of, client_of):
    asked = []
    client = client_of(desk_of(1), next_sample=lambda request: asked.append(request) or {})
    answer = client.post(
        "/infer/segmentation", params={"image": "synthetic_000"}, data={"params": '{"model": "x"}'}
    )
    assert answer.status_code == 422 and "model" in answer.json()["detail"]
    client.post("/activelearning/random", json={"strategy": "x", "client_id": "ann"})
    assert asked == [{"strategy": "random", "client_id": "ann", "reader": "ann"}]


@pytest.mark.parametrize("value", ["\\ud800", "NaN"])
def test_nothing_gets_into_the_index_that_could_not_be_read_again(desk_of, client_of, value):
    desk = desk_of(1)
    desk.submit("synthetic_000")
    client = client_of(desk)
    raw = f'{{"client_id": {value}}}' if value == "NaN" else f'{{"client_id": "{value}"}}'
    label = {"label": "synthetic_000", "tag": "final"}
    answers = [
        client.post("/activelearning/random", content=raw, headers={"Content-Type": "application/json"}),
        client.put("/datastore/image/info", params={"image": "synthetic_000"}, data={"info": raw}),
        client.put("/datastore/label/info", params=label, data={"info": raw}),
        client.put("/datastore/updatelabelinfo", params=label, data={"params": raw}),
    ]
    assert [answer.status_code for answer in answers] == [422] * 4
    assert desk_of(1).studies.has_label("synthetic_000")


@pytest.mark.parametrize("said", ["strategy", "id", "blind", "message", "path", "ts", "name"])
def test_no_client_says_of_an_image_what_the_server_says_with_the_next_case(desk_of, client_of, said):
    desk = desk_of(1)
    client, before = client_of(desk), desk.studies.datastore.get_image_info("synthetic_000")
    image = desk.studies.image_path("synthetic_000")
    raw = json.dumps({said: [1], "scanner": "A"})
    answers = [
        client.put("/datastore/image/info", params={"image": "synthetic_000"}, data={"info": raw}),
        client.put(
            "/datastore/image?image=b", data={"params": raw}, files={"file": (image.name, image.read_bytes())}
        ),
    ]
    for answer in answers:
        assert answer.status_code == 422 and f"{said}: the server says this itself" in answer.json()["detail"]
    assert desk.studies.datastore.get_image_info("synthetic_000") == before


def test_the_index_does_not_grow_without_bound(desk_of, client_of):
    desk = desk_of(1)
    desk.submit("synthetic_000")
    client, label = client_of(desk), {"label": "synthetic_000", "tag": "final"}
    for _ in range(2):
        statuses = []
        for place, known in (("image", {"image": "synthetic_000"}), ("label", label)):
            for key in range(4):
                raw = json.dumps({f"key{key}": "x" * 30_000})
                answer = client.put(f"/datastore/{place}/info", params=known, data={"info": raw})
                statuses.append(answer.status_code)
        assert statuses == [200, 200, 422, 422] * 2 and "at most 65,536 are kept" in answer.json()["detail"]
    index = Path(desk.studies.datastore._datastore_path) / "datastore_v2.json"
    assert index.stat().st_size < 150_000
    new = {"params": json.dumps({"key": "x" * 70_000})}
    image, drawn = desk.studies.image_path("synthetic_000"), desk.labels["synthetic_000"]
    file = {"file": (image.name, image.read_bytes())}
    assert client.put("/datastore/image?image=b", data=new, files=file).status_code == 422
    before = desk.studies.stored_label("synthetic_000").read_bytes()
    with pytest.raises(ValueError, match="are kept"):
        desk.intake.store("synthetic_000", drawn, {"key": "x" * 70_000}, None)
    assert desk.studies.stored_label("synthetic_000").read_bytes() == before
    assert not desk.studies.has_image("b")


@pytest.mark.parametrize("twin", ["Synthetic_000", "SYNTHETIC_000"])
def test_an_image_whose_name_some_systems_take_for_another_is_refused(desk_of, client_of, twin):
    desk = desk_of(1)
    image = desk.studies.image_path("synthetic_000")
    answer = client_of(desk).put(
        "/datastore/image", params={"image": twin}, files={"file": (image.name, image.read_bytes())}
    )
    assert answer.status_code == 422 and "differs in capitals" in answer.json()["detail"]
    assert listing.are_twins("Mu\u0308ller", "m\u00fcller")


def test_an_image_that_would_be_read_as_a_segmentation_is_refused(desk_of, client_of):
    desk = desk_of(1)
    image = desk.studies.image_path("synthetic_000")
    answer = client_of(desk).put(
        "/datastore/image", params={"image": "b.seg"}, files={"file": ("x.nrrd", image.read_bytes())}
    )
    assert answer.status_code == 422 and "b.seg.nrrd is a segmentation" in answer.json()["detail"]


def test_an_address_of_the_viewer_that_is_too_long_is_answered_with_its_page(desk_of, client_of):
    client = client_of(desk_of(1))
    assert [client.get(f"/ohif/{path}").status_code for path in ("x" * 300, "x/" * 3000)] == [200, 200]


def test_facts_about_images_and_labels_are_stored_and_those_of_others_are_refused(desk_of, client_of):
    desk = desk_of(1)
    desk.submit("synthetic_000")
    client, facts = client_of(desk), {"info": '{"scanner": "A"}'}
    for place, known, ghost in (
        ("image", {"image": "synthetic_000"}, {"image": "ghost"}),
        ("label", {"label": "synthetic_000", "tag": "final"}, {"label": "ghost", "tag": "final"}),
    ):
        assert client.put(f"/datastore/{place}/info", params=known, data=facts).status_code == 200
        answer = client.put(f"/datastore/{place}/info", params=ghost, data=facts)
        assert answer.status_code == 404 and "ghost" in answer.json()["detail"]
    assert desk.studies.datastore.get_image_info("synthetic_000")["scanner"] == "A"
    assert desk.studies.datastore.get_label_info("synthetic_000", "final")["scanner"] == "A"


def test_what_is_no_option_of_a_training_does_not_reach_the_queue(monkeypatch):
    taken = []
    monkeypatch.setattr(train, "run_model", lambda *said: taken.append(said))
    app = SimpleNamespace(trainer_names=lambda: ["segmentation"], require_trainable=lambda *_: None)
    start_training(app, "segmentation", {"gpus": 1, "model": "x", "steps": 4, "max_epochs": 50})
    assert taken == [("segmentation", {"steps": 4}, False, False)]


@pytest.mark.parametrize(
    ("queue", "shown"),
    [
        (["DONE"], "0"),
        (["RUNNING", "SUBMITTED"], "0"),
        (["STOPPED", "RUNNING", "SUBMITTED"], "1"),
        (["STOPPED", "SUBMITTED", "SUBMITTED"], "1"),
        (["DONE", "SUBMITTED"], "1"),
        (["DONE", "ERROR"], "1"),
    ],
)
def test_of_several_trainings_the_one_under_way_is_shown(desk_of, client_of, monkeypatch, queue, shown):
    tasks = [{"id": str(at), "status": status, "request": {}} for at, status in enumerate(queue)]
    monkeypatch.setitem(background_tasks, "train", tasks)
    client = client_of(desk_of(1))
    assert client.get("/train/").json()["id"] == shown
    assert [task["id"] for task in client.get("/train/?all=true").json()] == [task["id"] for task in tasks]


@pytest.mark.parametrize("gpus", [1, ["0"], {}])
def test_gpus_that_are_no_text_are_refused(desk_of, client_of, gpus):
    answer = client_of(desk_of(1)).post("/batch/infer/segmentation", json={"gpus": gpus})
    assert answer.status_code == 422 and "gpus" in answer.json()["detail"]


@pytest.mark.parametrize("wrong", ["size", "image"])
def test_raw_voxels_that_do_not_fit_are_refused_with_a_sentence(desk_of, tmp_path, wrong):
    desk = desk_of(1)
    image = desk.studies.image_path("synthetic_000")
    if wrong == "image":
        image.write_bytes(b"NRRD0004\n\n")
    (tmp_path / "label.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match="raw voxels"), as_label_map(tmp_path / "label.bin", str(image)):
        pass


@pytest.mark.parametrize("kind", ["u1", "<u2"])  # of the viewer's versions 3 and 2
def test_raw_voxels_lie_as_they_were_drawn_and_leave_no_file_behind(desk_of, tmp_path, kind):
    image = desk_of(2).studies.image_path("synthetic_001")
    seen = read_image(image)
    drawn = np.zeros(seen.shape[1:], kind)
    drawn[2:5, 1:9, 3] = 2
    (tmp_path / "label.bin").write_bytes(drawn.tobytes(order="F"))
    with as_label_map(tmp_path / "label.bin", str(image)) as label:
        read = read_label(label)
        assert np.array_equal(read[0], drawn) and np.allclose(read.affine, seen.affine)
    assert not label.exists()


def test_the_button_update_model_of_the_viewer_trains_the_model_with_its_options(
    desk_of, client_of, monkeypatch
):
    asked = []
    monkeypatch.setattr(trainings, "start_training", lambda app, *said: asked.append(said) or {"id": "t"})
    client = client_of(desk_of(1))
    bodies = (
        {},
        None,
        {"learning_curve": {"steps": 2}},
        {"segmentation": {"steps": "80"}},
        {"segmentation": 1},
    )
    for body in bodies:
        answer = client.post("/train/", json=body)
        assert answer.json() == {"segmentation": {"result": {"id": "t"}, "detail": None}}
    assert asked == [("segmentation", body) for body in (None, None, None, {"steps": "80"}, None)]


def test_an_image_is_lent_for_predictions_and_given_back(desk_of, client_of, monkeypatch):
    desk = desk_of(1)
    client, image = client_of(desk), desk.studies.image_path("synthetic_000")
    asked = []
    monkeypatch.setattr(infer, "run_inference", lambda *a: asked.append(a[3]) or {})
    lent = client.put("/session/", files={"files": (image.name, image.read_bytes())}).json()
    one = lent["session_id"]
    got = client.get(f"/session/{one}", params={"image": True})
    assert got.content == image.read_bytes()
    assert client.post("/infer/segmentation", params={"session_id": one}).status_code == 200
    assert asked == [one]
    assert client.delete(f"/session/{one}").status_code == 200
    assert client.post("/infer/segmentation", params={"session_id": one}).status_code == 404


def test_no_archive_and_no_made_up_session_leads_to_a_file_of_this_machine(desk_of, client_of, tmp_path):
    desk = desk_of(1)
    client, image = client_of(desk), desk.studies.image_path("synthetic_000")
    secret = tmp_path / "secret.nii.gz"
    secret.write_bytes(image.read_bytes())
    archive = tmp_path / "outside.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(secret, arcname="../../planted.nii.gz")
    before = files_under(tmp_path)
    packed = {"files": (archive.name, archive.read_bytes())}
    two = [("files", (image.name, image.read_bytes())), ("files", ("meta.info", b"{}"))]
    assert client.put("/session/", params={"uncompress": True}, files=packed).status_code == 422
    assert client.put("/session/", files=packed).status_code == 422
    assert client.put("/session/", files=two).status_code == 422
    made_up = tmp_path / "lent" / "made-up"
    made_up.mkdir(parents=True)
    (made_up / "meta.info").write_text(json.dumps({"image": str(secret)}))
    for name in ("made-up", "..", "x/../made-up"):
        asked = {"session_id": name, "image": str(secret)}
        assert client.post("/infer/segmentation", params=asked).status_code == 404
    assert client.get("/session/made-up", params={"image": True}).status_code == 422
    assert files_under(tmp_path) - {made_up / "meta.info"} == before


def test_no_model_is_put_in_the_place_of_the_one_in_use(desk_of, client_of):
    answer = client_of(desk_of(1)).put("/model/segmentation", files={"file": ("m.pt", b"x")})
    assert answer.status_code == 405 and "trainings on this server" in answer.json()["detail"]


def test_a_downloaded_archive_of_the_labelled_images_leaves_nothing_behind(
    desk_of, client_of, tmp_path, monkeypatch
):
    desk, scratch = desk_of(2), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    client = client_of(desk)
    assert client.get("/datastore/dataset").status_code == 404
    desk.submit("synthetic_000")
    answer = client.get("/datastore/dataset")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len(archive.namelist()) == 3
    assert list(scratch.iterdir()) == []


def test_who_downloads_all_labels_has_seen_them_and_nobody_who_is_to_read_one_alone_may(desk_of, client_of):
    """A second reading drawn over the first one's archive had counted as independent."""
    desk = desk_of(2)
    client, ledger = client_of(desk), desk.studies.ledger
    desk.submit("synthetic_000", "synthetic_001", client_id="ann")
    ledger.ask_reading("synthetic_000", "bob")
    refused = client.get("/datastore/dataset", params={"client_id": "bob"})
    assert refused.status_code == 409 and "draw it from nothing" in refused.json()["detail"]
    for name in ("ann", "carl"):
        assert client.get("/datastore/dataset", params={"client_id": name}).status_code == 200
    seen = [name for name in ("ann", "bob", "carl") if ledger.saw_label_of_others("synthetic_001", name)]
    assert seen == ["carl"]


def test_a_ledger_that_cannot_be_written_is_no_fault_of_the_label():
    with pytest.raises(HTTPException) as refused, refusing():
        raise LedgerError("the ledger refused: database or disk is full")
    assert refused.value.status_code == 503 and "send it again later" in refused.value.detail


def test_next_sample_says_what_was_found_where_there_is_no_image(desk_of, client_of):
    desk = desk_of(1)
    client = client_of(desk, next_sample=lambda _: {})
    assert client.post("/activelearning/random", json={}).json() == {}, "then every case has a label"
    image = desk.studies.image_path("synthetic_000")
    (image.parent / "patient1").mkdir()
    image.rename(image.parent / "patient1" / image.name)
    desk.studies.datastore.refresh()
    answer = client.post("/activelearning/random", json={})
    assert answer.status_code == 200
    assert "1 in sub-folders (patient1), which are not read" in answer.json()["message"]
