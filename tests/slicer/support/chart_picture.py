"""Draws a `vtkMRMLPlotChartNode` with VTK's own chart, off screen, as Slicer's `qMRMLPlotView` does.

Sizes, styles and limits are the node's; where a legend lies, and how an axis is fitted, is VTK's default.
"""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np

_PROBE = (
    "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.SetSize(8, 8);"
    "w.AddRenderer(vtk.vtkRenderer()); w.Render(); assert w.SupportsOpenGL()"
)
WHY_NOT = (
    "VTK cannot draw here: Debian has what is missing in libegl1, libgl1 and libgl1-mesa-dri (or libosmesa6)"
)
#: The plot's ground in Slicer.
_GROUND = (255, 253, 246, 255)


@functools.cache
def can_render() -> bool:
    """Whether VTK draws on this machine; tried in a process of its own, because a failure may end it."""
    return subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False).returncode == 0


def draw(chart: object, size: tuple[int, int], scale: int = 1) -> np.ndarray:
    """The chart as an image, array (height, width, 3) of uint8."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    view = vtk.vtkContextView()
    view.GetRenderer().SetBackground(1, 1, 1)
    window = view.GetRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    view.GetScene().AddItem(vtk_chart(chart, scale))
    window.Render()
    grabbed = vtk.vtkWindowToImageFilter()
    grabbed.SetInput(window)
    grabbed.ReadFrontBufferOff()
    grabbed.Update()
    image = grabbed.GetOutput()
    width, height, _depth = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()


def fit(chart: object) -> None:
    """What `fitToContent` does: fixed axes are fitted to what is drawn, too, and the node is told their limits."""
    drawn = vtk_chart(chart, 1)
    bounds = [(drawn.GetPlot(i), [0.0] * 4) for i in range(drawn.GetNumberOfPlots())]
    for plot, ends in bounds:
        plot.Update()
        plot.GetUnscaledInputBounds(ends)
    known = [ends for _plot, ends in bounds if ends[0] <= ends[1]]
    for index, first, keep in ((1, 0, chart.SetXAxisRange), (0, 2, chart.SetYAxisRange)):
        axis = drawn.GetAxis(index)
        axis.SetUnscaledRange(min(e[first] for e in known), max(e[first + 1] for e in known))
        axis.AutoScale()
        limits = [0.0, 1.0]
        axis.GetUnscaledRange(limits)
        keep(*limits)


def vtk_chart(chart: object, scale: int) -> object:
    """VTK's chart of a chart node, everything on it so many times as large."""
    import slicer
    import vtk

    styles = slicer.vtkMRMLPlotSeriesNode
    pens = {styles.LineStyleDash: vtk.vtkPen.DASH_LINE, styles.LineStyleDot: vtk.vtkPen.DOT_LINE}
    pens |= {
        styles.LineStyleDashDot: vtk.vtkPen.DASH_DOT_LINE,
        styles.LineStyleSolid: vtk.vtkPen.SOLID_LINE,
        styles.LineStyleNone: vtk.vtkPen.NO_PEN,
    }
    marks = {styles.MarkerStyleNone: 0, styles.MarkerStyleCircle: 4}
    marks |= {styles.MarkerStyleSquare: 3, styles.MarkerStyleDiamond: 5}
    drawn = vtk.vtkChartXY()
    ground = vtk.vtkColor4ub()
    ground.Set(*_GROUND)
    drawn.GetBackgroundBrush().SetColor(ground)
    drawn.SetTitle(chart.GetTitle() if chart.GetTitleVisibility() else "")
    drawn.GetTitleProperties().SetFontSize(chart.GetTitleFontSize() * scale)
    drawn.SetShowLegend(chart.GetLegendVisibility())
    drawn.GetLegend().GetLabelProperties().SetFontSize(chart.GetLegendFontSize() * scale)
    axes = (
        (0, chart.GetYAxisTitle(), chart.GetYAxisRangeAuto(), chart.GetYAxisRange()),
        (1, chart.GetXAxisTitle(), chart.GetXAxisRangeAuto(), chart.GetXAxisRange()),
    )
    for index, title, automatic, limits in axes:
        axis = drawn.GetAxis(index)
        axis.SetTitle(title)
        axis.SetBehavior(vtk.vtkAxis.AUTO if automatic else vtk.vtkAxis.FIXED)
        if not automatic:
            axis.SetUnscaledRange(*limits)
        axis.SetGridVisible(chart.GetGridVisibility())
        axis.GetTitleProperties().SetFontSize(chart.GetAxisTitleFontSize() * scale)
        axis.GetTitleProperties().SetBold(False)
        axis.GetLabelProperties().SetFontSize(chart.GetAxisLabelFontSize() * scale)
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        plot = drawn.AddPlot(vtk.vtkChart.LINE)
        plot.SetColorF(*series.GetColor())
        plot.GetPen().SetLineType(pens[series.GetLineStyle()])
        plot.SetWidth(series.GetLineWidth() * scale)
        plot.SetMarkerStyle(marks[series.GetMarkerStyle()])
        plot.SetMarkerSize(series.GetMarkerSize() * scale)
        plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        plot.SetLabel(series.GetName())
    return drawn
