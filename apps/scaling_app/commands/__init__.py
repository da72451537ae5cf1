"""THE COMMAND LINE: init, serve, demo, doctor, backup, restore, replay, forecast, report, preview."""
