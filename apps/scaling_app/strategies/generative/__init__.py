"""GenSeg: a mask-to-image generator trained end to end with the segmenter."""
