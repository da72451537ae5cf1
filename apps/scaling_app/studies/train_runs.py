"""Trainings as the ledger sees them: test-then-train, and the run that publishes a model."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scaling_app.curve.curve_points import digest_of, training_seed
from scaling_app.curve.ledger_curve import curve_observations
from scaling_app.forecast.arms import Choice, choose_strategy
from scaling_app.ledger import Case, LedgerError, Observation, Run, utc_now
from scaling_app.ledger.records import Kind
from scaling_app.strategies.catalogue import AUTO
from scaling_app.strategies.making import make_strategy
from scaling_app.studies import splits
from scaling_app.studies.labels.intake import LabelIntake
from scaling_app.studies.planning import plan_for, prepare
from scaling_app.studies.same_images import keep_together
from scaling_app.studies.structures import placeholder, renamed
from scaling_app.studies.studies import Published, Studies
from scaling_app.studies.tracking import tell
from scaling_app.studies.train_options import OptionError, TrainOptions
from scaling_app.studies.train_stats import TrainStats, latest_accuracy
from scaling_app.studies.unfinished import published_checkpoint
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.failures import would_fail_again
from scaling_app.trials.model import TrainedModel, length_of
from scaling_app.trials.plan import Plan
from scaling_app.trials.run_settings import RunSettings
from scaling_app.trials.step_report import StepReport
from scaling_app.trials.testing import CaseScore, test_each
from scaling_app.trials.training import train

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """The cases a training may use, with their files: `cases` usable ones, `pool` without labels."""

    cases: dict[str, Case]
    files: dict[str, CaseFiles]
    pool: tuple[CaseFiles, ...]

    def of(self, ids: Iterable[str]) -> list[CaseFiles]:
        """The files of these cases."""
        return [self.files[i] for i in ids]

    def pool_beside(self, tested: Iterable[str]) -> tuple[CaseFiles, ...]:
        """The images without labels that a training may look at: none of the patients that will test it."""
        patients = {self.cases[i].patient for i in tested}
        return tuple(files for files in self.pool if files.patient not in patients)


def gather(studies: Studies) -> Material:
    """Brings the ledger up to date with the labels and lists what can be used.

    Raises:
        OptionError: no usable label, or no structure in them.
    """
    intake = LabelIntake(studies)
    intake.take_stock()
    intake.verify_images()
    keep_together(studies)
    labels = studies.label_paths()
    cases = {case.image_id: case for case in studies.ledger.usable_cases() if case.image_id in labels}
    if not cases:
        raise OptionError("There is no usable label to train on: label a case, or confirm those in doubt.")
    if not studies.structures():
        raise OptionError("The labels hold no structure to learn.")
    files = {
        i: CaseFiles(i, case.patient, _existing(studies, i), labels[i]) for i, case in sorted(cases.items())
    }
    pool = tuple(
        CaseFiles(i, studies.patient(i), path)
        for i in sorted(set(studies.datastore.list_images()) - set(labels))
        if (path := studies.image_at_hand(i)) is not None
    )
    return Material(cases, files, pool)


def _existing(studies: Studies, image_id: str) -> Path:
    path = studies.image_path(image_id)
    if path is None:
        raise OptionError(f"The image of the label {image_id} is gone.")
    return path


def settings_of(options: TrainOptions) -> RunSettings:
    """The request in the words of the trials package."""
    options = options.spelled_out()
    return RunSettings(
        strategy=options.strategy,
        steps=options.steps,
        times=options.times,
        seed=options.seed,
        max_minutes=options.max_minutes,
    )


def observations_of(
    run_id: str,
    kind: Kind,
    scores: Sequence[CaseScore],
    cases: dict[str, Case],
    names: Mapping[str, str],
) -> list[Observation]:
    """A test's scores as the ledger keeps them; `names` are new names of structures, see `names_since`."""
    return [
        Observation(
            run_id=run_id,
            image_id=scored.case_id,
            structure=names.get(score.structure, score.structure),
            kind=kind,
            dice=score.dice,
            nsd=score.nsd,
            nsd_tolerance_mm=score.nsd_tolerance_mm,
            hd95_mm=score.hd95_mm,
            bce=score.bce,
            missed=score.missed,
            hallucinated=score.hallucinated,
            assisted=cases[scored.case_id].assisted,
            label_hash=cases[scored.case_id].label_hash,
        )
        for scored in scores
        for score in scored.scores
    ]


def names_since(studies: Studies, plan: Plan) -> dict[str, str]:
    """The names of the structures that had none yet when the training was planned, by their placeholders."""
    unnamed = {name: value for name, value in plan.structures.items() if name == placeholder(value)}
    return renamed(unnamed, studies.structures())


