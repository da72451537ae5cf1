"""From the ledger to a forecast: what was observed, in the forecast's terms, and the question asked of it."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from statistics import median
from typing import Any

from scaling_app import __version__
from scaling_app.curve.recipe import recipe_in_use
from scaling_app.forecast.agreement import Readers, TwoReadings, readers_of
from scaling_app.forecast.answer import default_horizons, observed_points
from scaling_app.forecast.forecaster import answer_question, make_forecaster
from scaling_app.forecast.lengths import steps_in_words, trainings_took
from scaling_app.forecast.prediction import TooFewPoints
from scaling_app.forecast.scores import OVERALL, Score, evidence_of, own_arm
from scaling_app.forecast.stopping import confirming_size
from scaling_app.ledger import Case, Ledger, Run, utc_now
from scaling_app.storage import inert

CURVE_POINTS = 18
"""Sizes at which the drawn curve is computed; between them it is straight to the eye."""
LARGE_LUCK = 0.02
"""Standard deviation of Dice over trainings: twice the smallest gain worth having."""


def curve_observations(ledger: Ledger) -> list[Score]:
    """The ledger's current observations: n is the number of cases the run was trained on.

    Only those of runs that share the settings (steps, network, structures, ...) and minutes in use, see `Recipe`:
    others belong to another curve.
    """
    return _curve(ledger)[1]


def _curve(ledger: Ledger) -> tuple[str | None, list[Score], list[Run]]:
    """What tells the recipe of the curve, the observations made with it, and the runs that they are of.

    Runs on the same cases share a name. With one seed too, as when a label was corrected or the same cases were trained on
    again, they are one training, of which each case's newest score counts: their luck is the same.
    """
    runs = {run.run_id: run for run in ledger.runs()}
    cases = {case.image_id: case for case in ledger.cases()}
    seen_now = [seen for seen in ledger.scored() if runs[seen[0]].n >= 1]
    tested = [runs[i] for i in {seen[0] for seen in seen_now}]
    recipe = recipe_in_use(ledger, tested)
    counting = recipe.of_curve(tested) if recipe else {}
    names = _names_by_cases(runs)
    found: dict[tuple[object, ...], tuple[str, Score]] = {}
    for run_id, image, structure, kind, dice, nsd, assisted in seen_now:
        run, case = counting.get(run_id), cases.get(image)
        if run is None:
            continue
        found[names[run_id], run.seed, kind, image, structure] = (
            run_id,
            Score(
                n=run.n,
                dice=dice,
                structure=structure,
                case=image,
                run=names[run_id],
                seed=run.seed,
                kind=kind,
                assisted=assisted or (case is not None and case.assisted),
                blind=case is not None and case.blind and not case.assisted,
                strategy=run.strategy,
                network=run.network,
                weight=(case.sampling_weight if case is not None else None) or 1.0,
                nsd=nsd,
                patient=case.patient if case is not None else "",
                steps=run.steps,
                ended=run.ended or "",
            ),
        )
    used = [runs[run_id] for run_id in dict.fromkeys(run_id for run_id, _ in found.values())]
    return recipe.told(used) if recipe else None, [score for _, score in found.values()], used


def _names_by_cases(runs: Mapping[str, Run]) -> dict[str, str]:
    """Run -> the first run that was trained on the same cases in the same way."""
    first: dict[tuple[object, ...], str] = {}
    return {
        name: first.setdefault(
            (run.purpose, run.settings_hash, run.strategy, run.network, frozenset(run.train_ids)), name
        )
        for name, run in runs.items()
    }


def curve_csv(observations: Iterable[Score]) -> str:
    """The observations as the table that `scaling-app forecast` reads."""
    names = [field.name for field in fields(Score)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    as_in_replays = {"steps": "trained_steps", "asked": "steps"}
    writer.writerow([as_in_replays.get(name, name) for name in names])
    for seen in observations:
        writer.writerow([inert(getattr(seen, name)) for name in names])
    return text.getvalue()


def little_to_gain(ledger: Ledger) -> bool:
    """Whether the forecast sees little to gain by further cases now: the first half of the stop rule.

    Raises:
        ValueError: the observations contradict themselves; the message says how.
    """
    return answer_question(curve_observations(ledger), n_now=len(ledger.usable_cases())).low_gain


def luck_is_large(ledger: Ledger) -> bool:
    """Whether trainings on as many cases as there are now differ so much by luck that some should be made twice.

    Raises:
        ValueError: the observations contradict themselves; the message says how.
    """
    try:
        forecaster = make_forecaster("bayes").fit(curve_observations(ledger), len(ledger.usable_cases()))
    except TooFewPoints:
        return False
    return forecaster.luck() >= LARGE_LUCK


def forecast_from(ledger: Ledger, *, n_pool: int | None = None) -> dict[str, Any]:
    """The forecast's part of the answer, from what the ledger holds now.

    Raises:
        ValueError: the observations contradict themselves; the message says how.
    """
    cases = ledger.usable_cases()
    recipe, observations, runs = _curve(ledger)
    n_now = len(cases)
    annotation = annotation_time(cases)
    evidence = evidence_of(observations)
    earlier = ledger.forecast_up_to(confirming_size(n_now), evidence)
    if earlier is not None and earlier.get("recipe", recipe) != recipe:
        earlier = None  # of another curve: what it found does not confirm what this one finds
    horizons = default_horizons(max(n_now, 1))
    grid = _grid((seen.n for seen in observations), n_now, max(horizons))
    answer = answer_question(
        observations,
        n_now=n_now,
        horizons=sorted({*horizons, *grid}),
        target=ledger.setting("target"),
        minutes_per_case=annotation["minutes_per_case"],
        n_pool=n_pool,
        n_blind=sum(case.blind and not case.assisted for case in cases),
        minutes_saved_per_point=ledger.setting("minutes_per_point"),
        history=[earlier] if earlier is not None else [],
        readers=readers_in(ledger, cases),
        evidence=evidence,
    )
    payload = answer.payload()
    for curve in filter(None, [payload["overall"], *payload["structures"]]):
        rows = curve["forecast"]
        curve["curve"] = [{key: row[key] for key in _CURVE_KEYS} for row in rows]
        curve["forecast"] = [row for row in rows if row["n"] in horizons]
    payload["observed"] += observed_points(overall_scores(observations))
    payload["message"] = " ".join(filter(None, [payload["message"], lengths_note(observations, runs)]))
    return {
        **payload,
        "n_in_curve": n_now,
        "n_pool": n_pool,
        "annotation": annotation,
        "updated": utc_now().isoformat(timespec="seconds"),
        "version": __version__,
        "recipe": recipe,
    }


def lengths_note(observations: Sequence[Score], runs: Iterable[Run]) -> str:
    """How long the trainings of the curve itself were, and how many of them wanted time; empty where nobody knows."""
    arm = own_arm(observations) if observations else None
    own = [run for run in runs if run.state == "done" and (run.strategy, run.network) == arm]
    steps = steps_in_words(run.steps for run in own)
    return trainings_took(steps, sum(run.ended == "time" for run in own), len(own))


def readers_in(ledger: Ledger, cases: Sequence[Case]) -> Readers | None:
    """How far two readers agree on these cases; None where none was read twice.

    What was measured on labels that are no reading any more says nothing. While a changed tolerance is being measured, the
    NSD of most cases counts.
    """
    usable = {case.image_id: case for case in cases}
    present = {
        (reading.image_id, reading.reader, reading.label_hash)
        for reading in ledger.readings()
        if reading.independent
    }
    found = [
        one
        for one in ledger.reading_scores()
        if one.image_id in usable
        and (one.image_id, one.reader, one.label_hash) in present
        and (one.image_id, one.against_reader, one.against_hash) in present
    ]
    if not found:
        return None
    tolerance = Counter(one.nsd_tolerance_mm for one in found).most_common(1)[0][0]
    readings = [
        TwoReadings(
            case=one.image_id,
            patient=usable[one.image_id].patient,
            structure=one.structure,
            dice=one.dice,
            nsd=one.nsd if one.nsd_tolerance_mm == tolerance else None,
            one_only=one.one_only,
            weight=usable[one.image_id].sampling_weight or 1.0,
        )
        for one in found
    ]
    names = {name for one in found for name in (one.reader, one.against_reader)}
    return readers_of(readings, len(names), tolerance)


_CURVE_KEYS = ("n", "mean", "lo80", "hi80", "lo95", "hi95")


def overall_scores(observations: Iterable[Score]) -> list[Score]:
    """One score per run and test case: the mean over the structures that the case has."""
    scores: dict[tuple[str, int, str, str], list[Score]] = defaultdict(list)
    for seen in observations:
        if seen.dice is not None:
            scores[seen.run, seen.seed, seen.kind, seen.case].append(seen)
    return [
        Score(
            n=group[0].n,
            dice=math.fsum([seen.dice for seen in group if seen.dice is not None]) / len(group),
            structure=OVERALL,
            case=case,
            run=run,
            seed=seed,
            kind=kind,
            strategy=group[0].strategy,
            network=group[0].network,
            weight=group[0].weight,
            patient=group[0].patient,
        )
        for (run, seed, kind, case), group in scores.items()
    ]


def case_facts(ledger: Ledger) -> dict[str, Any]:
    """Number of labelled cases, and the open doubts about their labels."""
    cases = ledger.cases()
    doubts = [{"image": case.image_id, "sentence": doubt.sentence} for case in cases for doubt in case.doubts]
    return {"n_labelled": len(cases), "doubts": doubts}


def annotation_time(cases: Sequence[Case]) -> dict[str, Any]:
    """Median and sum of the annotation minutes that were measured."""
    timed = [case.minutes for case in cases if case.minutes]
    return {
        "minutes_per_case": median(timed) if timed else None,
        "minutes_total": math.fsum(timed) if timed else None,
        "n_timed": len(timed),
    }


def _grid(observed: Iterable[int], n_now: int, furthest: int) -> set[int]:
    """About `CURVE_POINTS` sizes from the smallest observed to the furthest forecast, even in log n."""
    first = max(1, min([*observed, max(n_now, 1)]))
    ratio = math.log(furthest / first) / (CURVE_POINTS - 1)
    return {round(first * math.exp(ratio * k)) for k in range(CURVE_POINTS)} | {max(n_now, 1)}
