"""Slicer, as far as the type checker needs to know it."""
