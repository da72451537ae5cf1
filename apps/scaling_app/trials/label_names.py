"""Which value is which structure in every label of a folder: by the names that the files carry.

Slicer numbers segments in the order in which they were made, so two of its files may mean different structures by one
value. Where files agree, values are taken as they are. Where they do not, names decide: each file's values are turned
into the task's, and a file that does not name all its values is refused.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from monai.data import MetaTensor

from scaling_app.imaging.geometry import label_values
from scaling_app.imaging.image_files import label_names, reading
from scaling_app.imaging.label_numbers import exchanged
from scaling_app.imaging.untrusted import ImageError

if TYPE_CHECKING:
    from scaling_app.trials.case_files import CaseFiles

logger = logging.getLogger(__name__)

_NAMED = 5
_AUTOMATIC = re.compile(r"segment[ _]?\d+", re.IGNORECASE)
"""As Slicer calls a segment by its place."""

Names = Mapping[int, str]


def by_names(cases: Sequence[CaseFiles]) -> list[CaseFiles]:
    """The cases, with `values` where their files number the structures differently.

    A structure keeps the value that it has in the first file that names it, unless another one has it already.

    Raises:
        ValueError: the files disagree, and names cannot settle it; the message names up to five of the cases.
    """
    names = {case.case_id: table for case in cases if (table := _readable_names(case)) is not None}
    if _agree(names):
        _tell_unnamed(names)
        return list(cases)
    task = _numbered(names)
    faults = _faults(names)
    if faults:
        told = "; ".join(f"{case_id}: {fault}" for case_id, fault in list(faults.items())[:_NAMED])
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise ValueError(
            f"the labels give one value to different structures, and {len(faults)} of {len(names)} cannot be told by "
            f"name: {told}{more}. Name every segment, each structure alike in all files, and save as .seg.nrrd"
        )
    counts = Counter(name for table in names.values() for name in table.values())
    told = ", ".join(f"{name} in {counts[name]} of {len(names)} labels" for name in task)
    logger.warning("the labels number their structures differently; they are told by name: %s", told)
    return [
        replace(
            case, values=tuple((value, task[name]) for value, name in sorted(names[case.case_id].items()))
        )
        if case.case_id in names
        else case
        for case in cases
    ]


def renumbered(label: MetaTensor, case: CaseFiles) -> MetaTensor:
    """A label of the case, as read, with the task's values.

    Raises:
        ImageError: it holds a value without a name, where names decide.
    """
    if not case.values:
        return label
    task = dict(case.values)
    if nameless := sorted(label_values(label) - {0} - task.keys()):
        raise ImageError(
            f"the label holds the value {nameless[0]}, which its file gives no name; name the segment, as other labels "
            "number their structures differently"
        )
    return MetaTensor(torch.from_numpy(exchanged(label.as_tensor().numpy(), task)), meta=label.meta)


def names_in(case: CaseFiles) -> dict[int, str]:
    """What the label's file calls the task's values."""
    if case.label is None:
        return {}
    with reading(case.label):
        names = label_names(case.label)
    task = dict(case.values)
    return {task.get(value, value): name for value, name in names.items()}


def require_agreement(cases: Sequence[CaseFiles]) -> None:
    """Refuses labels that would be mixed: `by_names` tells them apart.

    Raises:
        ValueError: files give one value to different structures, or one structure different values.
        ImageError: an unreadable file.
    """
    names = {case.case_id: names_in(case) for case in cases if case.label is not None}
    if not _agree(names):
        raise ValueError(
            f"the labels give one value to different structures, among them {', '.join(list(names)[:_NAMED])}"
        )


def _readable_names(case: CaseFiles) -> dict[int, str] | None:
    """None without a label or with a damaged one, which whoever reads it will name."""
    try:
        return names_in(case) if case.label is not None else None
    except ImageError:
        return None


def _agree(names: Mapping[str, Names]) -> bool:
    """Whether every value has one name, and every name a value that all files with it share."""
    of_value: dict[int, set[str]] = defaultdict(set)
    of_name: dict[str, set[int]] = {}
    for table in names.values():
        own: dict[str, set[int]] = defaultdict(set)
        for value, name in table.items():
            of_value[value].add(name)
            own[name].add(value)
        for name, values in own.items():
            of_name[name] = of_name.get(name, values) & values
    return all(len(found) == 1 for found in of_value.values()) and all(of_name.values())


def _numbered(names: Mapping[str, Names]) -> dict[str, int]:
    """A value for every name: that of the first file with it, else the lowest that nobody has."""
    task: dict[str, int] = {}
    for table in names.values():
        for value, name in sorted(table.items()):
            if name not in task:
                taken = set(task.values())
                free = next(n for n in range(1, len(taken) + 2) if n not in taken)
                task[name] = value if value not in taken else free
    return task


def _faults(names: Mapping[str, Names]) -> dict[str, str]:
    """Case id -> why names do not tell its structures."""
    spellings: dict[str, str] = {}
    faults = {}
    somebody_named = any(
        not _AUTOMATIC.fullmatch(name) for table in names.values() for name in table.values()
    )
    for case_id, table in names.items():
        unnamed = [name for name in table.values() if _AUTOMATIC.fullmatch(name)]
        if not table:
            faults[case_id] = "its file carries no names"
        elif unnamed and somebody_named:
            faults[case_id] = f"{unnamed[0]!r} is what a segment is called that nobody named"
        for name, count in Counter(table.values()).items():
            usual = spellings.setdefault(_plain(name), name)
            if count > 1:
                faults[case_id] = f"{count} segments are called {name!r}"
            elif usual != name:
                faults[case_id] = f"{name!r} is {usual!r} in other files"
    return faults


def _plain(name: str) -> str:
    """The name without what people spell differently."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _tell_unnamed(names: Mapping[str, Names]) -> None:
    nameless = [case_id for case_id, table in names.items() if not table]
    if nameless and len(nameless) < len(names):
        logger.warning(
            "%d of %d labels carry no names (%s%s); their values are taken for those of the others",
            len(nameless),
            len(names),
            ", ".join(nameless[:_NAMED]),
            ", ..." if len(nameless) > _NAMED else "",
        )
