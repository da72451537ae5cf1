"""A message in a label: a sign for how serious it is, its words, and the technical reason as tooltip."""

from __future__ import annotations

from typing import Any

from .wording import Notice

_SIGNS = {"info": "", "good": "\u2714 ", "warning": "\u26a0 ", "bad": "\u2716 "}


def show_notice(label: Any, notice: Notice | None) -> None:
    """Show a message, or hide the label when there is none."""
    label.setVisible(notice is not None)
    if notice is not None:
        label.setText(_SIGNS[notice.level] + notice.text)
        label.setToolTip(notice.detail)


def show_text(label: Any, text: str) -> None:
    """Show a text, or hide the label when it is empty."""
    label.setVisible(bool(text))
    label.setText(text)
