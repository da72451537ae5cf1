"""The top of the panel, always in sight: what to do, what the next cases bring, what has changed."""

from __future__ import annotations

import time
from typing import Any

from slicer.i18n import tr as _

from .glance_words import advice_sentence, advice_text, next_text, note_text, now_text, readers_text
from .notice_label import as_markup, make_headline, show_text
from .states import SessionState


class GlanceSection:
    """Shows the advice and the worth of the next cases, above all that can be scrolled and folded."""

    def __init__(self, ui: Any, state: SessionState) -> None:
        self._ui, self._state = ui, state
        make_headline(ui.adviceLabel)
        in_brackets = _(
            "In brackets: the range that holds with 80 % probability. The time is judged by your pace."
        )
        ui.nextLabel.setToolTip(in_brackets)
        ui.nowLabel.setToolTip(
            _("The Dice expected of a model trained on all labels so far. In brackets: its 80 % range.")
        )

    def refresh(self) -> None:
        ui, state = self._ui, self._state
        answer = state.sufficiency
        show_text(ui.adviceLabel, advice_text(answer))
        ui.adviceLabel.setToolTip(as_markup(advice_sentence(answer)))
        show_text(ui.nextLabel, next_text(answer))
        now = (now_text(state.forecast), readers_text(answer))
        show_text(ui.nowLabel, "\n".join(line for line in now if line))
        self.show_time()

    def show_time(self) -> None:
        """What is under way, as it stands now."""
        since = self._state.forecast.offline_since
        offline = None if since is None else (time.monotonic() - since) / 60
        show_text(self._ui.glanceNote, note_text(self._state, offline))
