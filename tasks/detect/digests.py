"""Counters of earlier databases: a digest of what the rule selected stood for its version."""

import re
from dataclasses import replace
from typing import Final

from tasks.detect.addressed import Addressed, recode, texts_of
from tasks.detect.rules import RuleSet

_COUNTER: Final = re.compile(r"(?<!\S)(\S+):[0-9a-f]{8}(?!\S)")


def read_digests(table: Addressed, rules: RuleSet) -> Addressed:
    """
    The same with what was counted under a digest as counts of the rule as it is now.

    Otherwise a rule would find nothing there any more, and what it found would be taken back.
    """
    if not table.height:
        return table
    rows = table.rows
    current = {rule.id: rule.counter for rule in rules.rules}
    for name in rows.columns:
        if name.startswith("counter") and any(map(_COUNTER.search, texts_of(rows[name]).values())):
            rows = rows.with_columns(recode(rows[name], lambda text: _rename(text, current)))
    return table if rows is table.rows else replace(table, rows=rows)


def _rename(combination: str, current: dict[str, str]) -> str:
    return _COUNTER.sub(lambda found: current.get(found[1], found[0]), combination)
