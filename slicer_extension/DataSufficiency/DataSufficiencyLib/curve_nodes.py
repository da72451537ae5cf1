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

from scaling_app_client.payload import Curve, Interval, MeasuredPoint, Target

from .forecast_words import measured_text

_ROLE = "DataSufficiency.Role"
_BLUE, _LIGHT, _ORANGE, _GREEN = (
    (0.00, 0.35, 0.65),
    (0.35, 0.60, 0.82),
    (0.84, 0.37, 0.00),
    (0.00, 0.50, 0.30),
)

#: What the chart shows, in the order of the key: series role, colour, line style, line width.
LINES = (
    ("measured", _ORANGE, "LineStyleNone", 2.0),
    ("mean", _BLUE, "LineStyleSolid", 3.0),
    ("bounds", _LIGHT, "LineStyleDash", 2.0),
    ("target", _GREEN, "LineStyleDashDot", 2.0),
)
#: The measured points' own ranges; part of the key's first entry.
_RANGES = ("range", _ORANGE, "LineStyleSolid", 2.0)
#: Kinds of measured points that are drawn; a server may send others.
_KINDS = ("prequential", "fold", "nested")
_FORECAST = "forecast"
_CLASSES = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode", "vtkMRMLPlotViewNode")
#: Dice in these tables is in points from 0 to 100, as in the panel.
_COLUMNS = ("cases", "mean", "lo80", "hi80", "lo95", "hi95")
_MEASURED = ("cases", "dice", "lo80", "hi80", "test_cases")
_LINE = ("cases", "dice")
_ABOUT = "about"
_POINTS = 100.0


