"""The database: ledger, tallies, incidents, deliveries and runs."""
