"""The forecast as MRML nodes: two tables, series and one chart, saved with the scene.

The nodes are found again by an attribute, so that neither a new answer nor a reloaded scene adds a second
set, and whatever was deleted is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from .forecast_words import measured_text
from .model import Curve, Interval, Observed, Target

_ROLE = "DataSufficiency.Role"
_BLUE, _LIGHT, _PALE, _ORANGE, _GREEN = (
    (0.00, 0.35, 0.65),
    (0.35, 0.60, 0.82),
    (0.45, 0.62, 0.80),
    (0.84, 0.37, 0.00),
    (0.00, 0.50, 0.30),
)

#: Columns of the forecast table, with the series drawn from them: role, column, colour, line style.
_LINES = (
    ("lo95", _PALE, "LineStyleDash"),
    ("hi95", _PALE, "LineStyleDash"),
    ("lo80", _LIGHT, "LineStyleDash"),
    ("hi80", _LIGHT, "LineStyleDash"),
    ("mean", _BLUE, "LineStyleSolid"),
)
_WIDTHS = {"mean": 3.0, "lo95": 1.2, "hi95": 1.2}
_FORECAST = "forecast"
_CLASSES = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode", "vtkMRMLPlotViewNode")
_COLUMNS = ("cases", "mean", "lo80", "hi80", "lo95", "hi95")
_MEASURED = ("cases", "dice", "lo80", "hi80", "test_cases")
_ABOUT = "about"


class CurveNodes:
    """Writes one structure's curve into the scene.

    Args:
        titles: Words on the chart: `title`, `cases`, `dice`, and one legend entry per series role
            (`mean`, `lo80`, `hi80`, `lo95`, `hi95`, `target`, `range`, `prequential`, `fold`, `nested`).
    """

    KINDS = (
        ("prequential", "MarkerStyleCircle"),
        ("fold", "MarkerStyleSquare"),
        ("nested", "MarkerStyleDiamond"),
    )

    def __init__(self, titles: dict[str, str]) -> None:
        self._titles = titles

    def show(self, curve: Curve | None, points: Sequence[Observed], target: Target | None, name: str) -> Any:
        """Update the nodes and return the chart.

        Args:
            curve: The forecast; None draws the measured points alone.
            points: Measured Dice of this structure; those of the `KINDS` are drawn.
            target: Drawn as a level line.
            name: Shown as the chart's title.
        """
        rows = _forecast_rows(curve)
        kinds = dict(self.KINDS)
        points = sorted((p for p in points if p.kind in kinds), key=lambda p: (p.n, p.dice))
        largest = max([p.n for p in points] + [row[0] for row in rows] + [1]) * 1.05
        forecast = self._node("vtkMRMLTableNode", _FORECAST, "Sufficiency forecast")
        _fill(forecast, _COLUMNS, rows)
        chart = self._node("vtkMRMLPlotChartNode", "chart", "Sufficiency")
        wanted = []
        for column, colour, line in _LINES:
            index = _COLUMNS.index(column)
            if len(rows) > 0 and np.isfinite(rows[:, index]).all():
                wanted.append(self._line(column, forecast, column, colour, line))
        if target is not None:
            level = self._node("vtkMRMLTableNode", "target", "Sufficiency target")
            _fill(level, ("cases", "dice"), np.array([[0.0, target.dice], [largest, target.dice]]))
            wanted.append(self._line("target", level, "dice", _GREEN, "LineStyleDashDot"))
        wanted += self._measured(points)
        _set_series(chart, wanted)
        self._label(chart, largest, _dice_range(rows, points, target), name)
        return chart

    def chart(self) -> Any:
        """The chart in the scene, or None before the first answer."""
        return _find("vtkMRMLPlotChartNode", "chart")

    def clear(self) -> None:
        """Show nothing on the chart, if there is one."""
        chart = self.chart()
        if chart is not None:
            chart.RemoveAllPlotSeriesNodeIDs()

    @staticmethod
    def tidy() -> None:
        """Leave one node per role, the newest: a scene that is loaded brings its own beside those of before."""
        newest: dict[tuple[str, str], Any] = {}
        scene = slicer.mrmlScene
        for class_name in _CLASSES:
            for node in [
                scene.GetNthNodeByClass(i, class_name)
                for i in range(scene.GetNumberOfNodesByClass(class_name))
            ]:
                role = node.GetAttribute(_ROLE)
                if role:
                    older = newest.get((class_name, role))
                    newest[class_name, role] = node
                    if older is not None:
                        scene.RemoveNode(older)

    def view(self) -> Any:
        """The plot view node for the panel's own view; never saved, made anew when the scene was closed."""
        node = self._node("vtkMRMLPlotViewNode", "view", "Sufficiency")
        node.SetSaveWithScene(False)
        node.SetDoPropagatePlotChartSelection(False)  # other modules' charts are for other views
        chart = self.chart()
        node.SetPlotChartNodeID(chart.GetID() if chart else None)
        return node

    def _measured(self, points: Sequence[Observed]) -> list[Any]:
        """A series per kind of measured points, what they rest on as their tooltips, and the points' ranges."""
        series = self._ranges(points)
        for kind, marker in self.KINDS:
            chosen = [p for p in points if p.kind == kind]
            if not chosen:
                continue
            table = self._node("vtkMRMLTableNode", kind, "Sufficiency measured " + kind)
            rows = [(p.n, p.dice, p.lo80, p.hi80, p.n_cases) for p in chosen]
            _fill(table, _MEASURED, np.array(rows, dtype=float), [measured_text(p) for p in chosen])
            node = self._series(kind, table, "dice", _ORANGE)
            node.SetLabelColumnName(_ABOUT)
            node.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleNone)
            node.SetMarkerStyle(getattr(slicer.vtkMRMLPlotSeriesNode, marker))
            node.SetMarkerSize(9)
            series.append(node)
        return series

    def _ranges(self, points: Sequence[Observed]) -> list[Any]:
        """One series of upright lines, the 80 % ranges of the points that have one; NaN parts a line from the next."""
        ends = [(p.n, e) for p in points if p.lo80 is not None for e in (p.lo80, p.hi80, None)]
        if not ends:
            return []
        table = self._node("vtkMRMLTableNode", "range", "Sufficiency measured range")
        _fill(table, ("cases", "dice"), np.array(ends, dtype=float))
        return [self._line("range", table, "dice", _ORANGE, "LineStyleSolid")]

    def _series(self, role: str, table: Any, column: str, colour: tuple[float, float, float]) -> Any:
        node = self._node("vtkMRMLPlotSeriesNode", role, self._titles[role])
        node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetXColumnName("cases")
        node.SetYColumnName(column)
        node.SetColor(*colour)
        return node

    def _line(
        self, role: str, table: Any, column: str, colour: tuple[float, float, float], style: str
    ) -> Any:
        series = self._series(role, table, column, colour)
        series.SetLineStyle(getattr(slicer.vtkMRMLPlotSeriesNode, style))
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetLineWidth(_WIDTHS.get(role, 2))
        return series

    def _label(self, chart: Any, largest: float, dice: tuple[float, float], name: str) -> None:
        chart.SetTitle(name)
        chart.SetXAxisTitle(self._titles["cases"])
        chart.SetYAxisTitle(self._titles["dice"])
        chart.SetXAxisRangeAuto(False)
        chart.SetXAxisRange(0, largest)
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(*dice)
        chart.SetLegendVisibility(True)

    @staticmethod
    def _node(class_name: str, role: str, name: str) -> Any:
        node = _find(class_name, role)
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
            node.SetAttribute(_ROLE, role)
        return node


