"""THE COMMAND LINE: serve, demo, doctor, replay, forecast, report, preview."""
