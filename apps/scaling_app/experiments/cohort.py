"""The cases of a folder, and who is tested on whom: test cases set aside, training sets that grow.

Nothing here looks at a voxel. Patients are never on both sides; training sets of one draw are nested
(those of n = 4 are in those of n = 8), so that differences along a curve and between strategies are paired.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scaling_app.experiments.file_names import naming_hint, under_label_names
from scaling_app.imaging.elsewhere import images_elsewhere
from scaling_app.imaging.image_files import is_image_file, readable_kinds, stem_of
from scaling_app.trials.case_files import CaseFiles, patient_in
from scaling_app.trials.label_names import by_names
from scaling_app.words import count

logger = logging.getLogger(__name__)


class CohortError(ValueError):
    """Folders or sizes that make no cohort; the message says what is missing."""


@dataclass(frozen=True)
class Cohort:
    """Test cases, and for each draw an order in which training cases are taken."""

    test: tuple[CaseFiles, ...]
    draws: tuple[tuple[CaseFiles, ...], ...]

    def training(self, n: int, draw: int) -> tuple[CaseFiles, ...]:
        """The first n cases of a draw."""
        return self.draws[draw][:n]

    def pool(self, n: int, draw: int, count: int) -> tuple[CaseFiles, ...]:
        """Up to `count` unlabelled cases of patients that are neither trained on nor tested.

        One of each patient comes before a second one of any, and first those of patients that come into the draw
        last, so that they are the same for all sizes, as long as the patients suffice; their labels are left out.
        """
        trained = {case.patient for case in self.training(n, draw)}
        by_patient: dict[str, list[CaseFiles]] = {}
        for case in self.draws[draw]:
            if case.patient not in trained:
                by_patient.setdefault(case.patient, []).append(case)
        others = _in_rounds([group[::-1] for group in reversed(by_patient.values())])
        return tuple(replace(case, label=None) for case in others[:count])


def patient_of(case_id: str, pattern: str | None) -> str:
    """The patient in an id, as `patient_in` finds it; without a pattern, the id.

    Raises:
        CohortError: the pattern is no regular expression.
    """
    if pattern is None:
        return case_id
    try:
        return patient_in(case_id, pattern)
    except re.error as error:
        raise CohortError(f"the patient pattern {pattern!r} is no regular expression: {error}") from error


def find_cases(images: Path | str, labels: Path | str, patient_pattern: str | None = None) -> list[CaseFiles]:
    """The cases whose image and label share their name (kinds may differ), by id, their values told apart by name.

    An image `case_0000`, as nnU-Net calls a single channel, is that of the label `case`.

    Raises:
        CohortError: a folder is missing, two files have one name, a case has channels in several files, no image has a
            label, both are in one folder, or the labels cannot be told apart by the names in them.
    """
    by_name = _files(Path(images)), _files(Path(labels))
    if by_name[0] and Path(images).samefile(labels):
        raise CohortError(
            f"images and labels are both looked for in {images}; put the labels into a folder of their own, each under "
            "the name of its image"
        )
    try:
        by_name = under_label_names(by_name[0], by_name[1]), by_name[1]
    except ValueError as error:
        raise CohortError(f"{images}: {error}") from None
    shared = sorted(by_name[0].keys() & by_name[1].keys())
    hint = naming_hint(by_name[0].keys() - by_name[1].keys(), by_name[1].keys() - by_name[0].keys())
    if not shared:
        hint = _why_none(Path(images), Path(labels), *by_name) or hint
        raise CohortError(
            f"no file in {images} ({count(len(by_name[0]), 'image')}) has the name of one in {labels} "
            f"({count(len(by_name[1]), 'label')})" + (hint and f"; {hint}")
        )
    alone = len(by_name[0].keys() ^ by_name[1].keys())
    if alone:
        logger.warning(
            "1 file has no counterpart of the same name and is left out%s"
            if alone == 1
            else f"{alone} files have no counterpart of the same name and are left out%s",
            hint and f"; {hint}",
        )
    cases = [
        CaseFiles(name, patient_of(name, patient_pattern), by_name[0][name], by_name[1][name])
        for name in shared
    ]
    try:
        return by_names(cases)
    except ValueError as error:
        raise CohortError(f"{labels}: {error}") from None


def make_cohort(cases: Sequence[CaseFiles], n_test: int, sizes: Sequence[int], draws: int) -> Cohort:
    """Sets test cases aside and orders the others, the same way for the same case ids.

    Test cases are whole patients as far as `n_test` allows; what is left of a test patient is not trained
    on. A draw takes one case of each patient before a second one of any.

    Raises:
        CohortError: too few cases or patients for the test set and the largest size.
    """
    if n_test < 1 or draws < 1 or not sizes or min(sizes) < 1:
        raise CohortError("test cases, draws and sizes must be at least 1")
    by_patient: dict[str, list[CaseFiles]] = {}
    for case in sorted(cases, key=lambda c: c.case_id):
        by_patient.setdefault(case.patient, []).append(case)
    patients = sorted(by_patient)
    shuffled = [patients[i] for i in np.random.default_rng([0]).permutation(len(patients))]
    test: list[CaseFiles] = []
    while shuffled and len(test) < n_test:
        test += by_patient[shuffled.pop(0)]
    rest = {patient: by_patient[patient] for patient in sorted(shuffled)}
    available = sum(len(group) for group in rest.values())
    if len(test) < n_test or available < max(sizes):
        are = "is" if len(cases) == 1 else "are"
        raise CohortError(
            f"{count(len(cases), 'case')} of {count(len(patients), 'patient')} {are} too few for "
            f"{count(n_test, 'test case')} and {count(max(sizes), 'training case')} of other patients (left: {available}); "
            f"{_what_would_do(len(cases), len(patients), n_test, max(sizes))}"
        )
    return Cohort(tuple(test[:n_test]), tuple(_order(rest, draw) for draw in range(draws)))


def _what_would_do(cases: int, patients: int, n_test: int, largest: int) -> str:
    """A patient's cases are tested and another one's trained on, however few are asked for."""
    if patients < 2:
        apart = ", or take a patient pattern that tells patients apart" if cases > 1 else ""
        return f"add labelled cases of another patient{apart}"
    fewer = (("fewer test cases", n_test > 1), ("smaller sizes", largest > 1))
    return (
        f"ask for {' or '.join(what for what, possible in fewer if possible)}, or add cases of other patients"
    )


def _why_none(images: Path, labels: Path, found: Collection[str], drawn: Collection[str]) -> str:
    """What an empty folder holds instead; empty where both hold files."""
    kinds = ", ".join(readable_kinds()[:3])
    for folder, names in ((images, found), (labels, drawn)):
        if not names and (there := images_elsewhere(folder, but=labels)):
            return (
                f"{folder} holds {there}, which are not read: put them into the folder itself, as {kinds} or another "
                "kind that is read, one file each"
            )
    return ""


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise CohortError(f"{folder} is not a folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_image_file(path):
            name = stem_of(path)
            if name in found:
                raise CohortError(
                    f"{found[name].name} and {path.name} in {folder} have the same name; rename or remove one of them"
                )
            found[name] = path
    return found


def _order(by_patient: dict[str, list[CaseFiles]], draw: int) -> tuple[CaseFiles, ...]:
    generator = np.random.default_rng([1, draw])
    patients = [list(by_patient)[i] for i in generator.permutation(len(by_patient))]
    queues = [[by_patient[p][i] for i in generator.permutation(len(by_patient[p]))] for p in patients]
    return _in_rounds(queues)


def _in_rounds(queues: Sequence[Sequence[CaseFiles]]) -> tuple[CaseFiles, ...]:
    """The first of each queue, then the second of each, and so on."""
    rounds = range(max(map(len, queues), default=0))
    return tuple(queue[turn] for turn in rounds for queue in queues if turn < len(queue))
