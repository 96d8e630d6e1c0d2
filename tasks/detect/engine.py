"""
Counting by columns: blocks of lines in, what they count for out.

The way of a block, which `blocks` leads:

1. **Bytes to access lines.** Lines of other formats become access lines (`rewriting`).
2. **Lines to columns.** `scanning_kernel` takes the regular ones apart: client, minute, status, and
   the places of the request, the referrer and the user agent. The others are refused.
3. **Columns to texts.** Each distinct text has a number (`numbered_texts`); a line has those.
4. **Texts to proofs.** New texts become views (`reducing_kernel`), in which all signatures are
   searched for at once (`proving`); what hits a text, and what rules ask of it, is its class
   (`classes`). A text of which this is not sure is looked at by `decode` and `signatures`.
5. **Classes to counts.** Lines of the same classes, method and status count for the same, their
   outcome (`settling_kernel`, `outcomes`), which TallyBuilder.judge says once; counts add up by
   client, minute and combination of counters.
6. **Values and samples.** Of values and of lines, those with the lowest hashes are kept
   (`sampling_kernel`, `packed`).
7. **Counts to parts.** When results are large, and in the end, they are written (`columns`).

Why the result is exact, and does not depend on how lines are cut or ordered:

- What is compiled only ever refuses. A line or a text that it refuses goes the exact way line by
  line, which defines the result; tests/property/test_engine.py holds the one against the other.
- Counts are sums, and what is kept are the lowest hashes of a set: both are the same in any order,
  and those of a union follow from those of its parts. So parts add up, whenever they were written.
- Numbers (of clients, texts, classes, outcomes, counters) hold for one process and are forgotten
  when a table is full; what is written says texts.
- Hashes that choose what is kept are of the line or the value alone; hashes of tables have a seed
  that nobody who writes a log can know, and choose nothing.
"""

import sys
from functools import cache
from typing import TYPE_CHECKING, Final

from tasks.collect.formats.rewriting import Rewrite, is_compiled
from tasks.collect.lines import Block
from tasks.collect.reader import BlockCount
from tasks.detect.regular import is_within_reach
from tasks.detect.rules import RuleSet

if TYPE_CHECKING:
    from tasks.detect.blocks import BlockCounter
    from tasks.detect.tally_builder import TallyBuilder

_COLD_BYTES: Final = 15 * 64 * 1024
"""
Less than that is counted sooner than the kernel is loaded. A full block is more: the end of its
last line comes with the next one, so that it has less than 1 MiB.
"""
_COMPILING: Final = 32
"""Times as long as loading it takes to compile it, once on every machine."""


def load_counter() -> "type[BlockCounter]":
    """
    What counts blocks, compiled.

    Raises:
        ImportError, OSError, RuntimeError: There is no compiler, or nowhere to keep code.
    """
    from tasks.collect.kernel import load_quickly
    from tasks.detect.blocks import BlockCounter

    load_quickly()
    return BlockCounter


class Engine:
    """Counts blocks of lines for one TallyBuilder."""

    def __init__(self, rules: RuleSet, builder: "TallyBuilder") -> None:
        self._rules = rules
        self._builder = builder
        clauses = (c for rule in rules.rules for c in rule.selection.clauses)
        self._looks_at_hosts = any(t.field == "url_domain" for c in clauses for t in c.tests)
        self._seen_bytes = 0
        self._columns: BlockCounter | None = None
        self._is_off = not is_within_reach(rules)
        self._slowed_by = "a rule looks at a field that is not in columns" if self._is_off else ""

    def count_block(
        self,
        extent: int,
        block: Block,
        rewrite: Rewrite,
        lines_before: int,
        since: int,
        until: int,
    ) -> BlockCount:
        """Count the regular lines of *block*; the others are refused."""
        self._seen_bytes += len(block)
        columns = self._columns or self._open_columns()
        if columns is None:
            return BlockCount.nothing(block, lines_before)
        rewritten = None if self._looks_at_hosts else rewrite(block)
        return columns.count_block(extent, block, rewritten, lines_before, since, until)

    @property
    def slowed_by(self) -> str:
        """Why many lines were counted one by one; empty where they were not."""
        return self._slowed_by if self._seen_bytes >= _COLD_BYTES else ""

    def _open_columns(self) -> "BlockCounter | None":
        is_warm = "tasks.detect.blocks" in sys.modules
        if self._is_off or (not is_warm and self._seen_bytes < _cold_bytes()):
            return None
        try:
            self._columns = load_counter()(self._rules, self._builder)
        except (ImportError, OSError, RuntimeError) as error:
            self._is_off = True
            self._slowed_by = f"the compiled part cannot be loaded ({type(error).__name__})"
        return self._columns

    def drop(self, extent: int) -> None:
        """No line of this extent is counted."""
        if self._columns is not None:
            self._columns.drop(extent)

    def spill(self) -> None:
        """Everything counted so far is written, and its memory is given back."""
        if self._columns is not None:
            self._columns.spill()
            self._columns = None


@cache
def _cold_bytes() -> int:
    """From how many bytes on the kernel is worth loading."""
    is_kept = is_compiled(__file__, "scanning_kernel.scan_lines")
    return _COLD_BYTES if is_kept else _COLD_BYTES * _COMPILING
