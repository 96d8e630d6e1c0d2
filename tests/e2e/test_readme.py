"""What the README shows is what the product prints."""

import re

from tests.conftest import ROOT

WHEN = re.compile(r"scan-\d{4}-\d\d-\d\d-\d{6}")
HOW_LONG = re.compile(r"in [\d,.]+ s\b")


def without_timings(text):
    """Lines of *text* that do not depend on when and how fast it was printed."""
    text = HOW_LONG.sub("in N s", WHEN.sub("scan-WHEN", text))
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_end_of_the_demo_is_in_the_readme(run_module):
    """From the table on, the README has it word for word; timings are its own."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"ends with:\n\n```\n(.*?)```\n", readme, re.DOTALL)

    demo = run_module("flows.demo", env={"COLUMNS": "80"})

    assert (demo.returncode, demo.stderr) == (0, "")
    _, end = re.split(r"^─+ The run ─+$", demo.stdout, flags=re.MULTILINE)
    assert without_timings(shown) == without_timings(end)
