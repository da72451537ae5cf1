"""A simulated session in a ledger, and its forecast."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from scaling_app.curve.ledger_curve import case_facts, forecast_from
from scaling_app.ledger import Case, Ledger, Observation, Run, utc_now

STRUCTURES = {"anterior": (0.9, 0.55), "posterior": (0.86, 0.45)}

Fill = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as fresh:
        yield fresh


class Session:
    """Labels cases one after another; their models follow a known curve."""

    def __init__(self, ledger: Ledger, structures: Mapping[str, tuple[float, float]], seed: int = 1) -> None:
        self.ledger, self.structures, self.rng = ledger, structures, random.Random(seed)
        self.effects = [self.rng.gauss(0, 0.03) for _ in range(100)]

    def label(self, n: int) -> None:
        """Case number n, and the trainings that it brings."""
        k = n - 1
        self.ledger.save_case(
            Case(f"case_{k:02d}", f"h{k}", utc_now(), f"p{k}", minutes=6 + k % 3, blind=k % 3 == 0)
        )
        if n > 2:
            self._run(f"pub{n}", "published", "prequential", list(range(k)), [k])
        if n in (5, 8, 12, 16):
            for fold in range(5):
                test = [j for j in range(n) if j % 5 == fold]
                train = [j for j in range(n) if j % 5 != fold]
                self._run(f"fold{n}_{fold}", "fold", "fold", train, test)
                if n >= 8 and fold < 2:
                    self._run(f"half{n}_{fold}", "nested", "nested", train[: len(train) // 2], test)

    def _run(self, name: str, purpose: str, kind: str, train: list[int], test: list[int]) -> None:
        ids = [f"case_{j:02d}" for j in train]
        self.ledger.start_run(
            Run(name, purpose, "baseline", "resunet", ids, len(ids), 0, None, "s", utc_now())  # type: ignore[arg-type]
        )
        seen = [
            Observation(name, f"case_{j:02d}", structure, kind, dice=self._dice(len(train), j, structure))  # type: ignore[arg-type]
            for j in test
            for structure in self.structures
        ]
        self.ledger.finish_run(name, seen)

    def _dice(self, n: int, case: int, structure: str) -> float:
        best, loss = self.structures[structure]
        return min(1.0, max(0.0, best - loss * n**-0.75 + self.effects[case] + self.rng.gauss(0, 0.015)))


@pytest.fixture
def session(ledger: Ledger) -> Session:
    return Session(ledger, STRUCTURES)


@pytest.fixture(scope="package")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answer of a session of 13 cases, with those given at 5, 8 and 10 cases."""
    with Ledger(tmp_path_factory.mktemp("session") / "ledger.sqlite") as ledger:
        session = Session(ledger, STRUCTURES)
        ledger.set_setting("target", 0.85)
        history = []
        for n in range(1, 14):
            session.label(n)
            if n in (5, 8, 10, 13):
                history.append({**forecast_from(ledger, n_pool=60 - n), **case_facts(ledger)})
        return history[-1], history
