"""What was promised, held against what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def outcomes_of(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Each earlier forecast for a size that was reached later with the same recipe, with the level measured then.

    A curve of another recipe is another curve; answers that say none are taken to be of one.

    Args:
        history: answers of one session, oldest first; of those of one recipe and size the last one counts.

    Returns:
        `made_at`, `n`, `mean`, `lo80`, `hi80` of the forecast and `came`, the level estimated at n; Dice.
    """
    answers: dict[tuple[int, str | None], Mapping[str, Any]] = {}
    for answer in history:
        overall = answer.get("overall")
        if overall and (overall.get("now") or {}).get("mean") is not None:
            answers[int(answer["n_in_curve"]), answer.get("recipe")] = overall
    found = []
    for (made_at, recipe), overall in sorted(answers.items(), key=lambda item: item[0][0]):
        for row in overall.get("forecast") or []:
            later = answers.get((row["n"], recipe)) if row["n"] > made_at else None
            if later is None or None in (row.get("mean"), row.get("lo80"), row.get("hi80")):
                continue
            promised = {key: row[key] for key in ("n", "mean", "lo80", "hi80")}
            found.append({"made_at": made_at, **promised, "came": later["now"]["mean"]})
    return found
