"""What people and viewers see: REST, report and page, read-only views of ledger and forecast."""
