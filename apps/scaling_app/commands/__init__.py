"""THE COMMAND LINE: serve, demo, doctor, backup, restore, replay, forecast, report, preview."""
