"""Every message about what happens, in plain words, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from slicer.i18n import tr as _

from scaling_app_client.messages import Failure

INFO, GOOD, WARNING, BAD = "info", "good", "warning", "bad"


@dataclass(frozen=True)
class Notice:
    """A message to show: its words, how serious it is, and the technical reason for the tooltip.

    `passing`: it is out of date as soon as the server answers again.
    """

    text: str
    level: str = INFO
    detail: str = ""
    passing: bool = False


def _failures() -> dict[str, str]:
    return {
        "unreachable": _(
            "Nothing answers at this address. Is the server running, and is the address right? "
            "In a hospital network, a firewall may be in between."
        ),
        "timeout": _("The server is there but did not answer in time. It may be busy; please try again."),
        "lost": _("The connection broke before the answer was complete. Please try again."),
        "tls": _(
            "The server's certificate could not be verified, so nothing was sent. Is this computer's clock right? "
            "Ask your administrator for the right address or certificate."
        ),
        "expired": _(
            "The server's certificate has expired, or this computer's clock is wrong; nothing was sent. "
            "Please tell the administrator of the server."
        ),
        "moved": _(
            "The server points to another address, perhaps of a login page. Nothing was sent there; please enter the "
            "address itself, or ask your administrator."
        ),
        "sign_in": _("The server wants to know who you are. Please sign in."),
        "forbidden": _("Your account may not do this. Please ask the administrator of the server."),
        "not_found": _("The server does not know this. It may have been removed meanwhile."),
        "busy": _("The server is busy with the same work already."),
        "rejected": _("The server did not accept this."),
        "too_large": _(
            "This is more than the server, or what stands in front of it, takes. Please tell its administrator."
        ),
        "unable": _("The server cannot do this now. Please try again later."),
        "gateway": _(
            "Something between here and the server answers in its place, a proxy perhaps: the server may be down or "
            "starting, or the network wants a sign-in. Please try again in a minute, or ask your administrator."
        ),
        "server_error": _("The server failed inside. Its log says why; please tell its administrator."),
        "bad_answer": _(
            "The server's answer could not be understood: its version may not fit this extension, or a login page "
            "has answered in its place."
        ),
        "bad_address": _("This is not a server's address. It looks like http://server:8000."),
        "not_monai_label": _(
            "Something answers at this address, but it is not a MONAI Label server. It may be a login page."
        ),
        "not_this_app": _(
            "This is a MONAI Label server, but its app has no forecast. Start it with the Scaling App."
        ),
        "server_too_old": _("The server's app is too old for this extension. Please update the app."),
        "extension_too_old": _("The server's app is newer than this extension. Please update the extension."),
    }


#: Kinds of which the server knows more than we: which label is wrong, how long to wait, what is full.
_BETTER_SAID_THERE = ("rejected", "not_found", "busy", "too_large", "unable")


def explain(failure: Failure) -> Notice:
    """A failed call, in plain words; with the server's own sentence where it gave one."""
    level = WARNING if failure.offline or failure.kind in ("busy", "sign_in", "rejected", "unable") else BAD
    text = _failures()[failure.kind]
    if failure.kind in _BETTER_SAID_THERE and failure.sentence:
        text = _("The server says: {sentence}").format(sentence=failure.sentence)
    return Notice(text, level, failure.technical, failure.offline)


def _connection_words() -> dict[str, tuple[str, str]]:
    return {
        "connecting": (INFO, _("Asking {address}...")),
        "signing_in": (INFO, _("Signing in...")),
        "wrong_password": (WARNING, _("The user name or the password is not right. Please try again.")),
        "server_back": (GOOD, _("The server answers again.")),
    }


def _case_words() -> dict[str, tuple[str, str]]:
    return {
        "asking_next": (INFO, _("Asking for the next case...")),
        "no_case_left": (GOOD, _("Every case on the server has a label.")),
        "no_image": (INFO, _("The server has no images yet.")),
        "loading": (INFO, _("Loading {case}...")),
        "fetching_stopped": (INFO, _("The scene was closed, so the next case was not loaded.")),
        "cannot_load": (BAD, _("Slicer could not load {case}: {detail}")),
        "asking_prediction": (INFO, _("Asking for the prediction...")),
        "no_prediction": (
            WARNING,
            _("There is no prediction yet: the model has to be trained first."),
        ),
        "prediction_unreadable": (BAD, _("The prediction could not be loaded: {detail}")),
        "prediction_too_late": (
            INFO,
            _("The prediction came after you had begun to draw, so it was left out."),
        ),
        "case_gone_scene": (
            WARNING,
            _(
                "The scene was closed before {case} was submitted. Load the scene again if it was saved, or press "
                "“Next case”; the server offers {case} again later."
            ),
        ),
        "case_gone_node": (
            WARNING,
            _(
                "Image or segmentation of {case} was deleted before it was submitted. Press “Next case”; the server "
                "offers {case} again later."
            ),
        ),
        "other_server": (
            WARNING,
            _(
                "{case} was opened from another server, or under another address of this one. It stays on the "
                "screen; “Submit label” asks you whether it belongs here."
            ),
        ),
        "not_kept_for_you": (
            WARNING,
            _(
                "The server no longer keeps {case} for you, and may have handed it to somebody else. Please ask your "
                "colleagues before you draw on."
            ),
        ),
        "one_slice_a_view": (
            INFO,
            _("Views that showed several slices now show one each: nobody can draw in several at once."),
        ),
        "case_left": (INFO, _("{case} is no longer in the scene.")),
    }


