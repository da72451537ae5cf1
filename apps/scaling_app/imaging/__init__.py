"""THE GROUND: image files, untrusted ones too, DICOM, geometry, networks and scores."""
