"""Segments against structures, before anything is sent: what is clear, and what has to be asked.

A segment is of the structure whose name it bears. Its place in the list, its visibility and its ID say
nothing. What bears no structure's name is asked about, with a guess (the structure it was made for, or a name
that differs in capitals and spaces alone), and so is every structure that would come out empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .label_questions import Answers, Question, Review
from .label_set import STRUCTURE_TAG, segment_ids

_BINARY = "Binary labelmap"
#: Under which the Segment Editor's effects keep a result that was not applied yet.
_PREVIEW_ROLE = "SegmentationResultPreview"
_SHARED = 65535


@dataclass(frozen=True)
class SegmentFacts:
    """One segment: the structure of its name (None if there is none), a guess, and how many voxels it has."""

    segment_id: str
    name: str
    label: str | None
    guess: str | None
    voxels: int


def review(segmentation: Any, labels: Mapping[str, int], answers: Answers) -> Review:
    """Compare a segmentation with the structures of the task.

    Args:
        segmentation: A `vtkMRMLSegmentationNode`.
        labels: Structure name to voxel value.
        answers: What was decided so far.
    """
    if not labels:
        return _first_label(segmentation, answers)
    facts = [_facts(segmentation, segment_id, labels) for segment_id in segment_ids(segmentation)]
    plan: list[tuple[str, str, str]] = []
    questions: list[Question] = []
    filled: dict[str, int] = {}
    for segment in facts:
        label = segment.label
        if label is None and segment.segment_id in answers.assigned:
            label = answers.assigned[segment.segment_id]
            if label is None:
                continue
        if label is None:
            questions.append(
                Question("unknown", segment.segment_id, segment.name, segment.guess, segment.voxels)
            )
            continue
        filled[label] = filled.get(label, 0) + segment.voxels
        if segment.voxels:
            plan.append((segment.segment_id, segment.name, label))
    guessed = {question.guess for question in questions if question.voxels}
    questions += [
        Question("absent", name, name)
        for name in labels
        if not filled.get(name) and name not in answers.absent and name not in guessed
    ]
    if not answers.accepted_preview and has_preview(segmentation):
        questions.insert(0, Question("preview", "", ""))
    plan.sort(key=lambda entry: labels[entry[2]])
    overlap = 0 if answers.accepted_overlap else _overlap(segmentation, plan)
    if overlap:
        in_order = ", ".join(dict.fromkeys(label for _id, _name, label in plan))
        questions.append(Question("overlap", "", in_order, None, overlap))
    return Review(tuple(plan), tuple(questions), labels)


def _first_label(segmentation: Any, answers: Answers) -> Review:
    """The server knows no structures: the names of what was drawn become the structures, once the user agrees."""
    found = [_facts(segmentation, segment_id, {}) for segment_id in segment_ids(segmentation)]
    drawn = [segment for segment in found if segment.voxels]
    labels = {name: value for value, name in enumerate(dict.fromkeys(s.name for s in drawn), start=1)}
    if not labels:
        return Review((), (), {})
    if answers.accepted_structures:
        empty = {s.segment_id: None for s in found if not s.voxels}
        return review(segmentation, labels, replace(answers, assigned=empty, absent=frozenset()))
    names = ", ".join(f"{name} = {value}" for name, value in labels.items())
    return Review((), (Question("structures", "", names),), labels)


def has_preview(segmentation: Any) -> bool:
    """Whether an effect of the Segment Editor (Grow from seeds, Fill between slices) waits for its Apply."""
    editor = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    ours = editor is not None and editor.GetSegmentationNode() is segmentation
    return ours and editor.GetNodeReference(_PREVIEW_ROLE) is not None


@dataclass(frozen=True)
class Trace:
    """By which a change of a segment is known: its name, and when its voxels changed last."""

    name: str
    voxels: int


#: By segment ID.
Traces = dict[str, Trace]


def traces(segmentation: Any) -> Traces:
    """The traces of all segments; colours, tags and surfaces leave none."""
    found = {}
    for segment_id in segment_ids(segmentation):
        segment = segmentation.GetSegmentation().GetSegment(segment_id)
        image = segment.GetRepresentation(_BINARY)
        found[segment_id] = Trace(segment.GetName(), 0 if image is None else image.GetMTime())
    return found


def has_voxels(segmentation: Any) -> bool:
    """Whether anything is drawn in any segment."""
    masks = (_mask(segmentation, segment_id) for segment_id in segment_ids(segmentation))
    return any(mask is not None and mask[1].any() for mask in masks)


def _facts(segmentation: Any, segment_id: str, labels: Mapping[str, int]) -> SegmentFacts:
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    name = segment.GetName()
    mask = _mask(segmentation, segment_id)
    voxels = 0 if mask is None else int(np.count_nonzero(mask[1]))
    label = name if name in labels else None
    guess = None if label else _tagged(segment, labels) or _similar(name, labels)
    return SegmentFacts(segment_id, name, label, guess, voxels)


def _tagged(segment: Any, labels: Mapping[str, int]) -> str | None:
    """The structure in the segment's tag."""
    return next((name for name in labels if segment.HasTag(STRUCTURE_TAG) and _tag(segment) == name), None)


