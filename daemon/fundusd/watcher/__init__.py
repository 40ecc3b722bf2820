"""Find captures in inboxes: hints are a convenience, the sweep against the ledger is the truth."""
