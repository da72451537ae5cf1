"""ONE TRAINING RUN, MEASURED: plan the data, choose cases, train, test (torch, monai)."""
