"""The app's method on the bank's sessions: data set by data set, and apart by whether settings were chosen on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.common.tables import Row
from benchmarks.forecast.bank_tests import BANDS, RATIOS, Answer, row_of, usable

CHOSEN_ON = ("busi", "dsb2018_nuclei", "hc18", "sunnybrook_lv", "wbc")
"""Data sets on which settings of the model were chosen (REMEDIES.md); the others were looked at afterwards."""


def by_task(own: Sequence[Answer]) -> list[Row]:
    """The app's method at 2 N, a row for each data set, with the floors; intervals are over its sessions, which share
    trainings, and so too narrow."""
    t = RATIOS.index(2.0)
    table: list[Row] = []
    for task in sorted({a.task for a in own}):
        for n_now in BANDS:
            group = usable([a for a in own if a.task == task and a.session.n_now == n_now], t)
            if group:
                row = row_of(group, t, np.arange(len(group)))
                curves = len({(a.session.curve.structure) for a in group})
                kept = {k: v for k, v in row.items() if k not in ("tasks", "conformal width 80% points")}
                saw = "yes" if task in CHOSEN_ON else "no"
                table.append(
                    {"data set": task, "settings chosen on it": saw, "structures": curves, "N": n_now, **kept}
                )
    return table


def by_choice(own: Sequence[Answer]) -> list[Row]:
    """The app's method at 2 N, on the data sets that settings were chosen on and on the others; intervals are over these."""
    t = RATIOS.index(2.0)
    table: list[Row] = []
    for chosen in (True, False):
        for n_now in BANDS:
            group = [a for a in own if a.session.n_now == n_now and (a.task in CHOSEN_ON) == chosen]
            if group := usable(group, t):
                row = {k: v for k, v in row_of(group, t).items() if k != "conformal width 80% points"}
                table.append({"settings chosen on them": "yes" if chosen else "no", "N": n_now, **row})
    return table
