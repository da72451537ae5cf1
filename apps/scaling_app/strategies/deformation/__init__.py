"""Certified diffeomorphic deformations: RED, RegDA and GenDA."""

from __future__ import annotations

from scaling_app.strategies.deformation.strategies import Red

__all__ = ["Red"]