def test_then_train(studies: Studies, material: Material) -> int:
    """Tests the published model on every usable case that it has not seen and was not tested on yet.

    These points of the curve cost no training and are unbiased: the model could not know the cases. So images
    that its strategy looked at while they had no label count as seen, with their patients.

    Returns:
        How many cases were tested.
    """
    published = studies.published()
    if published is None or studies.ledger.run(published.run_id) is None:
        return 0
    patients = {**published.seen, **{i: case.patient for i, case in material.cases.items()}}
    tested = {
        seen.image_id
        for seen in studies.ledger.observations(run_id=published.run_id)
        if seen.image_id in material.cases
    }
    fresh = [i for i in splits.unseen(material.cases, patients, published.seen) if i not in tested]
    if not fresh:
        return 0
    model = published.load()
    if model is None:
        return 0
    scores = test_each(model, material.of(fresh), tolerance_mm=studies.conf.tolerance_mm)
    names = names_since(studies, model.plan)
    studies.ledger.add_observations(
        published.run_id, observations_of(published.run_id, "prequential", scores, material.cases, names)
    )
    logger.info("Test-then-train: %d cases on %s", len(scores), published.run_id)
    return len(scores)


def train_and_publish(studies: Studies, options: TrainOptions) -> dict[str, Any]:
    """One published run: test the old model, train the new one, put it in place, test it on the held out.

    Under `auto` it is trained with the strategy that won on this session's own folds. A training that was
    killed goes on where its checkpoint stands, when it is asked for again with the same labels and options.

    Raises:
        OptionError: nothing to train on, or another process is training.
    """
    material = gather(studies)
    test_then_train(studies, material)
    split = _split(studies, material)
    choice = _settled(studies, options, material, split.validation)
    options = options.with_strategy(choice.strategy)
    guide = guide_for(studies, material, split.validation)
    parent = warm_start_for(guide, options, material, split.validation)
    options = replace(options, seed=training_seed(options.seed, "published", *split.training))
    run = _new_run(studies, options, split.training, parent)
    _require_no_other(studies)
    studies.ledger.start_run(run)
    stats = TrainStats(
        studies.stats_file,
        total=settings_of(options).steps_on(len(split.training)),
        accuracy=latest_accuracy(studies.ledger),
        strategy=choice.strategy,
        **({"strategy_reason": choice.reason} if choice.reason else {}),
    )
    checkpoint = _checkpoint(studies, run, material, (guide, parent))
    try:
        model = _train(studies, options, material, split, stats.step, checkpoint, (guide, parent))
        scores = test_each(model, material.of(split.validation), tolerance_mm=studies.conf.tolerance_mm)
        model_file = studies.new_model_file(run.run_id)
        model.save(model_file)
    except BaseException as error:
        if would_fail_again(error):
            checkpoint.unlink(missing_ok=True)
        note_failure(studies, run.run_id, error)
        raise
    names = names_since(studies, model.plan)
    held_out = observations_of(run.run_id, "prequential", scores, material.cases, names)
    length = length_of(model.report)
    studies.ledger.finish_run(
        run.run_id, held_out, model_file=str(model_file), message=choice.reason or None, **length
    )
    trained_on = {i: material.cases[i].patient for i in split.training}
    looked_at = {files.case_id: files.patient for files in material.pool if files.case_id in model.pool_ids}
    # predictions are made for images of the pool alone: where none was looked at, the guide gave nothing
    taken_up = parent or (guide if looked_at else None)
    studies.publish(
        Published(
            run_id=run.run_id,
            model_file=model_file,
            strategy=run.strategy,
            network=run.network,
            patients={**taken_up.patients, **trained_on} if taken_up else trained_on,
            held_out=split.validation,
            trained_at=utc_now().isoformat(timespec="seconds"),
            pool_patients={**parent.pool_patients, **looked_at} if parent else looked_at,
        )
    )
    checkpoint.unlink(missing_ok=True)
    accuracy = latest_accuracy(studies.ledger)
    if studies.conf.mlflow is not None:
        tell(studies.conf.mlflow, run, length["steps"], scores, accuracy, model, studies.folder)
    counts = {"n_train": len(split.training), "n_val": len(split.validation)}
    return stats.end(accuracy, steps=length["steps"], **counts)


def note_failure(studies: Studies, run_id: str, error: BaseException) -> None:
    """Ends a run in the ledger as failed; where nothing can be noted, that is only logged, for the error says more.

    The run counts as stopped then, once its process has ended (`interrupted`).
    """
    try:
        studies.ledger.finish_run(run_id, state="failed", message=f"{type(error).__name__}: {error}")
    except LedgerError as refusal:
        logger.error("The end of the run %s could not be noted: %s", run_id, refusal)


