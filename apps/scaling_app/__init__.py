"""Scaling App: what the next labelled case is worth, and how to make it worth more."""

__version__ = "0.1.0"
