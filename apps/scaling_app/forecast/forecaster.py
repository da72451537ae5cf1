"""Choosing a method by name, and the forecast of a whole session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scaling_app.forecast.agreement import Readers
from scaling_app.forecast.answer import Answer, Question, answer, default_horizons
from scaling_app.forecast.bayes import BayesForecaster
from scaling_app.forecast.history import was_low_gain
from scaling_app.forecast.prediction import Forecaster
from scaling_app.forecast.rivals.gaussian_process import GaussianProcess
from scaling_app.forecast.rivals.lstm import LstmForecaster
from scaling_app.forecast.rivals.published_methods import Exponential, LastValue, Mmf, PowerLaw, PowerLawFloor
from scaling_app.forecast.scores import Score, evidence_of

_FACTORIES: dict[str, Callable[[], Forecaster]] = {
    cls.method: cls
    for cls in (
        BayesForecaster,
        LastValue,
        PowerLaw,
        PowerLawFloor,
        Exponential,
        Mmf,
        GaussianProcess,
        LstmForecaster,
    )
}
METHODS: tuple[str, ...] = tuple(_FACTORIES)
"""The names of the methods, the default first."""


def make_forecaster(method: str) -> Forecaster:
    """A new forecaster of that name.

    Raises:
        ValueError: no such method; the message lists those there are.
    """
    try:
        return _FACTORIES[method]()
    except KeyError:
        raise ValueError(f"unknown method {method!r}; there are: {', '.join(METHODS)}") from None


def answer_question(
    observations: Sequence[Score],
    *,
    n_now: int,
    horizons: Sequence[int] | None = None,
    target: float | None = None,
    minutes_per_case: float | None = None,
    n_pool: int | None = None,
    n_blind: int = 0,
    method: str = "bayes",
    delta: float = 0.01,
    history: Sequence[Answer | Mapping[str, object]] = (),
    minutes_saved_per_point: float | None = None,
    readers: Readers | None = None,
    evidence: str | None = None,
) -> Answer:
    """Forecasts a session; status `too_few` rather than an error when there is not enough to say.

    Args:
        observations: of all structures, in the order in which they were made.
        n_now: labelled cases now.
        horizons: training-set sizes to forecast; N+1, N+5, N+10 and 2N when None.
        target: Dice aimed at, in ]0, 1[.
        minutes_per_case: annotation time of a case.
        n_pool: unlabelled cases left.
        n_blind: cases labelled without a prediction on screen, where more is known than the observations say.
        method: one of `METHODS`.
        delta: smallest gain worth having, Dice.
        history: forecasts (or payloads) of earlier updates, oldest first; the stop rule asks for two opinions.
        minutes_saved_per_point: minutes that one Dice point saves on each case still to be labelled.
        readers: how far two readers agree, where cases were read twice.
        evidence: `evidence_of` these observations, where it is known.

    Raises:
        CurveError: the same evidence counted twice.
        ValueError: unknown method, or a number out of range.
    """
    if target is not None and not 0 < target < 1:
        raise ValueError(f"target must be a Dice between 0 and 1, got {target}")
    if not 0 < delta < 1:
        raise ValueError(f"delta must be a Dice gain between 0 and 1, got {delta}")
    sizes = tuple(horizons) if horizons is not None else default_horizons(max(n_now, 1))
    if not sizes or min(sizes) < 1:
        raise ValueError(f"horizons must be training-set sizes of at least 1, got {list(sizes)}")
    if evidence is None:
        evidence = evidence_of(observations)
    question = Question(
        n_now=n_now,
        horizons=sizes,
        target=target,
        minutes_per_case=minutes_per_case,
        n_pool=n_pool,
        n_blind=n_blind,
        delta=delta,
        minutes_saved_per_point=minutes_saved_per_point,
        low_gain_before=was_low_gain(history, n_now, evidence),
        evidence=evidence,
        readers=readers,
    )
    return answer(make_forecaster(method), question, observations)
