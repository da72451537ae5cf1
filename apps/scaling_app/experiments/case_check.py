"""Whether the files of a replay can be used at all, asked before the first training and not after it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_app.experiments.cohort import CohortError
from scaling_app.imaging.geometry import label_values, read_image, read_label, same_grid
from scaling_app.imaging.image_files import suffix_of
from scaling_app.imaging.untrusted import ImageError
from scaling_app.trials.case_files import CaseFiles
from scaling_app.trials.image_facts import ImageFacts, Usual, blank_words
from scaling_app.trials.label_names import renumbered

logger = logging.getLogger(__name__)

MOST_VALUES = 200
"""A label of more values is an image saved as a label, unless they lie in pieces; most parcellations have up to 190."""
_LOSSY = (".jpg", ".jpeg")
_NAMED = 5


def check_cases(cases: Iterable[CaseFiles], on_case: Callable[[int, int], None] | None = None) -> None:
    """Opens every file once; labels without a structure, which are kept, are named in the log.

    Args:
        cases: labelled or not.
        on_case: told of the cases checked so far and of their number.

    Raises:
        CohortError: files that cannot be read, labels that do not fit their image or are none, images of one value, or
            unlike most in dimensions, channels or scale; the message names up to five of the cases.
    """
    cases = list(cases)
    faults: dict[str, str] = {}
    images: dict[str, ImageFacts] = {}
    empty: list[str] = []
    for done, case in enumerate(cases, start=1):
        try:
            images[case.case_id], values = _look_at(case)
        except ValueError as error:
            faults[case.case_id] = str(error).rstrip(".")
        else:
            empty += [case.case_id] if values == {0} else []
        if on_case is not None:
            on_case(done, len(cases))
    usual = Usual.among(list(images.values()))
    for case_id, image in images.items():
        if usual is not None and (difference := usual.difference(image)) is not None:
            faults[case_id] = difference
    if faults:
        told = [f"{case_id}: {fault}" for case_id, fault in faults.items()]
        raise CohortError(
            f"{len(faults)} of {len(cases)} cases cannot be used; correct or remove {_listed(told, '; ')}"
        )
    if empty:
        logger.warning(
            "1 label holds no structure and is taken for a case without one: %s"
            if len(empty) == 1
            else f"{len(empty)} labels hold no structure and are taken for cases without one: %s",
            _listed(empty, ", "),
        )


def _look_at(case: CaseFiles) -> tuple[ImageFacts, set[int]]:
    """The image, and the values in its label; raises ValueError for what cannot be trained on or tested."""
    image = read_image(case.image)
    values: set[int] = set()
    if case.label is not None:
        if suffix_of(case.label) in _LOSSY:
            raise ImageError("the label is a JPEG, which changes values; save it as PNG")
        label = renumbered(read_label(case.label, image), case)
        if (difference := same_grid(image, label)) is not None:
            raise ImageError(difference)
        values = label_values(label)
        if len(values) > MOST_VALUES and not _lies_in_pieces(label.numpy()):
            raise ImageError(
                f"the label holds {len(values)} different values, as an image does and a label map does not"
            )
    facts = ImageFacts.of(image)
    if facts.blank is not None:
        raise ImageError(blank_words(facts.blank))
    return facts, values


def _lies_in_pieces(label: NDArray[Any]) -> bool:
    """Whether most neighbours are alike, outside the commonest value: those of an image are not."""
    values, counts = np.unique(label, return_counts=True)
    common, alike, pairs = values[counts.argmax()], 0, 0
    for axis in range(1, label.ndim):
        planes = np.moveaxis(label, axis, 0)
        one, other = planes[1:], planes[:-1]
        inside = (one != common) | (other != common)
        pairs += int(inside.sum())
        alike += int((inside & (one == other)).sum())
    return 2 * alike >= pairs


def _listed(items: list[str], between: str) -> str:
    more = f"{between}and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return between.join(items[:_NAMED]) + more
