"""From the ledger to the forecast, and nothing else: what was observed, in the forecast's terms."""
