"""What the server says in sentences that never change, in the panel's language; the rest stays as the server wrote it."""

from __future__ import annotations

import re

from slicer.i18n import tr
from slicer.i18n import tr as _

#: What it says of a measurement whose process is not there yet.
STARTING = "The measurement is being started."

#: What it says of a case at first; the panel has its own words for it, beside the case's name.
SAID_BY_THE_PANEL = (
    "Blind case: please draw this label without looking at a prediction first.",
    "A prediction may be shown for this case.",
)


def in_the_panels_language(sentence: str) -> str:
    """The sentence as a translation has it, else as it came."""
    return tr(sentence) if sentence else ""


def rule_name(name: str) -> str:
    """What a rule for the next case does, in a few words; of one that is not known, its name."""
    known = {
        "random": _("random"),
        "first": _("by name"),
        "coverage": _("most unlike first"),
    }
    return known.get(name, name)


def of_the_case(message: str) -> str:
    """What the server says of a case that it hands out, sentence by sentence, less what the panel says itself."""
    sentences = re.split(r"(?<=\.) ", message)
    return " ".join(in_the_panels_language(said) for said in sentences if said not in SAID_BY_THE_PANEL)


def _known() -> tuple[str, ...]:
    """The sentences, where the translation files look for them; a test holds them against the server's."""
    return (
        # What a strategy does.
        _("Shows the network your cases as they are."),
        _("Shows your cases turned, scaled, brighter, darker and blurred."),
        _("Bends your cases at random."),
        _("Bends your cases towards each other's shapes."),
        _(
            "Bends your cases towards each other's shapes, and carries their labels over to unlabelled images."
        ),
        _("Bends your cases into new shapes of the same kind."),
        _(
            "Bends your cases into new shapes; with few cases it begins on unlabelled images under carried labels."
        ),
        _("Paints new images for given labels, as far as that is shown to help."),
        _("Changes shapes and brightness of your cases as the network's own errors ask."),
        _("Bends your cases into new shapes, and paints new images as far as that is shown to help."),
        _("Takes the strategy that won on your own cases, and before there is one, Baseline."),
        # What it does.
        _("The measurement is being started."),
        # What it says of a case.
        _("Second reading: somebody else has drawn this case."),
        _("Please draw it from nothing; it shows how far two readers agree."),
        _("The shapes of these images have not been compared yet: served at random."),
        _("Of the images looked at, the labelled cases explain this one worst."),
        _("Picked at random, as one in four is, so that the curve stays honest."),
        # How the next case is picked.
        _("Random order; about one case in five is to be labelled without a prediction"),
        _("The first unlabelled case by name"),
        _("The case that the labelled ones explain worst; one in four at random"),
    )
