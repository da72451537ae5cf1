"""What was measured: one folder a question, each with `run.py`, `README.md` and `results/`."""
