"""Certified diffeomorphic deformations: RED, RegDA and GenDA."""

from __future__ import annotations

from scaling_app.strategies.deformation.strategies import GenDA, GenDAPool, Red, RegDA, RegDAPool

__all__ = ["GenDA", "GenDAPool", "Red", "RegDA", "RegDAPool"]
