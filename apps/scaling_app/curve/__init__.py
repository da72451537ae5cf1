"""The learning curve between the ledger and the forecast: which runs it is still owed, and what was observed as scores."""
