"""OBSERVATIONS -> FORECAST: families, prior, posterior, calibration, stop rule (numpy, scipy)."""
