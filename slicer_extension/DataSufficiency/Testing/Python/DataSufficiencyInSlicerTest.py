"""What only a real Slicer can show: the module loads, its widgets are there, a round works in the window.

    Slicer --no-splash --testing --additional-module-paths slicer_extension/DataSufficiency \\
        --python-code "import slicer.testing; slicer.testing.runUnitTest(['<this folder>'], 'DataSufficiencyInSlicerTest')"

With DATA_SUFFICIENCY_SERVER set to the address of a running server (for example one that
`scaling-app serve` started on sample data), the round with that server is tested, too; it submits one label.
"""

import base64
import gc
import os
import tempfile
import time
import unittest

import numpy as np
import qt
import slicer
import vtk


def forecast(n=12):
    """An answer of a server with so many labels: one measured point, a forecast with its range, a target."""
    rows = [
        {"extra": extra, "n": n + extra, "mean": 0.8 + extra / 500, "lo80": 0.75, "hi80": 0.9}
        for extra in (1, 5, 10)
    ]
    return {
        "status": "ready",
        "n_labelled": n,
        "overall": {"now": {"mean": 0.8, "lo80": 0.76, "hi80": 0.84}, "forecast": rows},
        "target": {"dice": 0.85},
        "observed": [{"n": n, "dice": 0.79, "lo80": 0.74, "hi80": 0.84, "kind": "fold", "structure": ""}],
    }


class DataSufficiencyInSlicerTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("DataSufficiency")
        self.widget = slicer.modules.datasufficiency.widgetRepresentation().self()
        self.session = self.widget.session

    def wait(self, condition, seconds=60):
        limit = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), limit, "it did not happen in time")
            slicer.app.processEvents()

    def test_the_module_is_listed_and_its_widgets_are_real(self):
        self.assertEqual(slicer.modules.datasufficiency.title, "Data Sufficiency")
        self.assertEqual(self.widget.ui.segmentEditor.className(), "qMRMLSegmentEditorWidget")
        self.assertEqual(self.widget.panel.worth.plot.view.className(), "qMRMLPlotView")

    def test_nothing_answers_is_told_in_plain_words(self):
        self.widget.ui.serverAddress.setCurrentText("http://127.0.0.1:9")
        self.widget.ui.connectButton.click()
        self.wait(
            lambda: (
                self.session.state.phase == "disconnected" and self.session.state.connection.level != "info"
            )
        )
        self.assertIn("Nothing answers", self.widget.ui.serverStatus.text)

    def test_bytes_pass_through_this_qt_unchanged(self):
        from DataSufficiencyLib.transport import content_of

        everything = bytes(range(256))
        self.assertEqual(content_of(qt.QByteArray.fromBase64(base64.b64encode(everything))), everything)

    def test_calls_that_have_ended_are_let_go(self):
        from DataSufficiencyLib.timers import QtTimers
        from DataSufficiencyLib.transport import Call, QtTransport

        from scaling_app_client.messages import Request

        transport, ended = QtTransport(), []
        for number in range(20):
            transport.send(Request("PUT", "http://127.0.0.1:9", {}, b"a label"), ended.append, ended.append)
            self.wait(lambda number=number: len(ended) > number)
        transport.close()
        QtTimers().after(0.5, lambda: ended.append(None))  # Qt deletes meanwhile
        self.wait(lambda: len(ended) > 20)
        gc.collect()
        self.assertEqual([thing for thing in gc.get_objects() if type(thing) is Call], [])

    def show_a_forecast(self):
        """The panel with a forecast, drawn."""
        from scaling_app_client.payload import Payload

        self.session.state.forecast.latest = Payload.from_json(forecast())
        self.widget.panel.refresh()
        self.widget.ui.worthBox.setCollapsed(False)
        for _ in range(20):
            slicer.app.processEvents()
        return self.widget.panel.worth.plot.view

    def test_no_legend_covers_the_plot(self):
        view = self.show_a_forecast()
        chart = view.mrmlPlotViewNode().GetPlotChartNode()
        entry = 2 * chart.GetLegendFontSize()
        legend = chart.GetNumberOfPlotSeriesNodes() * entry if chart.GetLegendVisibility() else 0
        self.assertGreater(chart.GetNumberOfPlotSeriesNodes(), 3)
        self.assertLess(legend, view.height / 4)
        self.assertLess(chart.GetTitleFontSize(), 2 * self.widget.ui.plotKey.fontMetrics().height())

    def test_the_axes_keep_their_limits_after_showing(self):
        view = self.show_a_forecast()
        chart = view.mrmlPlotViewNode().GetPlotChartNode()
        limits = [*chart.GetXAxisRange(), *chart.GetYAxisRange()]
        np.testing.assert_allclose(limits, [0, 1.05 * 22, 70, 95])
        self.assertFalse(chart.GetXAxisRangeAuto() or chart.GetYAxisRangeAuto())
        slicer.util.selectModule("Data")
        slicer.util.selectModule("DataSufficiency")
        slicer.app.processEvents()
        np.testing.assert_allclose([*chart.GetXAxisRange(), *chart.GetYAxisRange()], limits)

    def test_the_layouts_make_no_second_plot(self):
        before = slicer.app.layoutManager().plotViewCount
        self.show_a_forecast()
        self.assertEqual(slicer.app.layoutManager().plotViewCount, before)

    def test_the_top_line_stays_in_sight(self):
        self.show_a_forecast()
        bar = self.widget.ui.scrollArea.verticalScrollBar()
        bar.setValue(bar.maximum)
        slicer.app.processEvents()
        self.assertFalse(self.widget.ui.adviceLabel.visibleRegion().isEmpty())

    def test_what_is_hidden_while_folded_stays_hidden(self):
        self.show_a_forecast()
        box, row = self.widget.ui.worthBox, self.widget.ui.doubtRow
        row.setVisible(True)
        box.setCollapsed(True)
        row.setVisible(False)
        box.setCollapsed(False)
        self.assertFalse(row.visible)

    def test_vtk_logs_no_error_while_a_label_is_made(self):
        from DataSufficiencyLib.case_nodes import CaseNodes
        from DataSufficiencyLib.label_questions import Answers

        said, before = vtk.vtkStringOutputWindow(), vtk.vtkOutputWindow.GetInstance()
        image = slicer.util.addVolumeFromArray(np.zeros((6, 12, 16), np.int16))
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "phantom label")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
        nodes, answers = CaseNodes(), Answers()
        vtk.vtkOutputWindow.SetInstance(said)
        try:
            nodes.adopt(image, segmentation, {"liver": 1})
            voxels = np.zeros((6, 12, 16), np.uint8)
            voxels[2:4, 2:6, 2:6] = 1
            slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, "liver", image)
            with tempfile.TemporaryDirectory() as folder:
                nodes.export(nodes.review(answers), folder + "/label.nii.gz", answers)
        finally:
            vtk.vtkOutputWindow.SetInstance(before)
            nodes.stop()
        self.assertNotIn("error", said.GetOutput().lower())

    def test_only_voxels_count_as_a_drawing(self):
        from DataSufficiencyLib.case_nodes import CaseNodes

        image = slicer.util.addVolumeFromArray(np.zeros((6, 12, 16), np.int16))
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "phantom label")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
        nodes, told = CaseNodes(), []
        nodes.adopt(image, segmentation, {"liver": 1})
        nodes.edited.connect(lambda: told.append("edited"))
        nodes.renamed.connect(lambda: told.append("renamed"))
        segment = segmentation.GetSegmentation().GetSegment("liver")
        segment.SetColor(0.1, 0.2, 0.3)
        self.assertEqual(told, [])
        segment.SetName("left liver")
        self.assertEqual(told, ["renamed"])
        voxels = np.zeros((6, 12, 16), np.uint8)
        voxels[2:4, 2:6, 2:6] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, "liver", image)
        self.assertIn("edited", told)
        nodes.stop()

    def test_leaving_and_entering_keeps_the_case(self):
        slicer.util.selectModule("Data")
        slicer.util.selectModule("DataSufficiency")
        self.assertIs(self.session, self.widget.session)

    @unittest.skipUnless(os.environ.get("DATA_SUFFICIENCY_SERVER"), "DATA_SUFFICIENCY_SERVER names no server")
    def test_a_round_with_a_server(self):
        ui, session = self.widget.ui, self.session
        ui.serverAddress.setCurrentText(os.environ["DATA_SUFFICIENCY_SERVER"])
        ui.connectButton.click()
        self.wait(lambda: session.state.phase == "ready")
        ui.nextButton.click()
        self.wait(lambda: session.state.phase == "open", 300)
        self.assertIs(ui.segmentEditor.segmentationNode(), session.nodes.segmentation)
        shape = slicer.util.arrayFromVolume(session.nodes.image).shape
        width = shape[2] // (2 * max(1, len(session.state.info.labels)))
        for index, name in enumerate(session.state.info.labels):
            voxels = np.zeros(shape, np.uint8)
            voxels[:, : shape[1] // 2, index * width : (index + 1) * width] = 1
            nodes = session.nodes
            slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, nodes.segmentation, name, nodes.image)
        gaps, watch, timer = [], qt.QElapsedTimer(), qt.QTimer()
        timer.setInterval(10)
        timer.timeout.connect(lambda: gaps.append(watch.restart()))
        watch.start()
        timer.start()
        ui.submitButton.click()
        self.wait(lambda: session.state.phase == "sent", 300)
        timer.stop()
        self.assertLess(max(gaps), 1000, "the window stood still")


if __name__ == "__main__":
    unittest.main()
