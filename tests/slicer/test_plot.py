"""The plot: real MRML nodes, drawn by VTK's own chart as Slicer's plot view does, with the nodes' own values."""

from __future__ import annotations

from collections.abc import Callable

import chart_picture
import numpy as np
import panel_bench
import pytest
import slicer
import vtk
from DataSufficiencyLib.curve_nodes import CurveNodes
from DataSufficiencyLib.plot_section import curve_titles
from stub_server import StubServer, sufficiency

from scaling_app_client.payload import MeasuredPoint, Payload

needs_pictures = pytest.mark.skipif(not chart_picture.can_render(), reason=chart_picture.WHY_NOT)


@pytest.fixture
def connected(module: object, server: StubServer, wait: Callable) -> object:
    server.n = 12
    module.ui.serverAddress.setCurrentText(server.url)
    module.ui.connectButton.click()
    wait(lambda: module.session.state.phase == "ready")
    return module


def shown(n: int = 12) -> object:
    """The chart of so many cases."""
    answer = Payload.from_json(sufficiency(n))
    return CurveNodes(curve_titles()).show(answer.curve(""), answer.points(""), answer.target, "all")


def series_of(chart: object) -> dict[str, object]:
    """The chart's series by their names."""
    series = map(chart.GetNthPlotSeriesNode, range(chart.GetNumberOfPlotSeriesNodes()))
    return {one.GetName(): one for one in series}


def column(series: object, name: str) -> list:
    """What a series's table holds under that name."""
    values = series.GetTableNode().GetTable().GetColumnByName(name)
    return [values.GetValue(i) for i in range(values.GetNumberOfTuples())]


def test_new_answers_reuse_the_nodes_of_the_plot(scene: object) -> None:
    curves = CurveNodes(curve_titles())
    counts = set()
    for n in (6, 12, 14):
        answer = Payload.from_json(sufficiency(n))
        curves.show(answer.curve(""), answer.points(""), answer.target, "all")
        counts.add(scene.GetNumberOfNodes())
    assert len(counts) == 1


def test_deleted_nodes_of_the_plot_are_made_anew(scene: object) -> None:
    curves, answer = CurveNodes(curve_titles()), Payload.from_json(sufficiency(12))
    curves.show(answer.curve(""), answer.points(""), answer.target, "all")
    before = scene.GetNumberOfNodes()
    for kind in ("vtkMRMLTableNode", "vtkMRMLPlotSeriesNode"):
        scene.RemoveNode(scene.GetFirstNodeByClass(kind))
    chart = curves.show(answer.curve(""), answer.points(""), answer.target, "all")
    assert scene.GetNumberOfNodes() == before
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        assert chart.GetNthPlotSeriesNode(index).GetTableNode() is not None


def test_the_bounds_are_dashed_and_hold_the_servers_numbers(scene: object) -> None:
    answer = Payload.from_json(sufficiency(12))
    chart = CurveNodes(curve_titles()).show(answer.curve(""), answer.points(""), answer.target, "all")
    series = series_of(chart)
    bounds = series["forecast: 80 % range"]
    assert bounds.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleDash
    line = [dice for _n, dice in answer.overall.line]
    wanted = [*(100 * dice.lo80 for dice in line), np.nan, *(100 * dice.hi80 for dice in line)]
    assert column(bounds, "dice") == pytest.approx(wanted, nan_ok=True)
    assert column(series["forecast"], "hi95") == pytest.approx([100 * dice.hi95 for dice in line])


def test_measured_points_show_their_ranges_and_how_many_cases_were_tested(scene: object) -> None:
    answer = Payload.from_json(sufficiency(12))
    series = series_of(CurveNodes(curve_titles()).show(None, answer.points(""), None, "all"))
    points = sorted(answer.points(""), key=lambda p: (p.n, p.dice))
    about = column(series["measured"], series["measured"].GetLabelColumnName())
    assert column(series["measured"], "dice") == pytest.approx([100 * p.dice for p in points])
    assert about[0] == "test cases: 1; each tested before it was trained on"
    folds = [p for p in points if p.kind == "fold"]
    assert about[1] == (
        f"test cases: 4; 80 % range: {100 * folds[0].lo80:.0f} to {100 * folds[0].hi80:.0f} points; "
        "cases held back from training"
    )
    ends = [end for p in folds for end in (100 * p.lo80, 100 * p.hi80, np.nan)]
    assert column(series["measured: 80 % range"], "dice") == pytest.approx(ends, nan_ok=True)


@needs_pictures
def test_the_ranges_of_two_points_are_two_lines(scene: object) -> None:
    points = [MeasuredPoint(n, 0.7, "fold", "", 0.6, 0.8, n) for n in (4, 12)]
    chart = CurveNodes(curve_titles()).show(None, points, None, "all")
    picture = chart_picture.draw(chart, (500, 320)).astype(int)
    orange = np.abs(picture - (214, 94, 0)).sum(axis=2) < 90
    columns = np.flatnonzero(orange.sum(axis=0))
    assert np.count_nonzero(np.diff(columns) > 50) == 1
    assert orange.sum(axis=0).max() > 60
    assert np.ptp(columns[columns < columns.mean()]) < 20