def _find(class_name: str, role: str) -> Any:
    scene = slicer.mrmlScene
    for index in range(scene.GetNumberOfNodesByClass(class_name)):
        node = scene.GetNthNodeByClass(index, class_name)
        if node.GetAttribute(_ROLE) == role:
            return node
    return None


def _forecast_rows(curve: Curve | None) -> np.ndarray:
    """Array (points, columns); NaN where the server gives no bound.

    Rows are the server's own line where it sends one, else the present size and every horizon.
    """
    rows: list[list[float]] = []
    first = curve.forecast[0] if curve and curve.forecast else None

    def add(n: int, dice: Interval) -> None:
        bounds = (dice.mean, dice.lo80, dice.hi80, dice.lo95, dice.hi95)
        rows.append([float(n), *(np.nan if bound is None else bound for bound in bounds)])

    if curve and curve.line:
        for n, dice in curve.line:
            add(n, dice)
        return np.asarray(rows, dtype=float)
    if curve and curve.now and first and first.extra > 0:
        add(first.n - first.extra, curve.now)
    for row in curve.forecast if curve else ():
        if row.dice is not None:
            add(row.n, row.dice)
    return np.asarray(rows, dtype=float).reshape(-1, len(_COLUMNS))


def _dice_range(rows: np.ndarray, points: Sequence[Observed], target: Target | None) -> tuple[float, float]:
    """Limits of the Dice axis: all that is drawn, rounded outwards to twentieths, inside [0, 1]."""
    values = [v for p in points for v in (p.dice, p.lo80, p.hi80) if v is not None]
    values += [v for v in rows[:, 1:].ravel() if np.isfinite(v)]
    if target is not None:
        values.append(target.dice)
    if not values:
        return 0.0, 1.0
    low = np.floor(20 * min(values) - 0.2) / 20
    high = np.ceil(20 * max(values) + 0.2) / 20
    return float(max(low, 0.0)), float(min(high, 1.0))


def _fill(table_node: Any, columns: Sequence[str], rows: np.ndarray, about: Sequence[str] = ()) -> None:
    """Replace a table's content; NaN stays NaN, which a plot leaves out. `about` is a column of words."""
    table = vtk.vtkTable()
    for index, name in enumerate(columns):
        column = numpy_to_vtk(np.ascontiguousarray(rows[:, index], dtype=float), deep=True)
        column.SetName(name)
        table.AddColumn(column)
    if about:
        words = vtk.vtkStringArray()
        words.SetName(_ABOUT)
        for text in about:
            words.InsertNextValue(text)
        table.AddColumn(words)
    table_node.SetAndObserveTable(table)


def _set_series(chart: Any, wanted: list[Any]) -> None:
    """Make the chart show these series, touching it only when they are others than before."""
    before = [chart.GetNthPlotSeriesNodeID(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
    after = [series.GetID() for series in wanted]
    if before == after:
        return
    chart.RemoveAllPlotSeriesNodeIDs()
    for node_id in after:
        chart.AddAndObservePlotSeriesNodeID(node_id)
