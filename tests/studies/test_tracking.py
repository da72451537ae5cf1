"""MLflow is told of published trainings, and never stops one."""

from __future__ import annotations

import importlib.util
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scaling_app.imaging.synthetic import STRUCTURES
from scaling_app.ledger import Run, utc_now
from scaling_app.studies import tracking
from scaling_app.studies.conf import ConfError, read_conf
from scaling_app.studies.tracking import parse_store, tell
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.model import TrainedModel, new_network
from scaling_app.trials.plan import make_plan
from tests.volumes import volumes

__all__ = ["volumes"]


@pytest.fixture
def model(volumes: list[CaseFiles]) -> TrainedModel:
    """One that names its cases, and keeps what a strategy took from them; so does its finer look."""
    plan = make_plan(volumes, STRUCTURES, network="resunet", capacity=4)
    named = {"train_ids": ("Miller",), "pool_ids": ("Jones",), "strategy_state": {"Miller": [1.0]}}
    fine = TrainedModel(plan, new_network(plan), report={}, **named)
    return TrainedModel(plan, new_network(plan), report={"loss": 0.5}, fine=fine, **named)


def told(folder: Path, store: str, model: TrainedModel) -> bool:
    """Two patients held out; one has a structure that the other lacks."""
    run = Run("published-1", "published", "none", "resunet", ["Miller"] * 8, 8, 0, None, "hash", utc_now())
    held_out = [
        SimpleNamespace(case_id="Smith", scores=[score("left (lobe)", dice)])
        for dice in (0.6, 0.8, math.nan, None)
    ]
    return tell(store, run, 400, held_out, 0.75, model, folder)


def score(structure: str, dice: float | None) -> SimpleNamespace:
    return SimpleNamespace(structure=structure, dice=dice)


@pytest.mark.slow_processes
def test_a_sqlite_store_holds_options_scores_and_the_model_and_names_no_patient(
    tmp_path: Path, model: TrainedModel
) -> None:
    pytest.importorskip("mlflow")
    assert told(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", model)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store:
        params = dict(store.execute("SELECT key, value FROM params").fetchall())
        assert (
            params.items() >= {"strategy": "none", "steps": "400", "n_train": "8", "n_held_out": "4"}.items()
        )
        assert store.execute("SELECT key, value FROM metrics ORDER BY key").fetchall() == [
            ("dice", 0.75),
            ("dice/left _lobe_", 0.7),
        ]
        assert store.execute("SELECT name, status FROM runs").fetchall() == [("published-1", "FINISHED")]
    (kept,) = (tmp_path / "mlflow").rglob("published-1.pt")
    there = [file.read_bytes() for file in (tmp_path / "mlflow.db", kept)]
    assert not any(name in content for name in (b"Miller", b"Jones", b"Smith") for content in there)
    loaded = TrainedModel.load(kept, "cpu")
    assert loaded.report == model.report and loaded.fine is not None
    for name, weight in model.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], weight)


def test_a_server_that_is_away_costs_a_line_in_the_log(
    tmp_path: Path, model: TrainedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "SECONDS", 0.2)
    assert told(tmp_path, "http://127.0.0.1:9", model) is False
    monkeypatch.setattr(tracking.sys, "executable", "false")
    assert told(tmp_path, "http://127.0.0.1:9", model) is False
    monkeypatch.setattr(tracking.sys, "executable", str(tmp_path / "missing"))
    assert told(tmp_path, "http://127.0.0.1:9", model) is False
    assert caplog.text.count("The training is published; MLflow was not told of it") == 3


def test_without_the_package_a_start_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfError, match=r"pip install 'scaling-app\[mlflow\]'"):
        read_conf({"mlflow": "http://mlflow:5000"}, app_dir=tmp_path, studies=".")
    assert read_conf({}, app_dir=tmp_path, studies=".").mlflow is None


@pytest.mark.parametrize(
    "store", ["mlruns", "file:///tmp/x", "sqlite://", "http://", "databricks", "postgresql://h/d"]
)
def test_what_is_no_store_is_refused(store: str) -> None:
    with pytest.raises(ValueError, match="an MLflow store is wanted"):
        parse_store(store)