class CurveNodes:
    """Writes one structure's curve into the scene, in points from 0 to 100.

    Args:
        titles: Words on the chart: `cases` and `dice` at the axes, and one name per series role (`measured`,
            `range`, `mean`, `bounds`, `target`).
        font_pixels: Height of the words around the plot; those on it are as high. Slicer's own are twice that.
    """

    def __init__(self, titles: dict[str, str], font_pixels: int = 12) -> None:
        self._titles, self._font_pixels = titles, font_pixels

    def show(
        self, curve: Curve | None, points: Sequence[MeasuredPoint], target: Target | None, name: str
    ) -> Any:
        """Update the nodes and return the chart.

        Args:
            curve: The forecast; None draws the measured points alone.
            points: Measured Dice of this structure.
            target: Drawn as a level line.
            name: Shown as the chart's title.
        """
        rows = _forecast_rows(curve)
        points = sorted((p for p in points if p.kind in _KINDS), key=lambda p: (p.n, p.dice))
        largest = max([p.n for p in points] + [row[0] for row in rows] + [1]) * 1.05
        chart = self._node("vtkMRMLPlotChartNode", "chart", "Sufficiency")
        quiet = chart.StartModify()  # else every line below would draw the chart anew
        drawn = [*self._measured(points), *self._forecast(rows)]
        if target is not None:
            level = _POINTS * target.dice
            drawn.append(self._line("target", np.array([[0.0, level], [largest, level]])))
        _set_series(chart, [series for series in drawn if series is not None])
        self._label(chart, largest, _dice_range(rows, points, target), name)
        chart.EndModify(quiet)
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
        """The plot view node for the panel's own view; never saved, made anew when the scene was closed.

        Its chart is its parent: Slicer's layouts make a hidden plot for every view node that comes without one.
        """
        chart = self._node("vtkMRMLPlotChartNode", "chart", "Sufficiency")
        node = _find("vtkMRMLPlotViewNode", "view")
        if node is None:
            node = slicer.vtkMRMLPlotViewNode()
            node.SetName("Sufficiency")
            node.SetAttribute(_ROLE, "view")
            node.SetAndObserveParentLayoutNodeID(chart.GetID())  # before the layouts hear of the node
            node = slicer.mrmlScene.AddNode(node)
        node.SetSaveWithScene(False)
        node.SetDoPropagatePlotChartSelection(False)  # other modules' charts are for other views
        node.SetPlotChartNodeID(chart.GetID())
        return node

    def _measured(self, points: Sequence[MeasuredPoint]) -> list[Any]:
        """The measured points, what they rest on as their tooltips, and their 80 % ranges as upright lines."""
        if not points:
            return []
        table = self._node("vtkMRMLTableNode", "measured", "Sufficiency measured")
        rows = [(p.n, p.dice, p.lo80, p.hi80, p.n_cases) for p in points]
        _fill(table, _MEASURED, _in_points(np.array(rows, dtype=float), 1, 4), [*map(measured_text, points)])
        series = self._series("measured", table, "dice")
        series.SetLabelColumnName(_ABOUT)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
        series.SetMarkerSize(9)
        ends = [(p.n, e) for p in points if p.lo80 is not None for e in (p.lo80, p.hi80, None)]
        ranges = _in_points(np.array(ends, dtype=float).reshape(-1, 2), 1, 2)
        return [self._line("range", ranges), series]

    def _forecast(self, rows: np.ndarray) -> list[Any]:
        """The forecast, and its 80 % range as one series of two lines."""
        table = self._node("vtkMRMLTableNode", _FORECAST, "Sufficiency forecast")
        _fill(table, _COLUMNS, rows)
        if not len(rows):
            return []
        low, high = (rows[:, [0, _COLUMNS.index(name)]] for name in ("lo80", "hi80"))
        known = len(rows) > 1 and np.isfinite(np.concatenate([low, high])).all()
        bounds = np.concatenate([low, [[rows[-1, 0], np.nan]], high]) if known else rows[:0, :2]
        return [self._line("bounds", bounds), self._series("mean", table, "mean")]

    def _line(self, role: str, ends: np.ndarray) -> Any:
        """A series of lines through `ends`, array (points, 2); NaN parts one line from the next. None without any."""
        if not len(ends):
            return None
        table = self._node("vtkMRMLTableNode", role, "Sufficiency " + role)
        _fill(table, _LINE, ends)
        return self._series(role, table, "dice")

    def _series(self, role: str, table: Any, column: str) -> Any:
        _role, colour, style, width = next(line for line in (*LINES, _RANGES) if line[0] == role)
        node = self._node("vtkMRMLPlotSeriesNode", role, self._titles[role])
        node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        node.SetAndObserveTableNodeID(table.GetID())
        node.SetXColumnName("cases")
        node.SetYColumnName(column)
        node.SetColor(*colour)
        node.SetLineStyle(getattr(slicer.vtkMRMLPlotSeriesNode, style))
        node.SetLineWidth(width)
        node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        return node

    def _label(self, chart: Any, largest: float, dice: tuple[float, float], name: str) -> None:
        """Words and limits. The panel has the key beside the plot: a legend would lie on the forecast."""
        chart.SetTitle(name)
        chart.SetXAxisTitle(self._titles["cases"])
        chart.SetYAxisTitle(self._titles["dice"])
        chart.SetXAxisRangeAuto(False)
        chart.SetXAxisRange(0, largest)
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(*dice)
        chart.SetLegendVisibility(False)
        chart.SetTitleFontSize(self._font_pixels + 1)
        chart.SetAxisTitleFontSize(self._font_pixels)
        for set_size in (chart.SetAxisLabelFontSize, chart.SetLegendFontSize):
            set_size(self._font_pixels - 1)

    @staticmethod
    def _node(class_name: str, role: str, name: str) -> Any:
        """The node of a role, made when there is none."""
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
    """Array (sizes, columns), Dice in points; NaN where the server gives no bound.

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
    elif curve and curve.now and first and first.extra > 0:
        add(first.n - first.extra, curve.now)
    for row in curve.forecast if curve and not curve.line else ():
        if row.dice is not None:
            add(row.n, row.dice)
    return _in_points(np.asarray(rows, dtype=float).reshape(-1, len(_COLUMNS)), 1, len(_COLUMNS))


def _in_points(rows: np.ndarray, first: int, last: int) -> np.ndarray:
    """The rows, their columns from `first` up to `last` from Dice in [0, 1] to points."""
    rows[:, first:last] *= _POINTS
    return rows


def _dice_range(
    rows: np.ndarray, points: Sequence[MeasuredPoint], target: Target | None
) -> tuple[float, float]:
    """Limits of the Dice axis: all that is drawn, rounded outwards to fives, inside 0 to 100 points."""
    values = [_POINTS * v for p in points for v in (p.dice, p.lo80, p.hi80) if v is not None]
    values += [v for v in rows[:, 1:4].ravel() if np.isfinite(v)]
    if target is not None:
        values.append(_POINTS * target.dice)
    if not values:
        return 0.0, _POINTS
    low = 5 * np.floor((min(values) - 1) / 5)
    high = 5 * np.ceil((max(values) + 1) / 5)
    return float(max(low, 0.0)), float(min(high, _POINTS))


def _fill(table_node: Any, columns: Sequence[str], rows: np.ndarray, about: Sequence[str] = ()) -> None:
    """Replace a table's content; NaN stays NaN, which a plot leaves out. `about` is a column of words.

    One row alone is written twice: VTK logs an error for a line through one point, also where only its mark is drawn.
    """
    if len(rows) == 1:
        rows, about = np.concatenate([rows, rows]), [*about, *about]
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
