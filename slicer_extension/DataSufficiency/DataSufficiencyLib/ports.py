"""What a session needs from outside, as protocols: a way to the server, timers, an editor with the case in it.

In Slicer these are `transport.QtTransport`, `timers.QtTimers` and `case_nodes.CaseNodes`; a test or a script may
bring its own. No qt, no MRML here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Protocol

from .label_questions import Answers, Review
from .signal import Signal


class LoadError(RuntimeError):
    """An image or a label that the editor cannot read."""


#: What may come of a file that somebody else has made and named.
NOT_LOADED = (LoadError, OSError, MemoryError, ValueError)


class ExportError(RuntimeError):
    """The label could not be made, or did not come out as planned."""


class Timer(Protocol):
    """Something that will happen, unless it is stopped."""

    def stop(self) -> None: ...


class Timers(Protocol):
    """Calls something later."""

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` once, unless the timer's `stop()` comes first."""


class Editor(Protocol):
    """Holds the case at hand: its image, its segmentation, and what somebody does to them.

    Attributes:
        edited: Signal: somebody drew, or added or removed a segment.
        renamed: Signal: a segment has another name, and with it perhaps another structure.
        looked: Signal: somebody is there.
        gone: Signal: image or segmentation went; carries `scene` or `node`.
        image, segmentation: The case as the editor holds it; None without one.
    """

    edited: Signal
    renamed: Signal
    looked: Signal
    gone: Signal
    image: Any
    segmentation: Any

    @property
    def alive(self) -> bool:
        """Whether image and segmentation are there."""

    @property
    def labels(self) -> Mapping[str, int]:
        """The structures that the segments are compared with."""

    @property
    def drawn_on(self) -> bool:
        """Whether any segment has voxels."""

    @property
    def label_file_name(self) -> str:
        """Its ending tells the format of the case's labels."""

    def open(self, case_id: str, file_name: str, content: bytes, labels: Mapping[str, int]) -> None:
        """Load a case's image, with one empty segment per structure. Raises `LoadError`."""

    def adopt(self, image: Any, segmentation: Any, labels: Mapping[str, int]) -> None:
        """Take an image and a segmentation that the editor has already; what they are is its own affair."""

    def use_labels(self, labels: Mapping[str, int]) -> None:
        """The structures of the task, as the server named them; each gets a segment."""

    def fill(self, content: bytes, file_name: str) -> None:
        """Replace the segments by those of a label file. Raises `LoadError`."""

    def review(self, answers: Answers) -> Review:
        """Compare the segments with the structures."""

    def export(self, found: Review, path: str, answers: Answers) -> list[dict[str, Any]]:
        """Write the label file; returns what MONAI Label stores beside it. Raises `ExportError`."""

    def close(self) -> None:
        """Take the case away."""

    def stop(self) -> None:
        """Leave the case alone and tell nothing any more."""
