"""Why a button is grey, in words; empty while it is not, or while the status beside it says so already."""

from __future__ import annotations

from slicer.i18n import tr as _

from .states import SessionState


def why_no_submit(state: SessionState, from_elsewhere: bool, busy: bool) -> str:
    """Why the label of the case at hand cannot be sent now.

    Args:
        from_elsewhere: The case is another server's; submitting asks about that.
        busy: A label is on its way.
    """
    if not state.connected and state.case is not None:
        return _("First connect to a server.")
    if not state.connected:
        return _("First connect to a server and load a case.")
    if state.case is None and state.phase == "ready":
        return _("First load a case: press “Next case”.")
    if state.phase == "sent" and not state.edited:
        return _("This label has arrived. Change it to send it again.")
    if state.questions:
        return _("First answer the questions, or go back to the segmentation.")
    if busy and (state.can_submit or from_elsewhere):
        return _("Another label is on its way.")
    return ""


def why_no_prediction(state: SessionState) -> str:
    """Why the prediction cannot be filled in, for a case that may have one."""
    if state.drawn:
        return _("You have drawn on this case already; it would be overwritten.")
    if state.phase == "open" and state.info is not None and not state.info.models:
        return _("There is no prediction yet: the model has to be trained first.")
    return ""


def why_no_reopen(state: SessionState) -> str:
    """Why a label in doubt cannot be looked at now."""
    return _("To look at it again, first submit the case at hand.") if state.edited else ""


def why_no_training(state: SessionState) -> str:
    """Why no training can be started."""
    if not state.connected:
        return _("First connect to a server.")
    if state.info is not None and not state.info.trainers:
        return _("This server offers nothing to train.")
    return ""
