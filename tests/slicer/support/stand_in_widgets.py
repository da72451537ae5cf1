"""Stand-ins for the ctk and qMRML widgets of the panel: same names, same calls, plain Qt inside."""

from __future__ import annotations

import chart_picture
from PySide6 import QtCore, QtGui, QtWidgets


class CtkCollapsibleButton(QtWidgets.QWidget):
    """A bar with a triangle and a title, and content that folds away; what is shown while folded comes with unfolding."""

    contentsCollapsed = QtCore.Signal(bool)  # noqa: N815
    _WANTED = "wantedVisible"

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed, self._folding = "", False, False
        self._bar = self.fontMetrics().height() + 8
        self.setContentsMargins(0, self._bar, 0, 0)

    def _get_text(self) -> str:
        return self._text

    def _set_text(self, text: str) -> None:
        self._text = text
        self.update()

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._fold_all()
        self.setMaximumHeight(self._bar if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    def _fold_all(self) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            self._fold(child)

    def _fold(self, child: QtWidgets.QWidget) -> None:
        """Hide a child or show it, as far as it is wanted, so that Qt goes on telling what is wanted of it."""
        wanted = QtCore.QObject.property(child, self._WANTED) is not False
        self._folding = True
        QtWidgets.QWidget.setVisible(child, wanted and not self._collapsed)
        if wanted:
            child.setAttribute(QtCore.Qt.WA_WState_ExplicitShowHide, False)
        self._folding = False

    def setVisible(self, visible: bool) -> None:  # noqa: N802
        self._folding = True
        QtWidgets.QWidget.setVisible(self, visible)
        self._folding = False
        if visible and self._collapsed:
            self._fold_all()  # those that came into a folded part

    def childEvent(self, event: QtCore.QChildEvent) -> None:  # noqa: N802
        if event.added() and event.child().isWidgetType():
            event.child().installEventFilter(self)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:  # noqa: N802
        kinds = {QtCore.QEvent.ShowToParent: True, QtCore.QEvent.HideToParent: False}
        if not self._folding and event.type() in kinds:
            QtCore.QObject.setProperty(child, self._WANTED, kinds[event.type()])
            if kinds[event.type()] and self._collapsed:
                self._fold(child)
        return False

    text = QtCore.Property(str, _get_text, _set_text)
    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)

    def setText(self, text: str) -> None:  # noqa: N802
        self._set_text(text)

    def setCollapsed(self, collapsed: bool) -> None:  # noqa: N802
        self._set_collapsed(collapsed)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        bar = QtCore.QRectF(0.5, 0.5, self.rect.width() - 1, self._bar - 4)
        colours = self.palette
        painter.setPen(colours.color(QtGui.QPalette.Mid))
        painter.setBrush(colours.color(QtGui.QPalette.Button))
        painter.drawRoundedRect(bar, 2, 2)
        middle = bar.center().y()
        down = [(7, -2.5), (15, -2.5), (11, 3)]
        right = [(9, -4), (9, 4), (14.5, 0)]
        triangle = [QtCore.QPointF(x, middle + y) for x, y in (right if self._collapsed else down)]
        painter.setBrush(colours.color(QtGui.QPalette.ButtonText))
        painter.setPen(QtCore.Qt.NoPen)
        painter.drawPolygon(QtGui.QPolygonF(triangle))
        painter.setPen(colours.color(QtGui.QPalette.ButtonText))
        painter.drawText(bar.adjusted(24, 0, 0, 0), QtCore.Qt.AlignVCenter, self._text)


class QMRMLWidget(QtWidgets.QWidget):
    """The top of a module's `.ui`."""

    mrmlSceneChanged = QtCore.Signal(object)  # noqa: N815

    def setMRMLScene(self, scene: object) -> None:  # noqa: N802
        self.mrmlSceneChanged.emit(scene)