@needs_pictures
@pytest.mark.parametrize("ends", [(None, None), (0.6, 0.8)])
def test_one_point_is_drawn_without_an_error(scene: object, ends: tuple) -> None:
    """As the first forecast has it, with one size ahead."""
    data = sufficiency(6)
    data["overall"] = {"forecast": data["overall"]["forecast"][:1]}
    curve = Payload.from_json(data).curve("")
    chart = CurveNodes(curve_titles()).show(curve, [MeasuredPoint(4, 0.7, "fold", "", *ends, 4)], None, "all")
    said, before = vtk.vtkStringOutputWindow(), vtk.vtkOutputWindow.GetInstance()
    vtk.vtkOutputWindow.SetInstance(said)
    try:
        chart_picture.draw(chart, (300, 200))
    finally:
        vtk.vtkOutputWindow.SetInstance(before)
    assert "ERROR" not in said.GetOutput()


def test_without_a_line_of_the_servers_the_horizons_are_joined(scene: object) -> None:
    data = sufficiency(12)
    del data["overall"]["curve"]
    answer = Payload.from_json(data)
    chart = CurveNodes(curve_titles()).show(answer.curve(""), (), None, "all")
    assert column(series_of(chart)["forecast"], "cases") == [12, 13, 17, 22, 24]


# As Slicer shows it -------------------------------------------------------------------------------


@needs_pictures
def test_nothing_lies_on_the_forecast(scene: object) -> None:
    """Slicer's legend, at its own size and place, covers all that is right of the last label."""

    def blue(chart: object) -> int:
        picture = chart_picture.draw(chart, (480, 260)).astype(int)
        return int((np.abs(picture - (0, 89, 166)).sum(axis=2) < 60).sum())

    chart = shown()
    as_it_is = blue(chart)
    chart.SetLegendVisibility(False)
    assert as_it_is == blue(chart) > 300


def test_the_words_on_the_plot_are_as_high_as_those_beside_it(connected: object) -> None:
    chart = connected.panel.worth.plot.view.mrmlPlotViewNode().GetPlotChartNode()
    beside = connected.ui.plotKey.fontMetrics().height()
    sizes = [chart.GetTitleFontSize(), chart.GetAxisTitleFontSize(), chart.GetAxisLabelFontSize()]
    assert max(sizes) <= beside
    assert min(sizes) >= beside / 2


def test_the_key_names_every_line_once(connected: object) -> None:
    chart = connected.panel.worth.plot.view.mrmlPlotViewNode().GetPlotChartNode()
    key = panel_bench.read(connected.ui.plotKey.text).replace("\u00a0", " ")
    named = ["measured", "forecast", "forecast: 80 % range", "target"]
    assert [word for word in named if word not in key] == []
    assert set(series_of(chart)) - set(named) == {"measured: 80 % range"}


def test_limits_stay_when_the_plot_is_shown(connected: object) -> None:
    """Slicer's fitToContent rescales fixed axes and tells the node; the panel must not call it."""
    chart = connected.panel.worth.plot.view.mrmlPlotViewNode().GetPlotChartNode()
    assert chart.GetXAxisRange() == pytest.approx((0, 1.05 * 24))
    assert chart.GetYAxisRange() == pytest.approx((45, 90))
    connected.panel.worth.plot.view.fitToContent()
    assert chart.GetYAxisRange() != pytest.approx((45, 90)), "this stand-in does as Slicer does"


def test_table_and_plot_have_one_scale(connected: object) -> None:
    chart = connected.panel.worth.plot.view.mrmlPlotViewNode().GetPlotChartNode()
    forecast = series_of(chart)["forecast"]
    at_17 = column(forecast, "mean")[column(forecast, "cases").index(17)]
    assert connected.ui.worthTable.item(1, 1).text().split()[0] == f"{at_17:.1f}"
    assert chart.GetYAxisTitle() == "Dice, in points"


def test_the_layouts_leave_the_panels_view_alone(scene: object) -> None:
    """They make a hidden plot for every view node that comes into the scene without a parent."""
    alone: list[bool] = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(_caller: object, _event: str, node: object) -> None:
        if node.IsA("vtkMRMLPlotViewNode"):
            alone.append(node.GetParentLayoutNode() is None)

    tag = scene.AddObserver(scene.NodeAddedEvent, added)
    shown()
    CurveNodes(curve_titles()).view()
    scene.RemoveObserver(tag)
    assert alone == [False]


def test_one_answer_draws_the_chart_once(scene: object) -> None:
    chart, told = shown(), []
    chart.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: told.append(1))
    shown(14)
    assert len(told) <= 1
