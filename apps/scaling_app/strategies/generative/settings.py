"""The choices of a GenSeg training, from the run's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

_PREFIX = "genseg_"


@dataclass(frozen=True)
class GenSegSettings:
    """How GenSeg trains. Each field is an option `genseg_<field>`.

    Attributes:
        interval: training steps between two outer steps.
        couple: whether the validation loss drives the generator (stage III); without it generator and
            segmenter are trained apart and every pair counts fully.
        proof: whether generated pairs must first be shown to do more for patients left out than they would
            unpainted; without it they count from the first outer step on, as far as their alignment is consistent.
        architecture, feedback, masks: what the validation loss changes: the architecture weights, the
            generator's weights, the strengths of the mask augmentation.
        network: whether a network paints the images; without it generated pairs are warped real ones under
            intensity fields, a generator of deformations and intensities.
        fields: whether all that the segmenter trains on passes through random intensity fields of learned
            strengths: for images of other scanners, at some cost on those of the same.
        context: whether the generator sees the low-pass image (else the mask alone).
        compose: whether only the label's neighbourhood is generated and the rest stays a warped real image.
        adversarial: whether there is a discriminator.
        pool: whether the generator also learns from images without labels.
        flips: whether masks are mirrored along all axes, not only along those whose sides do not matter.
        width: the generator's channels after the first halving.
        step_size: xi, of the look-ahead step. Not the run's own learning rate: a plain gradient step as long
            as one of Adam's overshoots, and then every pair, real ones too, seems to do harm.
        radius: how far the segmenter's weights are moved for the finite difference.
    """

    interval: int = 8
    couple: bool = True
    proof: bool = True
    architecture: bool = True
    feedback: bool = True
    masks: bool = True
    network: bool = True
    fields: bool = False
    context: bool = True
    compose: bool = True
    adversarial: bool = True
    pool: bool = False
    flips: bool = False
    width: int = 16
    step_size: float = 1e-3
    radius: float = 1e-3

    def changed(self, options: Mapping[str, str]) -> GenSegSettings:
        """These settings, changed by the options that begin with `genseg_`; others belong to other strategies.

        Raises:
            ValueError: an unknown or unreadable option; the message names it.
        """
        known = {field.name: type(field.default) for field in fields(self)}
        values: dict[str, Any] = {}
        for key, text in options.items():
            if not key.startswith(_PREFIX):
                continue
            name = key.removeprefix(_PREFIX)
            if name not in known:
                there = ", ".join(_PREFIX + k for k in known)
                raise ValueError(f"unknown option {key!r}; there are: {there}")
            values[name] = _read(key, str(text), known[name])
        settings = replace(self, **values)
        if settings.interval < 1 or settings.width < 1 or min(settings.radius, settings.step_size) <= 0:
            raise ValueError(
                "genseg_interval, genseg_width, genseg_step_size and genseg_radius must be above zero"
            )
        return settings


def _read(key: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"option {key} must be true or false, got {text!r}")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"option {key} must be a number, got {text!r}") from None
