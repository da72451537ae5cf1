"""The structures of a labelling task: their names, the values of their voxels, their colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import slicer

#: Tag on a segment: the structure that it was made for, or that the user said it is.
STRUCTURE_TAG = "DataSufficiency.Class"

#: Colours that stay apart for colour-blind eyes (Okabe and Ito, "Color Universal Design", 2008, without black).
_COLOURS = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)


def colour_of(value: int) -> tuple[float, float, float]:
    """The colour of a structure value; the same in every case and every session."""
    return _COLOURS[(value - 1) % len(_COLOURS)]


def colour_table(rows: Iterable[tuple[str, int]]) -> Any:
    """A colour table, added to the scene, in which the row of a value carries a name.

    Args:
        rows: Pairs of name and value. Values that no pair names get no name.

    Returns:
        A `vtkMRMLColorTableNode`; who asked for it removes it.
    """
    pairs = list(rows)
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetHideFromEditors(True)
    table.SetSaveWithScene(False)
    table.SetNumberOfColors(1 + max([value for _name, value in pairs] or [0]))
    table.SetColor(0, "background", 0.0, 0.0, 0.0, 0.0)
    for name, value in pairs:
        red, green, blue = colour_of(value)
        table.SetColor(value, name, red, green, blue, 1.0)
    if _names_need_a_flag():
        table.NamesInitialisedOn()
    slicer.mrmlScene.AddNode(table)
    return table


def _names_need_a_flag() -> bool:
    """Before Slicer 5.10 a table forgets names that were given without the flag; later ones log an error for it."""
    version = (getattr(slicer.app, "majorVersion", 5), getattr(slicer.app, "minorVersion", 11))
    return version < (5, 10)


def add_missing_segments(segmentation: Any, labels: Mapping[str, int]) -> None:
    """Give every structure a segment of its name, colour and tag; segments that are there are kept."""
    inner = segmentation.GetSegmentation()
    present = {
        inner.GetNthSegment(i).GetName(): inner.GetNthSegment(i) for i in range(inner.GetNumberOfSegments())
    }
    for name, value in sorted(labels.items(), key=lambda pair: pair[1]):
        segment = present.get(name)
        if segment is None:
            segment = inner.GetSegment(inner.AddEmptySegment(name, name))
        segment.SetColor(*colour_of(value))
        segment.SetTag(STRUCTURE_TAG, name)


def segment_ids(segmentation: Any) -> list[str]:
    inner = segmentation.GetSegmentation()
    return [inner.GetNthSegmentID(i) for i in range(inner.GetNumberOfSegments())]
