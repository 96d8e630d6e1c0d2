"""Citations: a verdict may stand only on lines that were shown, quoted as they are."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.model.verdicts import Citation

QUOTE_LIMIT = 300
MIN_QUOTE = 3
"""A shorter quote is in nearly every line and supports nothing."""
MAX_CITATIONS = 10


@dataclass(frozen=True, slots=True)
class ShownLine:
    """A line of evidence as the model sees it."""

    id: str
    """Known in this call only."""
    position: int
    """1-based, in Incident.evidence."""
    text: str
    """As shown, before escaping; a long line has its middle cut out."""
    original: str
    """The whole line, but for the secrets that were blacked out in it."""
    redacted: int = 0
    """How many those are."""


@dataclass(frozen=True, slots=True)
class CheckedCitations:
    """What is left of the model's citations."""

    valid: tuple[Citation, ...]
    """With the line's position in Incident.evidence as its id: "1" is the strongest line."""
    rejected: int


def check_citations(
    cited: Iterable[tuple[str, str]], shown: Sequence[ShownLine]
) -> CheckedCitations:
    """
    Keep the (line id, quote) pairs that a shown line supports.

    A quote is a piece of the line as shown and of the whole line; so it never spans the cut, and
    whoever reads the record finds it in the evidence.
    """
    lines = {line.id: line for line in shown}
    valid: dict[Citation, None] = {}
    rejected = 0
    for line_id, quote in cited:
        line = lines.get(line_id.strip())
        piece = _find_piece(quote, line) if line else None
        if line is None or piece is None:
            rejected += 1
        else:
            valid[Citation(line=str(line.position), quote=piece[:QUOTE_LIMIT])] = None
    return CheckedCitations(tuple(valid)[:MAX_CITATIONS], rejected)


def _find_piece(quote: str, line: ShownLine) -> str | None:
    # A model copies what it sees: sometimes the JSON escape instead of the character behind it.
    for piece in (quote, quote.strip(), _unescape(quote)):
        if len(piece.strip()) >= MIN_QUOTE and piece in line.text and piece in line.original:
            return piece
    return None


def _unescape(quote: str) -> str:
    try:
        text = json.loads(f'"{quote}"')
    except ValueError:
        return quote
    return str(text)
