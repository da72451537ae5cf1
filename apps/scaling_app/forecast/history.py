"""What earlier forecasts of a session said: the stop rule asks for two opinions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scaling_app.forecast.answer import Answer
from scaling_app.forecast.stopping import check_size, confirming_size


def was_low_gain(history: Sequence[Answer | Mapping[str, object]], n_now: int, evidence: str = "") -> bool:
    """Whether the last update that may confirm this one found little to gain (S2).

    Args:
        history: earlier forecasts or their payloads, oldest first.
        n_now: present number of cases; updates of more than `confirming_size` do not count as a second opinion,
        evidence: nor do those that rest on the same scores.
    """
    most = confirming_size(n_now)
    for earlier in reversed(history):
        if isinstance(earlier, Answer):
            n, low, scores = earlier.n_now, earlier.low_gain, earlier.evidence
        else:
            n, low = _payload_low_gain(earlier)
            scores = str(earlier.get("evidence") or "")
        if n <= most and (not scores or scores != evidence):
            return low
    return False


def _payload_low_gain(payload: Mapping[str, object]) -> tuple[int, bool]:
    """n_now and S2; of payloads of earlier versions as far as their rows tell (delta = 1 point)."""
    said = payload.get("low_gain")
    overall = payload.get("overall")
    if isinstance(said, bool):
        rows = overall["forecast"] if isinstance(overall, Mapping) else ()
        return (int(rows[0]["n"] - rows[0]["extra"]), said) if rows else (0, False)
    curves = [payload.get("overall"), *(payload.get("structures") or ())]  # type: ignore[misc]
    judged = [_gain_probability(curve) for curve in curves if curve and curve.get("forecast")]
    if not judged:
        return 0, False
    n_now, p_overall = judged[0]
    return n_now, p_overall <= 0.2 and all(p <= 0.5 for _, p in judged[1:])


def _gain_probability(curve: Mapping[str, list[Mapping[str, float]]]) -> tuple[int, float]:
    """n_now and P(gain >= 1 point) over at least max(5, N/4) further cases."""
    rows = sorted(curve["forecast"], key=lambda row: row["extra"])
    n_now = int(rows[0]["n"] - rows[0]["extra"])
    far = [row for row in rows if row["extra"] >= check_size(n_now)]
    return n_now, (far or rows[-1:])[0]["gain"]["p_at_least_1pt"] if far else 1.0  # type: ignore[index]