def _label_words() -> dict[str, tuple[str, str]]:
    return {
        "nothing_drawn": (WARNING, _("Nothing is drawn on {case} yet.")),
        "cannot_export": (BAD, _("The label of {case} could not be made: {detail}")),
        "sending": (INFO, _("Sending the label of {case}...")),
        "sent_unchecked": (GOOD, _("The label of {case} has arrived.")),
        "sent": (GOOD, _("The label of {case} has arrived. The label checks found nothing.")),
        "sent_with_doubts": (
            WARNING,
            _("The label of {case} has arrived, but please look at it again:\n{lines}"),
        ),
        "sent_without_minutes": (
            WARNING,
            _("The label of {case} has arrived; the minutes it took did not.\n{lines}"),
        ),
        "sent_elsewhere_unknown": (
            WARNING,
            _(
                "The server did not say whether the label of {case} has arrived, so the minutes it took were not sent. "
                "They follow when you submit it once more."
            ),
        ),
        "kept": (WARNING, _("The label of {case} has not arrived. It is kept on this computer.\n{lines}")),
        "cannot_read_kept": (
            BAD,
            _("The kept label of {case} could not be read from this computer, so nothing was sent: {detail}"),
        ),
        "case_deleted": (BAD, _("The server no longer has this case.")),
    }


def _training_words() -> dict[str, tuple[str, str]]:
    return {
        "training_starting": (INFO, _("Starting...")),
        "training_stopping": (INFO, _("Stopping...")),
        "training_running": (INFO, _("A new model is being trained.")),
        "training_done": (GOOD, _("The last training went well: its model makes the predictions.")),
        "training_stopped": (INFO, _("The last training was stopped and made no new model.")),
        "measuring_running": (INFO, _("The learning curve is being measured.")),
        "measuring_done": (INFO, _("The learning curve has been measured.")),
        "measuring_stopped": (
            INFO,
            _("The measuring of the learning curve was stopped; what was measured so far counts."),
        ),
        "training_busy": (WARNING, _("A training is running already; only one can run at a time.")),
        "training_forbidden": (
            BAD,
            _("Your account may not train. Please ask the administrator of the server."),
        ),
        "training_out_of_memory": (
            BAD,
            _("The last training ran out of memory. Use a smaller network, or a larger graphics card."),
        ),
        "training_disk_full": (BAD, _("The last training stopped: the server's disk is full.")),
        "training_too_few": (WARNING, _("The last training stopped: there are not enough labels yet.")),
        "training_failed": (BAD, _("The last training failed: {lines}")),
    }


_GROUPS: tuple[Callable[[], dict[str, tuple[str, str]]], ...] = (
    _connection_words,
    _case_words,
    _label_words,
    _training_words,
)


def say(key: str, **facts: Any) -> Notice:
    """The message of a key.

    Args:
        key: As in the tables above.
        facts: What goes into the braces; `lines` is a sequence, `detail` also becomes the tooltip.
    """
    words = {name: entry for group in _GROUPS for name, entry in group().items()}
    level, text = words[key]
    filled = {name: "\n".join(value) if name == "lines" else value for name, value in facts.items()}
    return Notice(text.format(**filled).strip(), level, str(facts.get("detail", "")))


def label_question(kind: str, name: str, voxels: int) -> str:
    """What to ask before a label is sent; `kind` as in `label_questions.Question`."""
    if kind == "absent":
        return _("{name} is empty").format(name=name)
    if kind == "preview":
        return _("An effect's result is only a preview until you press “Apply” in the Segment Editor")
    if kind == "overlap" and voxels == 1:
        words = _("One voxel lies in two structures. There the later one holds of: {names}")
        return words.format(names=name)
    if kind == "overlap":
        words = _("{count} voxels lie in two structures. There the later one holds of: {names}")
        return words.format(count=voxels, names=name)
    if kind == "structures":
        return _("The server knows no structures yet. This label names them: {names}").format(names=name)
    if voxels == 0:
        return _("{name} (empty) is none of the structures of this task").format(name=name)
    return _("{name} is none of the structures of this task").format(name=name)


def blind_sentence() -> str:
    """Why a blind case has no prediction."""
    return _(
        "Blind case: please draw it from nothing. The prediction is withheld, because only labels "
        "made without seeing it measure fairly how good the model is."
    )
