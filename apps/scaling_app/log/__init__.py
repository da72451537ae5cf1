"""What goes into the log: as lines or as JSON, without the names of patients."""
