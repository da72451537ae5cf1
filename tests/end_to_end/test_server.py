"""The whole way over real HTTP: label, train, ledger, curve, forecast. In order, on one server."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from scaling_app.commands.launch import free_port, init_app, server_command
from scaling_app.imaging.geometry import read_image, read_label, same_grid, write_label
from scaling_app.ledger import Ledger
from scaling_app.service.job_state import STARTING

pytestmark = pytest.mark.slow_server

STEPS = 8


def ledger_of(server) -> Ledger:
    return Ledger(next(server.app_dir.glob("model/*/ledger.sqlite")), create=False)


def models_of(server) -> dict[str, str]:
    """Hash of every file of the published model and its stats."""
    folder = next(server.app_dir.glob("model/*/ledger.sqlite")).parent
    files = [*folder.glob("*.pt"), folder / "published.json", folder / "train_stats.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def image_of(server, image: str) -> Path:
    return next(server.studies.glob(f"{image}.n*"))


def label_next(server, **params) -> dict:
    """Next Sample, then submit its true label."""
    sample = server.next_sample()
    answer = server.put_label(sample["id"], **params)
    assert answer.status_code == 200, answer.text
    return {**sample, **answer.json()}


@pytest.fixture(scope="module")
def labelled(server) -> list[str]:
    """Six cases labelled in the order of Next Sample."""
    return [label_next(server, minutes=3.0)["id"] for _ in range(6)]


@pytest.fixture(scope="module")
def trained(server, labelled) -> dict:
    """A first training; `second` is the answer to another one asked for meanwhile."""
    server.start_training("segmentation", steps=STEPS, strategy=["baseline", "none"])
    second = server.post("/train/segmentation", json={})
    return {"task": server.wait_for_training(), "second": second}


def test_it_starts_with_no_option_and_nothing_to_show(server):
    info = server.info()
    assert next(iter(info["trainers"])) == "segmentation"
    assert list(info["trainers"]) == ["segmentation", "learning_curve"]
    assert list(info["strategies"]) == ["random", "first", "coverage"]
    assert "sufficiency" in info["scoring"] and "sufficiency" in info
    assert info["models"] == {} and info["datastore"]["total"] == 16
    assert "config" not in info  # the stock Slicer module refuses a server that has it


def test_trainer_options_suit_the_stock_options_table(server):
    for trainer in server.info()["trainers"].values():
        for value in trainer["config"].values():
            assert isinstance(value, (bool, int, float, str)) or all(isinstance(v, str) for v in value)
        assert trainer["config"]["strategy"][0] == "baseline"


def test_before_the_first_label_everything_says_what_is_missing(server):
    assert server.infer("synthetic_000").status_code == 409
    answer = server.post("/train/segmentation", json={})
    assert answer.status_code == 422 and "label a case" in answer.json()["detail"]
    assert server.sufficiency()["status"] == "too_few"


def test_unknown_names_are_refused_with_those_there_are(server):
    for path, known in [
        ("/activelearning/magic", "random"),
        ("/train/magic", "learning_curve"),
        ("/infer/magic?image=synthetic_000", "segmentation"),
    ]:
        answer = server.post(path)
        assert answer.status_code == 404 and known in answer.json()["detail"]
    assert server.infer("nobody").status_code == 404
    assert server.put_label("nobody", server.labels["synthetic_000"]).status_code == 404


def test_unusable_labels_are_refused_and_nothing_is_stored(server, tmp_path):
    image = "synthetic_001"
    other_shape = write_label(np.ones((5, 5, 5), np.uint8), _blank((5, 5, 5)), tmp_path / "small.nii.gz")
    content = gzip.compress(gzip.decompress(server.labels[image].read_bytes()))
    for answer, words in [
        (server.put_label(image, other_shape), "voxels"),
        (server.put_label(image, content=content[: len(content) // 2]), "truncated"),
        (server.put_label(image, content=b"nothing"), "cannot be read"),
        (server.put_label(image, minutes=-3), "minutes"),
    ]:
        assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
    assert server.info()["datastore"]["completed"] == 0
    assert ledger_of(server).cases() == []


def test_a_truncated_image_is_refused(server):
    content = image_of(server, "synthetic_001").read_bytes()
    for address in ("/datastore/image", "/datastore/"):
        answer = server.http.put(
            f"{server.base}{address}",
            params={"image": "broken"},
            files={"file": ("broken.nii.gz", content[: len(content) // 2])},
            timeout=30,
        )
        assert answer.status_code == 422 and "truncated" in answer.json()["detail"]
    assert server.info()["datastore"]["total"] == 16


def test_saved_labels_reach_the_ledger(server, labelled):
    cases = {case.image_id: case for case in ledger_of(server).cases()}
    assert list(cases) == labelled
    assert server.info()["labels"] == ["organ", "nodule"]
    for image, case in cases.items():
        assert case.minutes == 3.0 and case.annotator == "test" and not case.assisted
        assert case.label_hash == hashlib.sha256(server.labels[image].read_bytes()).hexdigest()
    assert any(case.blind for case in cases.values())


def test_a_class_permuted_by_the_viewer_is_flagged_until_it_is_saved_right(server, labelled):
    image = labelled[0]
    answer = server.put_label(image, label_info=[{"name": "nodule", "idx": 1}, {"name": "organ", "idx": 2}])
    (doubt,) = answer.json()["sufficiency"]["doubts"]
    assert doubt["kind"] == "permuted" and "organ" in doubt["sentence"]
    assert image not in [case.image_id for case in ledger_of(server).usable_cases()]
    assert server.put_label(image).json()["sufficiency"]["doubts"] == []
    assert image in [case.image_id for case in ledger_of(server).usable_cases()]


def test_a_label_that_lies_elsewhere_is_flagged(server, labelled, tmp_path):
    image = labelled[1]
    label = read_label(server.labels[image])
    label.affine[:3, 3] += 25
    moved = write_label(label, label, tmp_path / "moved.nii.gz")
    answer = server.put_label(image, moved).json()
    assert [doubt["kind"] for doubt in answer["sufficiency"]["doubts"]] == ["geometry"]
    server.put_label(image)


def test_bad_training_options_are_refused_before_anything_starts(server, labelled):
    for request, words in [({"strategy": "magic"}, "baseline"), ({"steps": -1}, "steps")]:
        answer = server.post("/train/segmentation", json=request)
        assert answer.status_code == 422 and words in answer.json()["detail"]
    revision = ledger_of(server).revision()
    answer = server.post("/train/learning_curve", json={"strategy": "auto", "compare": "genda,nonsense"})
    assert answer.status_code == 422 and "nonsense" in answer.json()["detail"]
    assert server.get("/train/").status_code == 404
    assert ledger_of(server).revision() == revision and ledger_of(server).runs() == []


def test_training_publishes_a_model_and_a_second_one_waits(server, labelled, trained):
    assert trained["second"].status_code == 429 and "running" in trained["second"].json()["detail"]
    assert trained["task"]["status"] == "DONE", trained["task"]["details"]
    info = server.info()
    assert info["models"]["segmentation"]["labels"] == {"organ": 1, "nodule": 2}
    stats = info["train_stats"]["segmentation"]
    assert stats["epoch"] == stats["total_epochs"] == STEPS and stats["n_train"] == 6
    (run,) = ledger_of(server).runs("published")
    assert run.state == "done" and set(run.train_ids) == set(labelled)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_prediction_lies_on_the_grid_of_its_image(server, trained, tmp_path, suffix):
    for image in ("synthetic_002", "synthetic_003"):
        answer = server.infer(image, result_extension=suffix, reveal=True)
        assert answer.status_code == 200, answer.text
        path = tmp_path / f"prediction{suffix}"
        path.write_bytes(answer.content)
        prediction = read_label(path)
        assert same_grid(read_image(image_of(server, image)), prediction) is None
        names = server.infer(image, output="json", reveal=True).json()["label_names"]
        assert set(names.values()) == set(np.unique(prediction)) - {0}
        assert list(names.values()) == sorted(names.values())


def test_a_label_drawn_after_a_prediction_counts_as_assisted(server, trained):
    sample = next(s for s in iter(server.next_sample, {}) if not s["blind"])
    assert server.infer(sample["id"]).status_code == 200
    assert server.put_label(sample["id"]).status_code == 200
    assert ledger_of(server).case(sample["id"]).assisted


def test_a_blind_case_shows_no_prediction_unless_asked_to(server, trained):
    ledger = ledger_of(server)
    sample = next(s for s in iter(server.next_sample, {}) if s["blind"])
    answer = server.infer(sample["id"])
    assert answer.status_code == 409 and "without looking" in answer.json()["detail"]
    assert server.put_label(sample["id"]).status_code == 200
    case = ledger.case(sample["id"])
    assert case.blind and not case.assisted
    assert server.infer(sample["id"]).status_code == 200  # labelled now: nothing to spoil


def test_the_curve_is_measured_without_touching_the_model_in_use(server, trained):
    before = models_of(server)
    task = server.train("learning_curve", steps=STEPS)
    assert task["status"] == "DONE", task["details"]
    assert models_of(server) == before
    ledger = ledger_of(server)
    assert {run.state for run in ledger.runs("fold")} == {"done"}
    folds = ledger.runs("fold")
    assert {run.fold for run in folds} == set(range(5)) and ledger.runs("nested")
    assert len({run.seed for run in folds}) == len(folds), "what is trained again has luck of its own"
    kinds = {seen.kind for seen in ledger.observations()}
    assert kinds == {"fold", "nested", "prequential", "arm"}
    assert {run.strategy for run in ledger.runs("arm")} == {"baseline+longer"}, "tried once, from 8 cases on"
    tested = {seen.image_id for seen in ledger.observations(kind="prequential")}
    trained_on = set(ledger.runs("published")[-1].train_ids)
    assert tested and not tested & trained_on
    job = ledger.job()
    assert job["state"] == "idle" and job["done"] == job["total"] > 5


def test_a_stopped_job_leaves_a_consistent_ledger(server, trained):
    server.start_training("learning_curve", steps=100000)
    job = server.get("/sufficiency/").json()["job"]
    assert (job["state"], job["message"]) == ("running", STARTING)
    ledger = ledger_of(server)
    server.wait_for(lambda: any(run.state == "running" for run in ledger.runs()), 90)
    assert server.http.delete(f"{server.base}/train/", timeout=30).json()["status"] == "STOPPED"
    assert {run.state for run in ledger.runs()} == {"done", "stopped"}
    assert ledger.job()["state"] == "idle"


def test_training_steps_are_set_for_all_trainers_and_taken_back(server):
    def steps():
        return {trainer["config"]["steps"] for trainer in server.info()["trainers"].values()}

    before = steps()
    assert server.post("/sufficiency/steps", json={"steps": 1600}).json() == {"steps": 1600}
    assert steps() == {1600}
    assert server.post("/sufficiency/steps", json={"steps": 0}).status_code == 422 and steps() == {1600}
    server.post("/sufficiency/steps", json={"steps": None})
    assert steps() == before and len(before) == 1


def test_the_forecast_is_everywhere(server, trained):
    payload = server.sufficiency()
    n_cases = len(ledger_of(server).cases())
    assert payload["n_labelled"] == n_cases and payload["n_pool"] == 16 - n_cases
    assert payload["status"] in ("prior_dominated", "ready")
    assert [point["extra"] for point in payload["overall"]["forecast"]][:2] == [1, 5]
    assert {structure["name"] for structure in payload["structures"]} == {"organ", "nodule"}
    labelled = {case.image_id for case in ledger_of(server).cases()}
    assert 0 < payload["coverage"]["pool"] <= 16 - n_cases
    assert not labelled & {case["image"] for case in payload["coverage"]["cases"]}
    assert server.info()["sufficiency"]["n_labelled"] == n_cases
    assert server.info()["scoring"]["sufficiency"]["result"]["n_labelled"] == n_cases
    assert server.get("/sufficiency/curve.csv").text.startswith("n,")
    assert "<html" in server.get("/sufficiency/report").text
    json.dumps(server.info(), allow_nan=False)


def test_scoring_answers_at_once(server, trained):
    server.sufficiency()
    began = time.monotonic()
    answer = server.post("/scoring/sufficiency", params={"run_sync": "true"}, json={})
    assert answer.json()["n_labelled"] == len(ledger_of(server).cases())
    assert time.monotonic() - began < 2


def test_the_curve_job_starts_from_the_panel_too(server, trained):
    assert server.post("/sufficiency/update").status_code == 200
    answer = server.post("/sufficiency/update")
    assert answer.status_code == 429
    server.wait_for(lambda: server.get("/train/").json()["status"] == "RUNNING")
    assert server.http.delete(f"{server.base}/train/", timeout=30).json()["status"] == "STOPPED"


def test_a_training_of_the_model_in_use_goes_before_a_curve_job_which_goes_on_after_it(server, trained):
    server.start_training("learning_curve", steps=4000, curve_minutes=20)
    server.wait_for(lambda: server.sufficiency()["job"]["message"] not in ("", STARTING), 120)
    assert server.sufficiency()["job"]["state"] == "running"
    began = time.monotonic()
    answer = server.post("/train/segmentation", json={"steps": STEPS})
    assert answer.status_code == 200, answer.text

    def all_tasks() -> list[dict]:
        return server.get("/train/", params={"all": "true"}).json()[-3:]

    server.wait_for(lambda: [t["status"] for t in all_tasks()][1:] == ["DONE", "RUNNING"], 120)
    curve, published, rest = all_tasks()
    assert time.monotonic() - began < 120 and curve["status"] == "STOPPED"
    assert [t["request"]["model"] for t in (curve, published, rest)] == [
        "learning_curve",
        "segmentation",
        "learning_curve",
    ]
    assert rest["request"]["steps"] == 4000 and 10 < rest["request"]["curve_minutes"] < 20
    server.wait_for(lambda: server.sufficiency()["job"]["state"] == "running", 120)
    assert server.http.delete(f"{server.base}/train/", timeout=30).json()["status"] == "STOPPED"
    assert server.sufficiency()["job"]["state"] == "idle"


def test_pages_of_other_sites_get_no_permission_to_read(server):
    for path in ("/info/", "/sufficiency/", "/datastore/?output=all"):
        answer = server.get(path, headers={"Origin": "https://elsewhere.example"})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


def test_a_target_is_kept_and_a_senseless_one_refused(server, trained):
    assert server.post("/sufficiency/target", json={"dice": 0.85}).status_code == 200
    assert server.sufficiency()["target"]["dice"] == 0.85
    answer = server.post("/sufficiency/target", json={"dice": -0.5})
    assert 400 <= answer.status_code < 500
    assert server.sufficiency()["target"]["dice"] == 0.85


def test_a_killed_server_and_a_lost_index_change_nothing(server, trained, restarted):
    before = {case.image_id: case for case in ledger_of(server).cases()}
    again = restarted(server, without=["datastore_v2.json"])
    after = {case.image_id: case for case in ledger_of(again).cases()}
    assert after == before
    assert again.info()["labels"] == ["organ", "nodule"]
    assert "segmentation" in again.info()["models"]


def test_structures_that_do_not_fit_the_ledger_end_the_start_with_one_line(server, tmp_path, trained):
    folder = next(server.app_dir.glob("model/*/ledger.sqlite"))
    command = server_command(
        str(server.studies),
        host="127.0.0.1",
        port=free_port(),
        app_dir=init_app(tmp_path / "app"),
        conf={"labels": "nodule,organ", "ledger": str(folder)},
    )
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert ended.returncode == 2
    line = ended.stderr.strip().splitlines()[-1]
    assert line.startswith("scaling-app:") and "must keep it" in line
    assert "Traceback" not in ended.stderr


def _blank(shape: tuple[int, ...]):
    import torch
    from monai.data import MetaTensor

    return MetaTensor(torch.zeros((1, *shape)), affine=torch.eye(4, dtype=torch.float64))
