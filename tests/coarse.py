"""Registrations of a few steps, for tests that ask what is registered and when, not how well."""

from __future__ import annotations

from functools import partial

import pytest

from scaling_app.strategies.deformation import atlas, atlas_store
from scaling_app.strategies.deformation.registration import RegistrationSettings


@pytest.fixture
def coarse_registrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six steps at half the resolution and two at the full one, instead of fifty."""
    coarse = partial(RegistrationSettings, iterations=(6, 2))
    for module in (atlas_store, atlas):
        monkeypatch.setattr(module, "RegistrationSettings", coarse)
