"""MONAI Label's entry: it looks here for the one subclass of `MONAILabelApp`."""

from scaling_app.monai_app.app import ScalingApp

__all__ = ["ScalingApp"]
