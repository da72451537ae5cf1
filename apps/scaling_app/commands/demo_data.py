"""The cases of a demonstration: synthetic ones, or those of a folder with `images/` and `labels/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scaling_app.experiments.cohort import find_cases
from scaling_app.imaging.image_files import stem_of
from scaling_app.imaging.synthetic import make_case, write_case
from scaling_app.storage import copy_whole
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.twins import Twins
from scaling_app.words import count

LEAST_CASES = 5
"""The fewest that `--cases` takes."""


@dataclass(frozen=True)
class DemoCases:
    """The studies folder of the server, the reference labels by image id, and cases kept for the truth.

    `truth` holds (image, label) files that the server never gets as cases: what really happened is
    measured on them.
    """

    studies: Path
    labels: dict[str, Path]
    truth: tuple[tuple[Path, Path], ...]
    synthetic: bool


def prepare_cases(
    data: Path | None, work: Path, *, n_cases: int, n_pool: int, n_truth: int, patient: str | None = None
) -> DemoCases:
    """Lays out the cases of one session under `work`; no patient of the session is among the truth's.

    Args:
        patient: pattern that finds the patient in an image id; without it each image is a patient.

    Raises:
        FileNotFoundError: `data` lacks images/ or labels/.
        ValueError: too few labelled images for a session.
    """
    pairs = _synthetic(work, n_cases + n_pool + n_truth) if data is None else _found(data, patient)
    truth, rest = _set_aside(pairs, n_truth if data is None else min(n_truth, len(pairs) // 4))
    if len(rest) < n_cases or not truth:
        fewer = f", or say --cases {len(rest)}" if len(rest) >= LEAST_CASES and truth else ""
        raise ValueError(
            f"{data} holds {count(len(pairs), 'labelled image')}, of which {len(truth)} and what else there is of their "
            f"patients are kept to test the model: {len(rest)} {'is' if len(rest) == 1 else 'are'} left, too few for a "
            f"session of {n_cases} cases; add cases of other patients{fewer}"
        )
    in_session = rest[: n_cases + n_pool]
    studies = work / "studies"  # made only now: nothing is written for input that is refused
    studies.mkdir(parents=True)
    labels = {}
    for case in in_session:
        copy_whole(case.image, studies / case.image.name)
        labels[stem_of(case.image)] = case.known_label
    tested = tuple((case.image, case.known_label) for case in truth)
    return DemoCases(studies, labels, tested, synthetic=data is None)


def _set_aside(cases: list[CaseFiles], n_truth: int) -> tuple[list[CaseFiles], list[CaseFiles]]:
    """Whole patients for the truth, `n_truth` cases of them, and the cases of the others in random order."""
    by_patient: dict[str, list[CaseFiles]] = {}
    for case in cases:
        by_patient.setdefault(case.patient, []).append(case)
    rng = np.random.default_rng(0)
    patients = [list(by_patient)[i] for i in rng.permutation(len(by_patient))]
    truth: list[CaseFiles] = []
    while patients and len(truth) < n_truth:
        truth += by_patient[patients.pop()]
    rest = [case for name in patients for case in by_patient[name]]
    return truth[:n_truth], [rest[i] for i in rng.permutation(len(rest))]


def _synthetic(work: Path, total: int) -> list[CaseFiles]:
    images, labels = work / "made" / "images", work / "made" / "labels"
    paths = []
    for index in range(total):
        suffix = ".nrrd" if index % 4 == 3 else ".nii.gz"
        paths.append(write_case(make_case(index, size=32), images, labels, suffix=suffix))
    return [CaseFiles(stem_of(path), stem_of(path), path, labels / path.name) for path in paths]


def _found(data: Path, patient: str | None) -> list[CaseFiles]:
    images, labels = data / "images", data / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise FileNotFoundError(f"{data} must hold the folders images/ and labels/")
    return Twins().together(find_cases(images, labels, patient))
