"""THE ADAPTER: MONAI Label, the web server and the DICOM server; it wires everything."""
