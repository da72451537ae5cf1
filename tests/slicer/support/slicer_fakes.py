"""The pure-Python parts of Slicer that slicer-core does not ship: module base classes, i18n, parameter nodes.

Written for these tests; they store in the real `vtkMRMLScriptedModuleNode` and translate through Qt.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
import unittest
from pathlib import Path


def install(slicer: types.ModuleType, qt: types.ModuleType) -> None:
    if "slicer.ScriptedLoadableModule" in sys.modules:
        return
    parts = (_i18n(slicer), _scripted_module(slicer, qt), _parameter_node(slicer))
    for module in parts:
        sys.modules[module.__name__] = module
        setattr(slicer, module.__name__.rpartition(".")[2], module)


def _i18n(slicer: types.ModuleType) -> types.ModuleType:
    """`tr` takes its context from the calling file: its name, after its package's name if it is in one."""
    module = types.ModuleType("slicer.i18n")

    def tr(text: str) -> str:
        path = Path(inspect.currentframe().f_back.f_code.co_filename)
        package = f"{path.parent.name}." if (path.parent / "__init__.py").exists() else ""
        return slicer.app.translate(package + path.stem, text)

    module.tr = tr
    module.translate = lambda context, text: slicer.app.translate(context, text)
    return module


def _scripted_module(slicer: types.ModuleType, qt: types.ModuleType) -> types.ModuleType:
    module = types.ModuleType("slicer.ScriptedLoadableModule")

    class ScriptedLoadableModule:
        def __init__(self, parent: object) -> None:
            self.parent = parent
            self.moduleName = type(self).__name__

    class ScriptedLoadableModuleWidget:
        def __init__(self, parent: object = None) -> None:
            self.moduleName = type(self).__name__.removesuffix("Widget")
            self.parent = parent or slicer.qMRMLWidget()
            self.layout = qt.QVBoxLayout(self.parent)
            self.layout.setContentsMargins(6, 6, 6, 6)
            self.developerMode = False

        def setup(self) -> None:
            """Slicer adds its developer's buttons here."""

        def resourcePath(self, name: str) -> str:  # noqa: N802
            return str(Path(sys.modules[type(self).__module__].__file__).parent / "Resources" / name)

    class ScriptedLoadableModuleLogic:
        def __init__(self, parent: object = None) -> None:
            self.moduleName = type(self).__name__.removesuffix("Logic")

        def getParameterNode(self) -> object:  # noqa: N802
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is None:
                node = slicer.vtkMRMLScriptedModuleNode()
                node.SetSingletonTag(self.moduleName)
                node.SetModuleName(self.moduleName)
                node = slicer.mrmlScene.AddNode(node)
            return node

    class ScriptedLoadableModuleTest(unittest.TestCase):
        def __init__(self, *args: object) -> None:
            super().__init__(*(args or ("runTest",)))

        def delayDisplay(self, *_args: object) -> None:  # noqa: N802
            """No window to show it in."""

    classes = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    for cls in classes:
        setattr(module, cls.__name__, cls)
    return module


def _parameter_node(slicer: types.ModuleType) -> types.ModuleType:
    module = types.ModuleType("slicer.parameterNodeWrapper")

    def parameter_node_wrapper(cls: type) -> type:
        hints = typing.get_type_hints(cls)
        defaults = {name: cls.__dict__[name] for name in hints if name in cls.__dict__}
        for name, kind in hints.items():
            setattr(cls, name, _member(slicer, name, kind))

        def __init__(self: object, node: object) -> None:  # noqa: N807
            object.__setattr__(self, "parameterNode", node)
            for name, value in defaults.items():
                if not node.GetParameter(name):
                    setattr(self, name, value)

        def __setattr__(self: object, name: str, value: object) -> None:  # noqa: N807
            if name not in hints:
                raise AttributeError(f"{cls.__name__} has no parameter {name}")
            object.__setattr__(self, name, value)

        cls.__init__, cls.__setattr__ = __init__, __setattr__
        return cls

    module.parameterNodeWrapper = parameter_node_wrapper
    return module


def _member(slicer: types.ModuleType, name: str, kind: type) -> property:
    if issubclass(kind, slicer.vtkMRMLNode):

        def set_node(self: object, node: object) -> None:
            self.parameterNode.SetNodeReferenceID(name, node.GetID() if node else None)

        return property(lambda self: self.parameterNode.GetNodeReference(name), set_node)

    def read(self: object) -> object:
        text = self.parameterNode.GetParameter(name)
        return text == "True" if kind is bool else kind(text) if text else kind()

    return property(read, lambda self, value: self.parameterNode.SetParameter(name, str(value)))
