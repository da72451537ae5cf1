"""Published methods that the forecast is measured against."""
