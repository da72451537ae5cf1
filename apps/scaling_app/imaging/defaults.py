"""What is taken where nobody says; read by programs that do not load PyTorch."""

from __future__ import annotations

DEFAULT_NETWORK = "resenc"
"""A name in `NETWORKS`. On the heart in 3D (8 cases) it learns in 150 processor seconds what `resunet` never reaches."""
