"""The Segment Editor in the panel: on the case at hand, and kept as Slicer's own Segment Editor module keeps it."""

from __future__ import annotations

from typing import Any

import slicer

from .ports import Editor

#: As many steps back as in Slicer's own module.
_UNDO_STATES = 10


class EditorSection:
    """Slicer's `qMRMLSegmentEditorWidget`, sharing its node with Slicer's own module.

    Args:
        ui: Its `segmentEditor`.
        nodes: The case in the scene.
    """

    def __init__(self, ui: Any, nodes: Editor) -> None:
        self._editor, self._nodes = ui.segmentEditor, nodes
        self._shown: Any = None
        self._editor.setMRMLScene(slicer.mrmlScene)
        self._editor.setMaximumNumberOfUndoStates(_UNDO_STATES)
        # The case's own nodes; choosing others would confuse.
        self._editor.setSegmentationNodeSelectorVisible(False)
        self._editor.setSourceVolumeNodeSelectorVisible(False)
        self._effects: Any = _effect_factory()
        self._effects.effectRegistered.connect(self._effect_registered)

    def refresh(self) -> None:
        """Follow the case: show it, or nothing."""
        nodes = self._nodes
        self._editor.setVisible(nodes.alive)
        if nodes.segmentation is self._shown:
            return
        self._shown = nodes.segmentation
        if nodes.alive:
            self.hold()
        else:
            self._editor.setSegmentationNode(None)

    def hold(self) -> None:
        """Put the editor on the case: the node that it shares with Slicer's own may have been moved."""
        if self._nodes.alive:
            self._editor.setMRMLSegmentEditorNode(shared_node())
            self._editor.setSegmentationNode(self._nodes.segmentation)
            self._editor.setSourceVolumeNode(self._nodes.image)

    def enter(self) -> bool:
        """The panel comes on the screen. Returns whether views with several slices had to be reset to one."""
        reset = bool(self._editor.turnOffLightboxes())  # nobody can draw in them
        self._editor.installKeyboardShortcuts()
        self._editor.setupViewObservations()
        self.hold()
        self._editor.updateWidgetFromMRML()
        return reset

    def exit(self) -> None:
        """The panel leaves the screen: no tool stays in hand."""
        self._editor.setActiveEffect(None)
        self._editor.uninstallKeyboardShortcuts()
        self._editor.removeViewObservations()

    def close(self) -> None:
        """Hear of no more tools; closing twice does no harm."""
        if self._effects is not None:
            self._effects.effectRegistered.disconnect(self._effect_registered)
            self._effects = None

    def _effect_registered(self, _name: str = "") -> None:
        """An extension that is loaded later brings a tool of its own."""
        self._editor.updateEffectList()


def _effect_factory() -> Any:
    """Slicer's list of segmentation tools; its `instance` cannot be called on the class."""
    from qSlicerSegmentationsEditorEffectsPythonQt import qSlicerSegmentEditorEffectFactory

    return qSlicerSegmentEditorEffectFactory().instance()


def shared_node() -> Any:
    """The node that Slicer's Segment Editor module uses, made as it makes it."""
    scene, tag = slicer.mrmlScene, "SegmentEditor"
    node = scene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(tag)
        node = scene.AddNode(node)
    return node