def _require_no_other(studies: Studies) -> None:
    """Two trainings at once would write the same checkpoint."""
    if others := studies.ledger.trainers():
        which = ", ".join(map(str, sorted(others)))
        raise OptionError(
            f"Another training is running (process {which}); wait for its end, then train again."
        )


def _settled(studies: Studies, options: TrainOptions, material: Material, held_out: Sequence[str]) -> Choice:
    """The strategy to train with, and why: under `auto` what the paired comparisons say now.

    Without those of the patients held out, on whom the model that is trained so will be tested.
    """
    if options.strategy != AUTO:
        return Choice(options.strategy, "")
    own = (options.own_curve().strategy, options.network)
    patients = {material.cases[image].patient for image in held_out}
    known = [o for o in curve_observations(studies.ledger) if o.unit not in patients]
    choice = choose_strategy(known, own)
    logger.info("auto: %s", choice.reason)
    return choice


def guide_for(studies: Studies, material: Material, held_out: Sequence[str]) -> Published | None:
    """The model in use, if its predictions may help the next training to place images without labels.

    Not that of one who has learned from the label of a patient who is held out now.
    """
    published = studies.published()
    if published is None or studies.ledger.run(published.run_id) is None:
        return None
    return published if _are_new_to(published.patients, material, held_out) else None


def warm_start_for(
    guide: Published | None, options: TrainOptions, material: Material, held_out: Sequence[str]
) -> Published | None:
    """`guide`, if the next training may also take up what its strategy learned (GenSeg's generator).

    The network itself always begins with fresh weights, so that the points of test-then-train speak of the
    same trainings as those of the folds. A strategy learns from images of the pool too: nothing is taken up
    from one that has looked at a patient who is held out now.
    """
    if guide is None or (guide.strategy, guide.network) != (options.strategy, options.network):
        return None
    if not make_strategy(options.strategy).learns or not _are_new_to(guide.seen, material, held_out):
        return None
    model = guide.load("cpu")
    return guide if model is not None and model.strategy_state else None


def _are_new_to(seen: Mapping[str, str], material: Material, held_out: Sequence[str]) -> bool:
    """Whether none of the held-out cases' patients is among those `seen` (image id -> patient)."""
    patients = {**seen, **{i: case.patient for i, case in material.cases.items()}}
    return len(splits.unseen(held_out, patients, seen)) == len(held_out)


def _checkpoint(
    studies: Studies, run: Run, material: Material, earlier: tuple[Published | None, Published | None]
) -> Path:
    """Where an unfinished training of these very labels and options is kept; those of others are deleted."""
    labels = [f"{i}:{material.cases[i].label_hash}" for i in run.train_ids]
    facts = [run.settings_hash, str(run.seed), *(str(model and model.run_id) for model in earlier), *labels]
    return published_checkpoint(studies, digest_of(*facts)[:16])


def _split(studies: Studies, material: Material) -> splits.Split:
    before = studies.published()
    return splits.split_cases(
        {i: case.patient for i, case in material.cases.items()},
        studies.role,
        held_out_before=bool(before and before.held_out),
    )


def _new_run(
    studies: Studies, options: TrainOptions, train_ids: Sequence[str], parent: Published | None
) -> Run:
    now = utc_now()
    return Run(
        run_id=f"published-{now:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}",
        purpose="published",
        strategy=options.strategy,
        network=options.network,
        train_ids=train_ids,
        n=len(train_ids),
        seed=options.seed,
        fold=None,
        settings_hash=options.settings_hash(studies.structures(), studies.conf.dimension),
        started_at=now,
        parent_run=parent.run_id if parent else None,
        max_minutes=options.max_minutes,
    )


def _train(
    studies: Studies,
    options: TrainOptions,
    material: Material,
    split: splits.Split,
    on_step: Callable[[StepReport], None],
    checkpoint: Path,
    earlier: tuple[Published | None, Published | None],
) -> TrainedModel:
    guide, parent = earlier
    plan = plan_for(studies, options, material.of(split.training))
    pool = material.pool_beside(split.validation)
    prepared = prepare(studies, plan, [*material.of(split.training), *pool])
    return train(
        prepared,
        split.training,
        settings_of(options),
        pool_ids=[files.case_id for files in pool],
        checkpoint=checkpoint,
        warm_start=parent.model_file if parent else None,
        fresh_weights=True,
        guide=guide.model_file if guide else None,
        on_step=on_step,
    )
