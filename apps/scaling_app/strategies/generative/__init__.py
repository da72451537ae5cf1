"""GenSeg: a mask-to-image generator trained end to end with the segmenter."""

from __future__ import annotations

from scaling_app.strategies.generative.strategy import GenDAGenSeg, GenSeg

__all__ = ["GenDAGenSeg", "GenSeg"]
