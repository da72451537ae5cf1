"""What was promised, held against what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def outcomes_of(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Each earlier forecast for a size that was reached later, with the level measured then.

    Args:
        history: answers of one session, oldest first; of those made at one size the last one counts.

    Returns:
        `made_at`, `n`, `mean`, `lo80`, `hi80` of the forecast and `came`, the level estimated at n; Dice.
    """
    by_size: dict[int, Mapping[str, Any]] = {}
    for answer in history:
        overall = answer.get("overall")
        if overall and (overall.get("now") or {}).get("mean") is not None:
            by_size[int(answer["n_in_curve"])] = overall
    found = []
    for made_at, overall in sorted(by_size.items()):
        for row in overall.get("forecast") or []:
            later = by_size.get(row["n"]) if row["n"] > made_at else None
            if later is None or None in (row.get("mean"), row.get("lo80"), row.get("hi80")):
                continue
            promised = {key: row[key] for key in ("n", "mean", "lo80", "hi80")}
            found.append({"made_at": made_at, **promised, "came": later["now"]["mean"]})
    return found
