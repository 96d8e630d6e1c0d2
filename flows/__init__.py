"""The flows that people and schedules start; each reads like the drawing in the README."""

import os

# Read by Prefect when it is imported: without it, a first run in a terminal prints a notice
# and reports to the vendor. Everything else about Prefect is set in prefect.toml.
os.environ.setdefault("DO_NOT_TRACK", "1")
