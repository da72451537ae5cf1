"""PySide6 dressed as PythonQt, and slicer-core dressed as Slicer: enough to run the real widget without Slicer.

What is real: the MRML scene, its nodes and logic classes (slicer-core), Qt's widgets, event loop and network
(PySide6), the `.ui` file.

Where Slicer is otherwise, and the test that knows it. What is in brackets is how it is here.
Tests of DataSufficiencyInSlicerTest run in Slicer alone:

    ===================================================  ========================================================
    PythonQt                                             known to
    ===================================================  ========================================================
    holds a slot until its sender dies (PySide6 holds    test_calls_that_have_ended_are_let_go,
    methods weakly; `_hold_slots` makes it PythonQt)     test_a_module_that_was_closed_is_let_go
    deletes in its event loop what `deleteLater` names   test_many_calls_leave_few_replies_behind
    (`processEvents` in a test does not)
    reads a property as an attribute                     test_a_property_reads_as_an_attribute
    (`_properties_as_attributes` does so)
    reads size hints as attributes, too (methods)        test_nothing_asks_for_a_size_hint
    gives enumerations as numbers (as names)             test_an_error_is_known_as_a_number_and_as_a_name
    may call the bytes of a QByteArray text              test_bytes_survive_a_binding_that_calls_them_text,
                                                         test_bytes_pass_through_this_qt_unchanged
    takes a header's name as bytes (as text)             test_a_header_is_read_however_its_name_is_taken
    ===================================================  ========================================================
    Slicer                                               known to
    ===================================================  ========================================================
    knows its version (slicer-core has none)             test_only_an_old_slicer_is_told_that_names_are_given
    logs VTK's errors where users see them (stderr)      test_vtk_logs_no_error_while_a_label_is_made,
                                                         test_one_point_is_drawn_without_an_error
    has ctk's and qMRML's own widgets (stand-ins)        test_the_module_is_listed_and_its_widgets_are_real
    folds a part so that Qt tells what is hidden in it   test_what_ended_while_folded_is_gone_when_unfolded,
    meanwhile (the stand-in does so, too)                test_what_is_hidden_while_folded_stays_hidden
    rescales fixed axes in `fitToContent`, and tells     test_limits_stay_when_the_plot_is_shown,
    the node (the stand-in does, too)                    test_the_axes_keep_their_limits_after_showing
    draws a legend over the plot (VTK's chart with the   test_nothing_lies_on_the_forecast,
    node's own sizes, drawn into a picture)              test_no_legend_covers_the_plot
    makes a plot for a view node without a parent        test_the_layouts_leave_the_panels_view_alone,
    (no layouts)                                         test_the_layouts_make_no_second_plot
    has a Segment Editor (the stand-in remembers what    test_the_editor_is_kept_as_slicers_own_module_keeps_it,
    it was told)                                         test_only_voxels_count_as_a_drawing
    has no scroll bar below a module                     test_the_panel_fits_into_slicers_own
    (a window of any width)
    translates by compiled files that it looks for       test_the_panel_speaks_german
    has parameter nodes and module bases of its own      test_leaving_and_entering_keeps_the_case
    (`slicer_fakes`), and finds modules itself
    ===================================================  ========================================================

How views look and what the Segment Editor's effects do has no counterpart here: `slicer_extension/CHECKLIST.md`.
"""

from __future__ import annotations

import inspect
import sys
import types
import weakref
from collections.abc import Callable
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
    _hold_slots()
    sys.modules["qt"] = _qt_module()
    ctk = types.ModuleType("ctk")
    ctk.__dict__.update({n: c for n, c in stand_in_widgets.WIDGETS.items() if n.startswith("ctk")})
    sys.modules["ctk"] = ctk
    effects = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    effects.qSlicerSegmentEditorEffectFactory = stand_in_widgets.SegmentEditorEffectFactory
    sys.modules[effects.__name__] = effects
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


def _hold_slots() -> None:
    """Methods are connected as PythonQt connects them: held, with what they belong to, until the sender dies.

    PySide6 holds plain functions in this way, where the garbage collector does not see it. So a method is
    connected through a function of its own, always the same one, so that it can be disconnected.
    """
    signal = QtCore.SignalInstance
    connect, disconnect = signal.connect, signal.disconnect
    holders: weakref.WeakValueDictionary = weakref.WeakValueDictionary()

    def held(slot: Callable) -> Callable:
        if not inspect.ismethod(slot):
            return slot
        key = (id(slot.__self__), slot.__func__)
        if key not in holders:

            def holder(*arguments: object) -> object:
                return slot(*arguments[: _arguments_taken(slot)])

            holders[key] = holder
            return holder
        return holders[key]

    signal.connect = lambda self, slot, *kind: connect(self, held(slot), *kind)
    signal.disconnect = lambda self, slot: disconnect(self, held(slot))


def _arguments_taken(slot: Callable) -> int | None:
    """How many arguments of a signal a slot takes; None for all of them."""
    parameters = inspect.signature(slot).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _properties_as_attributes(cls: type) -> None:
    """`label.text` reads the property, as in PythonQt, where PySide6 has a method `label.text()`."""
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name in ("sizeHint", "minimumSizeHint"):
            continue  # Qt asks these of stand-ins, and would find the attribute instead
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
