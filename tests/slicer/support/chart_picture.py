"""Draws a `vtkMRMLPlotChartNode` with VTK's own chart, off screen: what Slicer's plot view shows, without Qt."""

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
    view.GetScene().AddItem(_vtk_chart(chart, scale))
    window.Render()
    grabbed = vtk.vtkWindowToImageFilter()
    grabbed.SetInput(window)
    grabbed.ReadFrontBufferOff()
    grabbed.Update()
    image = grabbed.GetOutput()
    width, height, _depth = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()


def _vtk_chart(chart: object, scale: int) -> object:
    import slicer
    import vtk

    styles = slicer.vtkMRMLPlotSeriesNode
    pens = {styles.LineStyleDash: vtk.vtkPen.DASH_LINE, styles.LineStyleDot: vtk.vtkPen.DOT_LINE}
    pens[styles.LineStyleDashDot] = vtk.vtkPen.DASH_DOT_LINE
    marks = {styles.MarkerStyleCircle: 4, styles.MarkerStyleSquare: 3, styles.MarkerStyleDiamond: 5}
    drawn = vtk.vtkChartXY()
    drawn.SetTitle(chart.GetTitle())
    drawn.GetTitleProperties().SetFontSize(12 * scale)
    drawn.SetShowLegend(chart.GetLegendVisibility())
    drawn.GetLegend().SetLabelSize(9 * scale)
    drawn.GetLegend().SetHorizontalAlignment(vtk.vtkChartLegend.RIGHT)
    drawn.GetLegend().SetVerticalAlignment(vtk.vtkChartLegend.BOTTOM)
    axes = (
        (0, chart.GetYAxisTitle(), chart.GetYAxisRange()),
        (1, chart.GetXAxisTitle(), chart.GetXAxisRange()),
    )
    for index, title, limits in axes:
        axis = drawn.GetAxis(index)
        axis.SetTitle(title)
        axis.SetBehavior(vtk.vtkAxis.FIXED)
        axis.SetRange(*limits)
        axis.GetTitleProperties().SetFontSize(10 * scale)
        axis.GetTitleProperties().SetBold(False)
        axis.GetLabelProperties().SetFontSize(9 * scale)
        axis.GetGridPen().SetColorF(0.9, 0.9, 0.9)
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        points_only = series.GetLineStyle() == styles.LineStyleNone
        plot = drawn.AddPlot(vtk.vtkChart.POINTS if points_only else vtk.vtkChart.LINE)
        if points_only:
            plot.SetMarkerStyle(marks[series.GetMarkerStyle()])
            plot.SetMarkerSize(series.GetMarkerSize() * scale)
        else:
            plot.GetPen().SetLineType(pens.get(series.GetLineStyle(), vtk.vtkPen.SOLID_LINE))
            plot.SetWidth(series.GetLineWidth() * scale * 0.8)
        plot.SetInputData(series.GetTableNode().GetTable(), series.GetXColumnName(), series.GetYColumnName())
        plot.SetColorF(*series.GetColor())
        plot.SetLabel(series.GetName())
    return drawn
