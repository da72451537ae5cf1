"""Who is whose patient, and which patients the published model never sees.

MONAI Label takes the last fifth of its list of labels for validation, again at every training: cases
wander between training and validation as labels come and go. Here a patient's role is a function of
the patient's name and the seed alone, and the ledger keeps the first answer for ever: it depends
neither on the order in which labels are added or removed nor on MONAI Label's index file.

Fewer than `HOLD_OUT_FROM` labelled patients: nobody is held out, and accuracy comes from
cross-validation and test-then-train. From then on patients with the role `validation` (one in five)
are kept out of the published model for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from scaling_app.trials.case_files import patient_in

HOLD_OUT_FROM = 20
"""Labelled patients needed before some are held out of the published model."""

VALIDATION_SHARE = 0.2

HOLD_OUT_AT_LEAST = 3
"""Patients without which the hold-out says too little to be worth its labels."""

TRAINING, VALIDATION = "training", "validation"

_NO_PATIENT = frozenset({"", "UNK", "NONE", "ANONYMOUS", "ANON"})


def uniform(*key: object) -> float:
    """A number in [0, 1) that depends on `key` alone, the same on every machine and in every process."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def random_order(image_ids: Iterable[str], seed: int) -> Sequence[str]:
    """The images in the session's random order; a new image comes in between and moves no other."""
    return _in_order(tuple(image_ids), seed)


@lru_cache(maxsize=4)  # asked for at every next case, of thousands of images
def _in_order(image_ids: tuple[str, ...], seed: int) -> tuple[str, ...]:
    return tuple(sorted(image_ids, key=lambda i: (uniform(seed, "order", i), i)))


def patient_of(image_id: str, pattern: str, image_info: Mapping[str, object] | None = None) -> str:
    """The patient an image belongs to.

    DICOM's patient id where the datastore gives a real one; else what `patient_in` finds in the image id.
    """
    dicom = str((image_info or {}).get("PatientID") or "").strip()
    if dicom.upper() not in _NO_PATIENT:
        return dicom
    return patient_in(image_id, pattern)


def drawn_role(patient: str, seed: int) -> str:
    """The role a patient gets when nobody has given one yet."""
    return VALIDATION if uniform(seed, "role", patient) < VALIDATION_SHARE else TRAINING


@dataclass(frozen=True)
class Split:
    """Image ids the published model trains on and those it is validated on (possibly none)."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


def split_cases(
    patients: Mapping[str, str], role_of: Callable[[str], str], *, held_out_before: bool = False
) -> Split:
    """Parts labelled cases by the roles of their patients.

    Args:
        patients: image id -> patient, labelled cases only.
        role_of: the patient's lasting role.
        held_out_before: whether an earlier published model already held patients out; then they stay
            out although labels may have been removed since.

    Returns:
        Ids in sorted order; no validation cases below `HOLD_OUT_FROM` patients, or when fewer than
        `HOLD_OUT_AT_LEAST` of them would be held out.
    """
    ids = sorted(patients)
    if len(set(patients.values())) < HOLD_OUT_FROM and not held_out_before:
        return Split(tuple(ids), ())
    validation = tuple(i for i in ids if role_of(patients[i]) == VALIDATION)
    training = tuple(i for i in ids if role_of(patients[i]) != VALIDATION)
    enough = held_out_before or len({patients[i] for i in validation}) >= HOLD_OUT_AT_LEAST
    if not training or not enough:
        return Split(tuple(ids), ())
    return Split(training, validation)


def unseen(cases: Iterable[str], patients: Mapping[str, str], seen: Iterable[str]) -> list[str]:
    """The cases that may test a model: neither they nor other images of their patients have shaped it.

    `patients` covers the cases and, where still known, the images `seen`; one of these that is no longer
    known stands for a patient of its own name.
    """
    seen_ids = set(seen)
    seen_patients = {patients.get(i, i) for i in seen_ids}
    return [i for i in cases if i not in seen_ids and patients[i] not in seen_patients]
