"""How many there are of what, for whoever watches a server: numbers alone, no names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from scaling_app.ledger import tables
from scaling_app.ledger.store import Store


@dataclass(frozen=True)
class Counts:
    """Numbers of rows.

    Attributes:
        cases: labelled cases; `doubted` of them have an open doubt.
        labels: labels ever saved.
        runs: purpose and state -> runs.
        revision: of the ledger; `forecast_revision` is the one that the newest forecast was made from.
        forecast_at: when that was made.
    """

    cases: int
    doubted: int
    labels: int
    runs: Mapping[tuple[str, str], int]
    revision: int
    forecast_revision: int | None
    forecast_at: datetime | None


class CountBook(Store):
    """The part of the ledger that counts."""

    def counts(self) -> Counts:
        """The numbers of one moment."""
        runs, forecasts = tables.runs, tables.forecasts
        newest = select(forecasts.c.revision, forecasts.c.made_at).order_by(
            forecasts.c.revision.desc(), forecasts.c.id.desc()
        )
        doubted = tables.doubted.distinct().subquery()
        with self._read() as connection:
            kinds = select(runs.c.purpose, runs.c.state, func.count()).group_by(runs.c.purpose, runs.c.state)
            forecast = connection.execute(newest.limit(1)).first()
            return Counts(
                cases=connection.execute(select(func.count()).select_from(tables.cases)).scalar_one(),
                doubted=connection.execute(select(func.count()).select_from(doubted)).scalar_one(),
                labels=connection.execute(select(func.count()).select_from(tables.labels)).scalar_one(),
                runs={(purpose, state): count for purpose, state, count in connection.execute(kinds)},
                revision=connection.execute(select(tables.state.c.revision)).scalar_one(),
                forecast_revision=None if forecast is None else forecast.revision,
                forecast_at=None if forecast is None else forecast.made_at,
            )
