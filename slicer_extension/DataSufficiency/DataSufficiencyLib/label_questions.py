"""What has to be asked before a label is sent, what was answered, and the plan for its export. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answers:
    """What the user decided.

    Attributes:
        assigned: Segment ID to structure, or to None for "leave it out".
        absent: Structures that are truly not in this image.
        accepted_overlap: The higher structure value wins where two segments overlap.
        accepted_structures: The segments' names shall be the structures of a server that knows none yet.
        accepted_preview: What an effect shows as a preview shall not be part of the label.
    """

    assigned: Mapping[str, str | None] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    accepted_overlap: bool = False
    accepted_structures: bool = False
    accepted_preview: bool = False


@dataclass(frozen=True)
class Question:
    """Something to ask before a label is sent.

    `kind` is `unknown` (which structure is this segment?), `absent` (is this structure truly not in the image?),
    `overlap` (may the higher structure win?), `structures` (shall these names be the server's structures?) or `preview`
    (shall it go without the result that an effect only previews so far?).
    `subject` is a segment ID, a structure, or empty; the `name` of an overlap has all structures, the later holding.
    """

    kind: str
    subject: str
    name: str
    guess: str | None = None
    voxels: int = 0


@dataclass(frozen=True)
class Review:
    """The plan for an export, and what is still open about it.

    Attributes:
        plan: (segment ID, segment name, structure), in the order of structure values.
        labels: Structure name to voxel value: the server's, or the first label's own.
        questions: Nothing may be sent while there are any.
    """

    plan: tuple[tuple[str, str, str], ...]
    questions: tuple[Question, ...]
    labels: Mapping[str, int]
