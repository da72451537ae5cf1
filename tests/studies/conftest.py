"""A session without a server, whose registrations are coarse."""

import pytest

from ..coarse import coarse_registrations
from ..desk import desk_of

__all__ = ["coarse_registrations", "desk_of"]


@pytest.fixture(autouse=True)
def few_steps(coarse_registrations: None) -> None:
    """No test of this room asks how well shapes are registered."""