def _tag(segment: Any) -> str:
    value = vtk.reference("")
    segment.GetTag(STRUCTURE_TAG, value)
    return str(value)


def _similar(name: str, labels: Mapping[str, int]) -> str | None:
    def bare(text: str) -> str:
        return "".join(letter for letter in text.casefold() if letter.isalnum())

    matches = [label for label in labels if bare(label) == bare(name)]
    return matches[0] if len(matches) == 1 else None


def _mask(segmentation: Any, segment_id: str) -> tuple[tuple[int, ...], np.ndarray] | None:
    """Extent and mask (K, J, I) of a segment on its own grid; None where it has no voxels at all."""
    inner = segmentation.GetSegmentation()
    segment = inner.GetSegment(segment_id)
    if not inner.ContainsRepresentation(_BINARY) and not segmentation.CreateBinaryLabelmapRepresentation():
        return None
    image = segment.GetRepresentation(_BINARY)
    if image is None or image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    extent = tuple(image.GetExtent())
    shape = (extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return extent, values == segment.GetLabelValue()


def _overlap(segmentation: Any, plan: list[tuple[str, str, str]]) -> int:
    """How many voxels lie in segments of two structures or more. Segments that share a layer cannot overlap."""
    inner = segmentation.GetSegmentation()
    if len({inner.GetLayerIndex(segment_id) for segment_id, _name, _label in plan}) < 2:
        return 0
    found = [(label, _trimmed(_mask(segmentation, segment_id))) for segment_id, _name, label in plan]
    parts = [(label, *part) for label, part in found if part is not None]
    if not parts:
        return 0
    low = [min(extent[axis] for _label, extent, _mask in parts) for axis in (0, 2, 4)]
    high = [max(extent[axis] for _label, extent, _mask in parts) for axis in (1, 3, 5)]
    owner = np.zeros([high[axis] - low[axis] + 1 for axis in (2, 1, 0)], dtype=np.uint16)
    structures = {label: number for number, label in enumerate(dict.fromkeys(p[0] for p in parts), start=1)}
    for label, extent, mask in parts:
        here = owner[tuple(slice(extent[2 * a] - low[a], extent[2 * a + 1] - low[a] + 1) for a in (2, 1, 0))]
        taken = mask & (here != 0) & (here != structures[label])
        np.copyto(here, structures[label], where=mask)
        here[taken] = _SHARED
    return int(np.count_nonzero(owner == _SHARED))


def _trimmed(part: tuple[tuple[int, ...], np.ndarray] | None) -> tuple[tuple[int, ...], np.ndarray] | None:
    """A mask cut down to the voxels that it has; None where it has none."""
    if part is None or not part[1].any():
        return None
    extent, mask = part
    ranges = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    inside = tuple(slice(found[0], found[-1] + 1) for found in ranges)
    bounds = [(extent[2 * axis] + r[0], extent[2 * axis] + r[-1]) for axis, r in zip((0, 1, 2), ranges[::-1])]
    return tuple(int(bound) for pair in bounds for bound in pair), mask[inside]


def remember_assignments(segmentation: Any, answers: Answers) -> None:
    """Write the user's decisions on the segments, as the guess for the next time."""
    inner = segmentation.GetSegmentation()
    for segment_id, label in answers.assigned.items():
        segment = inner.GetSegment(segment_id)
        if segment is not None and label is not None:
            segment.SetTag(STRUCTURE_TAG, label)
