"""PySide6 dressed as PythonQt, and slicer-core dressed as Slicer: enough to run the real widget without Slicer.

What is real: the MRML scene, its nodes and logic classes (slicer-core), Qt's widgets, event loop and network
(PySide6), the `.ui` file. What is not: ctk and qMRML widgets (stand-ins below), PythonQt's own conversions,
views, layouts, module discovery. Those are left to `slicer_extension/CHECKLIST.md` and a real Slicer.
"""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

import stand_in_widgets
from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork)


class UiLoader(QtUiTools.QUiLoader):
    """Loads `.ui` files that name ctk and qMRML classes."""

    def load(self, file: object, parent: object = None) -> object:
        return super().load(file if isinstance(file, str) else file.fileName(), parent)

    def createWidget(self, class_name: str, parent: object = None, name: str = "") -> object:  # noqa: N802
        known = stand_in_widgets.WIDGETS.get(class_name)
        if known is None and class_name.startswith(("ctk", "qMRML", "qSlicer")):
            raise ValueError(f"{class_name} has no stand-in")
        if known is None:
            return super().createWidget(class_name, parent, name)
        widget = known(parent)
        widget.setObjectName(name)
        return widget


def install() -> types.ModuleType:
    """Put `qt`, `ctk` and a Slicer with a scene into `sys.modules`. Safe to call again."""
    if "qt" in sys.modules:
        return sys.modules["slicer"]
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["tests", "-style", "fusion"])
    sys.modules["qt"] = _qt_module()
    ctk = types.ModuleType("ctk")
    ctk.__dict__.update({n: c for n, c in stand_in_widgets.WIDGETS.items() if n.startswith("ctk")})
    sys.modules["ctk"] = ctk
    return _dress_slicer(application)


def _qt_module() -> types.ModuleType:
    module = types.ModuleType("qt")
    for part in _MODULES:
        module.__dict__.update({n: getattr(part, n) for n in dir(part) if n.startswith("Q") or n == "Qt"})
    module.QUiLoader = UiLoader
    for part in _MODULES:
        for name in dir(part):
            candidate = getattr(part, name)
            if isinstance(candidate, type) and issubclass(candidate, QtCore.QObject):
                _properties_as_attributes(candidate)
    return module


def _properties_as_attributes(cls: type) -> None:
    """`label.text` reads the property, as in PythonQt, where PySide6 has a method `label.text()`."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        setattr(cls, name, property(_reader(name), _writer(name)))


def _reader(name: str):
    return lambda self: QtCore.QObject.property(self, name)


def _writer(name: str):
    return lambda self, value: QtCore.QObject.setProperty(self, name, value)


def _dress_slicer(application: QtWidgets.QApplication) -> types.ModuleType:
    import slicer

    scene = slicer.mrmlScene = slicer.vtkMRMLScene()
    app_logic = slicer.vtkSlicerApplicationLogic()
    logics = {
        "colors": slicer.vtkSlicerColorLogic(),
        "segmentations": slicer.vtkSlicerSegmentationsModuleLogic(),
        "volumes": slicer.vtkSlicerVolumesLogic(),
        "plots": slicer.vtkSlicerPlotsLogic(),
    }
    app_logic.SetMRMLScene(scene)
    for name, logic in logics.items():
        logic.SetMRMLApplicationLogic(app_logic)
        app_logic.SetModuleLogic(name.capitalize(), logic)
        logic.SetMRMLScene(scene)
    slicer.modules = SimpleNamespace(**{n: SimpleNamespace(logic=lambda x=x: x) for n, x in logics.items()})
    slicer.app = SimpleNamespace(
        applicationLogic=lambda: app_logic,
        processEvents=application.processEvents,
        translate=lambda context, text: QtCore.QCoreApplication.translate(context, text),
        userSettings=lambda: QtCore.QSettings(),
        slicerUserSettingsFilePath="",
        layoutManager=lambda: None,
        testingEnabled=lambda: True,
    )
    sys.modules["slicer.app"] = slicer.app
    for name, widget in stand_in_widgets.WIDGETS.items():
        if name.startswith("qMRML"):
            setattr(slicer, name, widget)
    slicer.util.loadUI = lambda path: UiLoader().load(path)
    slicer.util.childWidgetVariables = _child_widgets
    return slicer


def _child_widgets(widget: QtWidgets.QWidget) -> SimpleNamespace:
    ui = SimpleNamespace()
    for child in widget.findChildren(QtCore.QObject):
        if child.objectName and not child.objectName.startswith("qt_"):
            setattr(ui, child.objectName, child)
    return ui
