"""Whether the files of a replay can be used at all, asked before the first training and not after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from scaling_app.experiments.cohort import CohortError
from scaling_app.imaging.geometry import (
    ImageError,
    label_values,
    read_image,
    read_label,
    same_grid,
    suffix_of,
)
from scaling_app.trials.case_files import CaseFiles

MOST_VALUES = 200
"""A label of more values is an image saved as a label; the finest parcellations of brains have some 190."""
_LOSSY = (".jpg", ".jpeg")
_NAMED = 5


def check_cases(cases: Iterable[CaseFiles], on_case: Callable[[int, int], None] | None = None) -> None:
    """Opens every file once.

    Args:
        cases: labelled or not.
        on_case: told of the cases checked so far and of their number.

    Raises:
        CohortError: files that cannot be read, labels that do not fit their image or are none, images of another
            kind than most; the message names up to five of the cases.
    """
    cases = list(cases)
    faults: dict[str, str] = {}
    kinds: dict[str, tuple[int, int]] = {}
    for done, case in enumerate(cases, start=1):
        try:
            kinds[case.case_id] = _kind_of(case)
        except ValueError as error:
            faults[case.case_id] = str(error).rstrip(".")
        if on_case is not None:
            on_case(done, len(cases))
    usual = Counter(kinds.values()).most_common(1)
    for case_id, kind in kinds.items():
        if kind != usual[0][0]:
            faults[case_id] = f"the image is {_words(kind)}, most are {_words(usual[0][0])}"
    if faults:
        named = "; ".join(f"{case_id}: {fault}" for case_id, fault in list(faults.items())[:_NAMED])
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise CohortError(
            f"{len(faults)} of {len(cases)} cases cannot be used; correct or remove {named}{more}"
        )


def _kind_of(case: CaseFiles) -> tuple[int, int]:
    """Dimensions and channels of the image; raises ValueError for what cannot be trained on or tested."""
    image = read_image(case.image)
    if case.label is not None:
        if suffix_of(case.label) in _LOSSY:
            raise ImageError("the label is a JPEG, which changes values; save it as PNG")
        label = read_label(case.label, image)
        if (difference := same_grid(image, label)) is not None:
            raise ImageError(difference)
        if (count := len(label_values(label))) > MOST_VALUES:
            raise ImageError(
                f"the label holds {count} different values, as an image does and a label map does not"
            )
    return image.ndim - 1, image.shape[0]


def _words(kind: tuple[int, int]) -> str:
    return f"{kind[0]}D with {kind[1]} channel(s)"
