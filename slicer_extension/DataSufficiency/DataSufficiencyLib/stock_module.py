"""Beside the MONAI Label module: its Next Sample and Submit are followed, when it is there and was opened.

The module offers no events, so its buttons are listened to; our listener runs after its own. Nothing of it
is changed, and without it nothing here happens.
"""

from __future__ import annotations

import logging
from typing import Any

import slicer

from scaling_app_client.calls import normal_address
from scaling_app_client.messages import Failure

from .session import Session
from .states import CaseAtHand

logger = logging.getLogger(__name__)


class StockModule:
    """Follows the MONAI Label module's buttons for a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._widget: Any = None

    def attach(self) -> None:
        """Listen, once, if the module's panel exists by now."""
        widget = getattr(slicer.modules, "MONAILabelWidget", None)
        if widget is None or widget is self._widget:
            return
        self.detach()
        try:
            widget.ui.nextSampleButton.clicked.connect(self._after_next)
            widget.ui.saveLabelButton.clicked.connect(self._after_submit)
        except AttributeError:
            logger.warning("The MONAI Label module has other buttons than expected; it is not followed")
            return
        self._widget = widget

    def detach(self) -> None:
        """Listen no more: the module goes, or that panel was replaced."""
        if self._widget is not None:
            try:
                self._widget.ui.nextSampleButton.clicked.disconnect(self._after_next)
                self._widget.ui.saveLabelButton.clicked.disconnect(self._after_submit)
            except (AttributeError, RuntimeError, TypeError, ValueError):
                logger.info("The MONAI Label module's panel is gone already")
            self._widget = None

    def _after_next(self, _checked: bool = False) -> None:
        """Its Next Sample has loaded a case: that is the case at hand here, too."""
        sample = getattr(self._widget, "current_sample", None) or {}
        image = getattr(self._widget, "_volumeNode", None)
        segmentation = getattr(self._widget, "_segmentNode", None)
        session, state = self._session, self._session.state
        if not sample.get("id") or image is None or segmentation is None or not self._same_server():
            return
        if state.case is not None and session.nodes.segmentation is segmentation:
            return  # cancelled: the case at hand is still the one
        blind = sample.get("blind")
        blind = blind if isinstance(blind, bool) else None
        session.cases.adopt(CaseAtHand(str(sample["id"]), blind, state.client.key), image, segmentation)
        session.elsewhere.watch()

    def _after_submit(self, _checked: bool = False) -> None:
        """Its Submit has tried to send the label: if it arrived, the minutes follow, and a new forecast."""
        if self._same_server():
            self._session.elsewhere.submitted()

    def _same_server(self) -> bool:
        state = self._session.state
        if state.client is None or not state.connected:
            return False
        try:
            return normal_address(str(self._widget.serverUrl())) == state.client.address
        except (Failure, AttributeError):
            return False
