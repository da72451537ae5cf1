"""Scaling App: what the next labelled case is worth, and how to make it worth more."""

from scaling_app import lean_monai

__version__ = "0.1.0"

lean_monai.install()
