"""The flows that people and schedules start; each reads like the drawing in the README."""

import os
import sys

# Read by Prefect when it is imported: without it, a first run in a terminal prints a notice
# and reports to the vendor. Everything else about Prefect is set in prefect.toml.
os.environ.setdefault("DO_NOT_TRACK", "1")

# `python -m flows.scan`: argv[0] is "-m" only while Python looks the module up. Such a run prints
# its own summary; its log is in Prefect.
if sys.argv[:1] == ["-m"]:
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
