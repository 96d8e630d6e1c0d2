"""What the model may stand its verdict on."""

import json

import pytest

from tasks.model.verdicts import Citation
from tasks.triage.citations import MAX_CITATIONS, QUOTE_LIMIT, ShownLine, check_citations
from tasks.triage.prompt import CUT_MARK

TEXT = 'GET /?q=1" UNION SELECT \u202e\x1b password HTTP/1.1'
LINES = (
    ShownLine("ab12-01", 1, TEXT, TEXT),
    ShownLine("ab12-02", 2, f"HEAD{CUT_MARK}TAIL", "HEAD hidden middle TAIL"),
)


def test_a_quote_of_a_shown_line_is_kept_under_a_lasting_id():
    """The id of the call becomes the line's place in the incident's evidence."""
    checked = check_citations([("ab12-01", "UNION SELECT"), ("ab12-02", "TAIL")], LINES)

    assert checked.valid == (
        Citation(line="1", quote="UNION SELECT"),
        Citation(line="2", quote="TAIL"),
    )
    assert checked.rejected == 0


@pytest.mark.parametrize(
    ("line_id", "quote"),
    [
        ("ab12-03", "UNION SELECT"),
        ("1", "UNION SELECT"),
        ("", "UNION SELECT"),
        ("ab12-01", "union select"),
        ("ab12-01", "DROP TABLE"),
        ("ab12-02", "UNION SELECT"),
        ("ab12-01", ""),
        ("ab12-01", "   "),
        ("ab12-01", "/?"),
        ("ab12-02", "hidden middle"),
        ("ab12-02", f"HEAD{CUT_MARK}TAIL"),
        ("ab12-02", "[...]"),
    ],
)
def test_what_no_shown_line_supports_is_dropped_and_counted(line_id, quote):
    """Unknown ids, made-up quotes, too little text, what was not shown, and our own cut mark."""
    checked = check_citations([(line_id, quote)], LINES)

    assert checked.valid == ()
    assert checked.rejected == 1


def test_a_quote_may_be_copied_with_the_escapes_that_the_model_saw():
    r"""A model that copies `\"` and `\u202e` from the document means the characters."""
    escaped = json.dumps(TEXT)[1:-1]

    checked = check_citations([("ab12-01", escaped)], LINES)

    assert checked.valid == (Citation(line="1", quote=TEXT),)


def test_citations_are_few_short_and_distinct():
    """However much the model cites, the record is bounded."""
    long = ShownLine("ab12-03", 3, "x" * 499, "x" * 499)
    cited = [("ab12-03", "x" * n) for n in range(3, 499)] + [("ab12-03", "xxx")] * 5

    checked = check_citations(cited, [long])

    assert len(checked.valid) == MAX_CITATIONS == len(set(checked.valid))
    assert all(len(citation.quote) <= QUOTE_LIMIT for citation in checked.valid)
    assert checked.rejected == 0
