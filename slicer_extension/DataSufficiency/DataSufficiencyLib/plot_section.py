"""The plot of the worth section: a plot view of the panel's own, with the key beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import slicer
from slicer.i18n import tr as _

from scaling_app_client.payload import Curve, MeasuredPoint, Target

from .curve_nodes import LINES, CurveNodes
from .notice_label import as_it_is, font_pixels

_HEIGHT = 260
#: How the key draws each line style.
_STROKES = {
    "LineStyleNone": "\u25cf",
    "LineStyleSolid": "\u2501\u2501",
    "LineStyleDash": "\u254c\u254c",
    "LineStyleDashDot": "\u2509\u2509",  # VTK draws it as dots
}


def curve_titles() -> dict[str, str]:
    """Words on the chart and in its key."""
    return {
        "cases": _("labelled cases"),
        "dice": _("Dice, in points"),
        "measured": _("measured"),
        "range": _("measured: 80 % range"),
        "mean": _("forecast"),
        "bounds": _("forecast: 80 % range"),
        "target": _("target"),
    }


class PlotSection:
    """Shows one structure's curve in a plot view of its own.

    Attributes:
        view: The `qMRMLPlotView`.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._curves = CurveNodes(curve_titles(), font_pixels(ui.plotKey))
        self.view = slicer.qMRMLPlotView()
        self.view.setMRMLScene(slicer.mrmlScene)
        self.view.setMinimumHeight(_HEIGHT)
        ui.plotHolder.layout().addWidget(self.view)
        self._drawn: Any = None

    def show(
        self, curve: Curve | None, points: Sequence[MeasuredPoint], target: Target | None, structure: str
    ) -> None:
        """Draw, where anything changed; hide the plot where there is nothing to draw.

        The limits are the chart's own: fitting the view to its content would overwrite them.
        """
        something = bool(points) or bool(curve and curve.forecast)
        self._ui.plotHolder.setVisible(something)
        drawn = (curve, points, target, structure)
        if not something:
            self._curves.clear()  # another server's curve would go on being shown in a plot layout
            self._drawn = None
        elif drawn != self._drawn:
            self._drawn = drawn
            self._curves.show(curve, points, target, as_it_is(structure) or _("all structures together"))
            self._ui.plotKey.setText(_key(curve, points, target))
            self.hold()

    def hide(self) -> None:
        """Nothing is known; what a saved scene brought stays in it."""
        self._ui.plotHolder.setVisible(False)

    def hold(self) -> None:
        """Show the curve in the panel's view even if other charts were put there."""
        if self._drawn is not None:
            self.view.setMRMLPlotViewNode(self._curves.view())

    def scene_changed(self) -> None:
        """The scene was closed or loaded: write the nodes anew, into those of a scene that brought its own."""
        self._curves.tidy()
        self._drawn = None


def _key(curve: Curve | None, points: Sequence[MeasuredPoint], target: Target | None) -> str:
    """What each line is, as markup: a legend inside the plot would cover the forecast."""
    forecast = bool(curve and curve.forecast)
    shown = {"measured": bool(points), "mean": forecast, "bounds": forecast, "target": target is not None}
    titles = curve_titles()
    entries = []
    for role, colour, style, _width in LINES:
        if shown[role]:
            rgb = "#" + "".join(f"{round(255 * part):02x}" for part in colour)
            words = escape(titles[role]).replace(" ", "&nbsp;").replace("-", "&#8209;")
            entries.append(f'<span style="color:{rgb}">{_STROKES[style]}</span>&nbsp;{words}')
    return " &nbsp; ".join(entries)
