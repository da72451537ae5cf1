"""A fresh ledger, and short ways to fill it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from scaling_app.ledger import Case, Ledger, Run, utc_now


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as fresh:
        yield fresh


@pytest.fixture
def new_case() -> Callable[..., Case]:
    def make(image_id: str = "a", label_hash: str = "h1", **more: object) -> Case:
        return Case(image_id, label_hash, utc_now(), patient=str(more.pop("patient", image_id)), **more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def new_run() -> Callable[..., Run]:
    def make(run_id: str, train_ids: Sequence[str] = (), **more: object) -> Run:
        values = {"purpose": "fold", "strategy": "baseline", "network": "resunet", "seed": 0, "fold": 0}
        return Run(
            run_id=run_id,
            train_ids=train_ids,
            n=len(train_ids),
            settings_hash="s",
            started_at=utc_now(),
            **{**values, **more},  # type: ignore[arg-type]
        )

    return make
