"""What was promised, held against what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """A forecast for `n` cases with its 80 % range, made at `made_at` cases, and the level that was estimated there; Dice."""

    made_at: int
    n: int
    mean: float
    lo80: float
    hi80: float
    came: float

    @property
    def held(self) -> bool:
        """Whether the range held what came."""
        return self.lo80 <= self.came <= self.hi80


def outcomes_of(history: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Each earlier forecast for a size that was reached later with the same recipe, with the level measured then.

    A curve of another recipe is another curve; answers that say none are taken to be of one.

    Args:
        history: answers of one session, oldest first; of those of one recipe and size the last one counts.
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
            found.append(
                Outcome(made_at, row["n"], row["mean"], row["lo80"], row["hi80"], later["now"]["mean"])
            )
    return found
