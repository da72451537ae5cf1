"""DataEval's `Sufficiency` fit on the same points (installed for this measurement only: `pip install dataeval`).

One random curve of each of LCDB 1.1's report data sets, observed at 16, 32, 64, 128 with an error of 2 points.
Its fit is a power law with an asymptote by basin hopping (1,000 hops, its default); it has no intervals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.common.tables import Row, errors
from benchmarks.forecast.curve_tests import (
    HORIZONS,
    OBSERVED,
    observe,
    own_scale_prior,
    sample_rows,
    true_error,
)
from benchmarks.forecast.lcdb import SIZES, Library
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.calibration import Calibration
from scaling_app.forecast.forecaster import make_forecaster
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.scores import Score

ITERATIONS = 1000


def compare(report: Library, progress: Callable[[str], None]) -> list[Row] | None:
    """MAE at x2, x4, x8 of DataEval's fit beside the nearest relatives; None when it is not installed."""
    try:
        import dataeval
        from dataeval.performance import SufficiencyOutput
    except ImportError:
        progress("peers: dataeval is not installed (`pip install dataeval`, for this part only)")
        return None

    def their_fit(observations: list[Score], ahead: np.ndarray) -> np.ndarray:
        output = SufficiencyOutput(
            steps=np.array([o.n for o in observations]),
            measures={"dice": np.array([[o.dice for o in observations]])},
        )
        scale, power, floor = output.get_params(n_iter=ITERATIONS)["dice"]
        return 1 - (scale * ahead**-power + floor)

    rng = np.random.default_rng(15)
    rows = sample_rows(report, rng, 1)
    ahead = SIZES[OBSERVED - 1] * np.array(HORIZONS)
    names = ("bayes", "power_law_floor", "power_law", f"DataEval {dataeval.__version__}")
    missed: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for count, row in enumerate(rows):
        if count % 20 == 0:
            progress(f"peers: curve {count} of {len(rows)}")
        observations = observe(report.error[row], SIZES[:OBSERVED], rng)
        truth = 1 - true_error(report.error[row], ahead)
        for name in names[:3]:
            missed[name].append(_centre(_ours(name), observations, ahead) - truth)
        missed[names[3]].append(their_fit(observations, ahead) - truth)
    return [
        {"fit": name, "curves": len(rows), "tasks": len(rows)}
        | {
            f"MAE x{h} points": errors(np.array(e)[:, t], np.arange(len(rows)))
            for t, h in enumerate(HORIZONS)
        }
        for name, e in missed.items()
    ]


def _ours(name: str) -> Forecaster:
    return BayesForecaster(own_scale_prior(), Calibration([])) if name == "bayes" else make_forecaster(name)


def _centre(forecaster: Forecaster, observations: list[Score], ahead: np.ndarray) -> np.ndarray:
    return forecaster.centre(forecaster.fit(observations).draws(ahead, "structure"))
