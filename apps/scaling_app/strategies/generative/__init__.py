"""GenSeg: a generator of training pairs, trained end to end with the segmenter."""

from __future__ import annotations

from scaling_app.strategies.generative.strategy import GenDAGenSeg, GenSeg, GenSegFields

__all__ = ["GenDAGenSeg", "GenSeg", "GenSegFields"]
