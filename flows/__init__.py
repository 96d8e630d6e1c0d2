"""The flows: scan and backfill, as Prefect and the command line start them."""
