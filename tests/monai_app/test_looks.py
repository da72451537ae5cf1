"""What the server looks at now and then: one look waits for no other."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace

import pytest

from scaling_app.monai_app import app as app_module
from scaling_app.monai_app.app import ScalingApp

PATIENCE = 30.0


def test_new_labels_are_seen_while_readers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, done, looks = threading.Event(), threading.Event(), threading.Semaphore(0)
    app = ScalingApp.__new__(ScalingApp)
    app.studies, app.veil, app.scratch = "/studies", None, None
    app.open_studies = SimpleNamespace(ledger=None)
    app.agreements = SimpleNamespace(measure=lambda: (compared.set(), done.wait(PATIENCE), sys.exit()))
    others = set(threading.enumerate())

    def take_stock() -> None:
        looks.release()
        if done.is_set():
            raise SystemExit  # ends its thread: what this test put in its way is soon gone

    app.take_stock = take_stock  # type: ignore[method-assign]
    monkeypatch.setattr(app_module, "LOOK_EVERY_SECONDS", 0.01)
    for place, name in (
        (app_module.discretion, "learn_names"),
        (app_module, "close_interrupted_runs"),
        (app_module.scratch, "sweep"),
    ):
        monkeypatch.setattr(place, name, lambda *_, **__: None)
    try:
        app._begin_looking()
        assert compared.wait(PATIENCE)
        assert all(looks.acquire(timeout=PATIENCE) for _ in range(3))
    finally:
        done.set()
        for thread in set(threading.enumerate()) - others:
            thread.join(PATIENCE)
