"""Synthetic cases on disk."""

from ..volumes import volumes

__all__ = ["volumes"]
