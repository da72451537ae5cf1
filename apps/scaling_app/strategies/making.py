"""From a name of the catalogue to a strategy of its own for one training."""

from __future__ import annotations

from scaling_app.strategies.base import Strategy
from scaling_app.strategies.catalogue import maker_of


def make_strategy(name: str) -> Strategy:
    """A new strategy of that name.

    Raises:
        ValueError: no such strategy; the message lists those there are.
        TypeError: what the catalogue names, or was registered, is no strategy.
    """
    made = maker_of(name)()
    if not isinstance(made, Strategy):
        raise TypeError(f"what makes {name!r} gives a {type(made).__name__}, which is no Strategy")
    return made
