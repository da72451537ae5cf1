"""The module's panel: its parts, kept in step with the session."""

from __future__ import annotations

from typing import Any

from .case_section import CaseSection
from .editor_section import EditorSection
from .effects_sections import CoverageSection, StrategiesSection, TrainingSection
from .glance_section import GlanceSection
from .server_section import ServerSection
from .session import Session
from .settings import Settings
from .timers import QtTimers
from .wording import say
from .worth_section import WorthSection


class Panel:
    """Everything in the `.ui`, wired to a session.

    Args:
        ui: The widgets by their names, as `slicer.util.childWidgetVariables` gives them.
        session: What is going on.
        settings: What is remembered.
    """

    def __init__(self, ui: Any, session: Session, settings: Settings) -> None:
        self.ui, self._session = ui, session
        self.editor = EditorSection(ui, session.nodes)
        self.case = CaseSection(ui, session)
        self.worth = WorthSection(ui, session)
        self.glance = GlanceSection(ui, session.state)
        self._parts = (
            self.glance,
            ServerSection(ui, session, settings),
            self.case,
            self.editor,
            self.worth,
            StrategiesSection(ui, session.state),
            TrainingSection(ui, session),
            CoverageSection(ui, session.state),
        )
        self._timers = QtTimers()
        self._ticker: Any = None
        session.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        for part in self._parts:
            part.refresh()

    def enter(self) -> None:
        """The panel comes on the screen."""
        if self.editor.enter():
            self._session.state.notice = say("one_slice_a_view")
            self.refresh()
        self.worth.plot.hold()
        self._session.watch()
        self._ticker = self._timers.every(1.0, self._tick)

    def hold_views(self) -> None:
        """Editor and plot show the case and its curve again, whatever other modules have put there."""
        self.editor.hold()
        self.worth.plot.hold()

    def exit(self) -> None:
        """The panel leaves the screen: ask the server for nothing more, hold no view."""
        self.editor.exit()
        self._session.unwatch()
        if self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def close(self) -> None:
        self.exit()
        self.editor.close()
        self._session.changed.disconnect(self.refresh)

    def _tick(self) -> None:
        self.case.show_time()
        self.worth.show_age()
        self.glance.show_time()