class QMRMLPlotView(QtWidgets.QWidget):
    """Draws the chart of its plot view node with VTK's chart, when it is painted."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_node = None
        self._drawn: tuple[object, QtGui.QImage] | None = None

    def setMRMLScene(self, scene: object) -> None:  # noqa: N802
        self._scene = scene

    def setMRMLPlotViewNode(self, node: object) -> None:  # noqa: N802
        self._view_node = node
        self.update()

    def mrmlPlotViewNode(self) -> object:  # noqa: N802
        return self._view_node

    def fitToContent(self) -> None:  # noqa: N802
        chart_picture.fit(self._view_node.GetPlotChartNode())
        self.update()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:  # noqa: N802
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect, QtCore.Qt.white)
        chart = self._view_node.GetPlotChartNode() if self._view_node else None
        if chart is None or chart.GetNumberOfPlotSeriesNodes() == 0 or not chart_picture.can_render():
            return
        painter.setRenderHint(QtGui.QPainter.SmoothPixmapTransform)
        painter.drawImage(self.rect, self._picture(chart))

    def _picture(self, chart: object) -> QtGui.QImage:
        """The chart at twice the size, drawn anew only when it changed."""
        width, height = 2 * self.rect.width(), 2 * self.rect.height()
        series = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
        state = (width, height, chart.GetMTime(), *(s.GetTableNode().GetTable().GetMTime() for s in series))
        if self._drawn is None or self._drawn[0] != state:
            picture = chart_picture.draw(chart, (width, height), 2)
            image = QtGui.QImage(picture.tobytes(), width, height, 3 * width, QtGui.QImage.Format_RGB888)
            self._drawn = (state, image.copy())
        return self._drawn[1]


class QMRMLSegmentEditorWidget(QtWidgets.QWidget):
    """A picture of a Segment Editor: names the segments of its node, and remembers what it was told."""

    _TOOLS = ("Paint", "Draw", "Erase", "Threshold", "Grow", "Margin", "Smooth", "Scissors")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.editor_node = self.segmentation = self.source = None
        self.shortcuts = self.observing = False
        self.lightboxes, self.effect_lists, self.undo_states = False, 1, 0
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._table = QtWidgets.QTableWidget(0, 2)
        self._table.horizontalHeader().hide()
        self._table.verticalHeader().hide()
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setColumnWidth(0, 28)
        self._table.setFixedHeight(92)
        self._table.setShowGrid(False)
        layout.addWidget(self._table)
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(4)
        for index, name in enumerate(self._TOOLS):
            button = QtWidgets.QPushButton(name)
            button.setEnabled(False)
            grid.addWidget(button, index // 4, index % 4)
        layout.addLayout(grid)

    def setMRMLScene(self, scene: object) -> None:  # noqa: N802
        self._scene = scene

    def setMRMLSegmentEditorNode(self, node: object) -> None:  # noqa: N802
        self.editor_node = node

    def setSegmentationNode(self, node: object) -> None:  # noqa: N802
        self.segmentation = node
        self.updateWidgetFromMRML()

    def segmentationNode(self) -> object:  # noqa: N802
        return self.segmentation

    def setSourceVolumeNode(self, node: object) -> None:  # noqa: N802
        self.source = node

    def updateWidgetFromMRML(self) -> None:  # noqa: N802
        inner = self.segmentation.GetSegmentation() if self.segmentation else None
        count = inner.GetNumberOfSegments() if inner else 0
        self._table.setRowCount(count)
        for row in range(count):
            segment = inner.GetNthSegment(row)
            swatch = QtWidgets.QTableWidgetItem()
            swatch.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            self._table.setItem(row, 0, swatch)
            self._table.setItem(row, 1, QtWidgets.QTableWidgetItem(segment.GetName()))
            self._table.setRowHeight(row, 22)

    def installKeyboardShortcuts(self) -> None:  # noqa: N802
        self.shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:  # noqa: N802
        self.shortcuts = False

    def setupViewObservations(self) -> None:  # noqa: N802
        self.observing = True

    def removeViewObservations(self) -> None:  # noqa: N802
        self.observing = False

    def turnOffLightboxes(self) -> bool:  # noqa: N802
        had, self.lightboxes = self.lightboxes, False
        return had

    def setMaximumNumberOfUndoStates(self, count: int) -> None:  # noqa: N802
        self.undo_states = count

    def updateEffectList(self) -> None:  # noqa: N802
        self.effect_lists += 1

    def setActiveEffect(self, _effect: object) -> None:  # noqa: N802
        """Nothing to switch."""

    def setSwitchToSegmentationsButtonVisible(self, _visible: bool) -> None:  # noqa: N802
        """Nothing to hide."""

    def setSegmentationNodeSelectorVisible(self, _visible: bool) -> None:  # noqa: N802
        """Nothing to hide."""

    def setSourceVolumeNodeSelectorVisible(self, _visible: bool) -> None:  # noqa: N802
        """Nothing to hide."""


class SegmentEditorEffectFactory(QtCore.QObject):
    """The one list of segmentation tools, which extensions add to."""

    effectRegistered = QtCore.Signal(str)  # noqa: N815
    _only: SegmentEditorEffectFactory | None = None

    def instance(self) -> SegmentEditorEffectFactory:
        cls = type(self)
        cls._only = cls._only or self
        return cls._only


WIDGETS = {
    "ctkCollapsibleButton": CtkCollapsibleButton,
    "qMRMLWidget": QMRMLWidget,
    "qMRMLPlotView": QMRMLPlotView,
    "qMRMLSegmentEditorWidget": QMRMLSegmentEditorWidget,
}
