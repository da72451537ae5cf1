"""Studies on a DICOM server: what is asked of it, what is kept here, and the way of a viewer to it."""
