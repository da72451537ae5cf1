"""A message in a label: a sign for how serious it is, its words, and the technical reason as tooltip."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from .wording import Notice

#: Where a long name may go on in the next line.
_PLACES = re.compile(r"[-_./:]+(?=\w)|[^-_./:]{12}(?=\w)")
#: Between a number and its unit no line may end.
_UNITS = re.compile(r"(?<=\d) (?=%|(?:min|h)\b)")
#: What is no letter but an order to the screen: other control characters, and those that turn what follows around.
_ORDERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SIGNS = {"info": "", "good": "\u2714 ", "warning": "\u26a0 ", "bad": "\u2716 "}


def show_notice(label: Any, notice: Notice | None) -> None:
    """Show a message, or hide the label when there is none."""
    label.setVisible(notice is not None)
    if notice is not None:
        label.setText(breakable(_SIGNS[notice.level] + notice.text))
        label.setToolTip(as_markup(notice.detail))


def show_text(label: Any, text: str) -> None:
    """Show a text, or hide the label when it is empty."""
    label.setVisible(bool(text))
    label.setText(breakable(text))


def breakable(text: str) -> str:
    """The text, its long names with places where a line may end: Qt ends lines at spaces alone, and grows wider."""
    text = _UNITS.sub("\u00a0", as_it_is(text))
    return re.sub(r"\S{25,}", lambda name: _PLACES.sub("\\g<0>\u200b", name.group()), text)


def make_headline(label: Any) -> None:
    """Bold, and a fifth larger than the text around it, whatever size that has."""
    font = label.font
    if font.pointSizeF() > 0:
        font.setPointSizeF(1.2 * font.pointSizeF())
    else:  # its size was given in pixels
        font.setPixelSize(round(1.2 * font.pixelSize()))
    font.setBold(True)
    label.setFont(font)


def font_pixels(label: Any) -> int:
    """The height of a label's words in pixels, at a screen of 72 pixels an inch as VTK reckons."""
    font = label.font
    return round(font.pointSizeF() * 4 / 3) if font.pointSizeF() > 0 else int(font.pixelSize())


def as_it_is(text: str) -> str:
    """The text, with a sign in the place of each character by which a name could disguise itself or its neighbours."""
    return _ORDERS.sub("\ufffd", text)


def as_markup(text: str) -> str:
    """The text for a tooltip or a dialog, where Qt looks for markup: it is shown as it stands."""
    return "<qt>" + escape(as_it_is(text)).replace("\n", "<br>") + "</qt>" if text else ""
