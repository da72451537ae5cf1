"""Data Sufficiency: what the next labelled case is worth, beside the Segment Editor."""

import logging

import slicer
from DataSufficiencyLib.activity import ActiveClock
from DataSufficiencyLib.case_nodes import CaseNodes
from DataSufficiencyLib.panel import Panel
from DataSufficiencyLib.session import Session
from DataSufficiencyLib.settings import Settings
from DataSufficiencyLib.states import CaseAtHand
from DataSufficiencyLib.stock_module import StockModule
from DataSufficiencyLib.timers import QtTimers
from DataSufficiencyLib.transport import QtTransport
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from scaling_app_client.drafts import DraftStore

#: How often the active minutes are written into the scene.
KEEP_MINUTES_S = 10.0


class DataSufficiency(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Data Sufficiency")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Active Learning")]
        self.parent.dependencies = ["Volumes", "Segmentations", "SegmentEditor", "Plots", "Tables"]
        self.parent.contributors = ["Scaling App contributors"]
        self.parent.helpText = _(
            "Shows while you annotate what each additional case is expected to bring, which training strategy "
            "pays, which case is next and when to stop. Needs a MONAI Label server with the Scaling App."
        )
        self.parent.acknowledgementText = _(
            "Talks to a server of MONAI Label (Project MONAI). Licensed under the Apache License 2.0."
        )


@parameterNodeWrapper
class DataSufficiencyParameterNode:
    """What a saved scene remembers. The server's address is not part of it: scenes are passed on."""

    image: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode
    caseId: str = ""  # noqa: N815
    blind: str = ""
    """`True`, `False`, or empty where nobody knows."""
    again: bool = False
    """It had a label before (`CaseAtHand.again`)."""
    minutes: float = 0.0
    """Active minutes so far."""
    server: str = ""
    """Tells whether the case comes from the server that one is connected to (`Client.key`)."""


class DataSufficiencyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Loads the `.ui`, makes a session, and passes Slicer's calls on to the panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.session = None
        self.panel = None
        self._stock = None
        self._keeper = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/DataSufficiency.ui"))
        self.layout.addWidget(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(widget)
        settings = Settings()
        self.logic = DataSufficiencyLogic()
        self.session = self.logic.newSession(settings)
        self.panel = Panel(self.ui, self.session, settings)
        self._stock = StockModule(self.session)
        self.session.changed.connect(self._remember)
        scene = slicer.mrmlScene
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._onSceneChanged)
        self._keeper = QtTimers().every(KEEP_MINUTES_S, self._keepMinutes)
        self._resume()

    def cleanup(self):
        self.removeObservers()
        if self._stock is not None:
            self._keeper.stop()
            self._stock.detach()
            self.session.changed.disconnect(self._remember)
            self.panel.close()
            self.session.close()

    def enter(self):
        self._stock.attach()
        self.panel.enter()

    def exit(self):
        self.panel.exit()

    def _onSceneChanged(self, caller=None, event=None):
        """The scene was closed, or another one came in."""
        self.panel.worth.scene_changed()
        self._resume()
        self.panel.hold_views()

    def _keepMinutes(self):
        """Slicer does not tell before it saves a scene, so that the minutes are always kept in it."""
        self.logic.rememberMinutes(self.session)

    def _remember(self):
        """Keep the parameter node in step with the case at hand."""
        self.logic.remember(self.session)

    def _resume(self):
        """Take up the case of a scene that was loaded."""
        self.logic.resume(self.session)


class DataSufficiencyLogic(ScriptedLoadableModuleLogic):
    """Sessions, and their place in the scene; usable from scripts, without the panel."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self):
        return DataSufficiencyParameterNode(super().getParameterNode())

    def newSession(self, settings=None):
        """A session that is not connected yet."""
        settings = settings or Settings()
        drafts = DraftStore(settings.drafts_folder())
        return Session(QtTransport(), CaseNodes(), QtTimers(), drafts, settings.client_id, ActiveClock())

    def remember(self, session):
        """Write the case at hand into the parameter node, so that it is saved with the scene."""
        node = self.getParameterNode()
        case = session.state.case
        at_hand = (case.image_id, case.server) if case else ("", "")
        if (node.caseId, node.server) != at_hand or node.segmentation is not session.nodes.segmentation:
            node.caseId = case.image_id if case else ""
            node.blind = "" if case is None or case.blind is None else str(case.blind)
            node.again = bool(case and case.again)
            node.minutes = 0.0
            node.server = case.server if case else ""
            node.image = session.nodes.image
            node.segmentation = session.nodes.segmentation

    def rememberMinutes(self, session):
        """Write the active minutes of the case at hand into the parameter node."""
        if session.state.case is not None:
            node, minutes = self.getParameterNode(), round(session.clock.minutes, 2)
            if node.minutes != minutes:  # else a scene that nobody touches would count as changed
                node.minutes = minutes

    def resume(self, session):
        """Take up the case that the scene's parameter node names, if its nodes are there."""
        node = self.getParameterNode()
        if session.state.case is not None or not node.caseId:
            return
        if node.image is None or node.segmentation is None:
            logging.warning("The scene names the case %s but has not all of it", node.caseId)
            return
        blind = {"True": True, "False": False}.get(node.blind)
        case = CaseAtHand(node.caseId, blind, node.server, node.again)
        session.cases.adopt(case, node.image, node.segmentation, node.minutes)


class DataSufficiencyTest(ScriptedLoadableModuleTest):
    """What can be tested without a server; see Testing/Python for the rest."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        self.setUp()
        self.test_label_values_follow_names()

    def test_label_values_follow_names(self):
        """A deleted segment must not move the values of the others."""
        import tempfile

        import numpy as np
        from DataSufficiencyLib.label_questions import Answers

        image = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "phantom")
        slicer.util.updateVolumeFromArray(image, np.zeros((6, 12, 16), np.int16))
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "phantom label")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(image)
        nodes = CaseNodes()
        nodes.adopt(image, segmentation, {"liver": 1, "spleen": 2, "tumour": 3})
        for index, name in enumerate(("liver", "spleen", "tumour")):
            voxels = np.zeros((6, 12, 16), np.uint8)
            voxels[2:4, 2:6, 1 + 5 * index : 4 + 5 * index] = 1
            slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, name, image)
        segmentation.GetSegmentation().RemoveSegment("spleen")
        answers = Answers(absent=frozenset({"spleen"}))
        with tempfile.TemporaryDirectory() as folder:
            info = nodes.export(nodes.review(answers), folder + "/label.nii.gz", answers)
        nodes.stop()
        self.assertEqual(info, [{"name": "liver", "idx": 1}, {"name": "tumour", "idx": 3}])
        self.delayDisplay("Label values follow class names")
