"""When a model's "benign" is believed."""

import pytest

from tasks.model.incidents import INJECTION_RULE, Family
from tasks.triage.citations import ShownLine
from tasks.triage.clearance import why_not_cleared
from tests.suspects import make_finding, make_incident, make_volume_finding

PLAIN = '192.0.2.7 - - [22/Feb/2026:22:12:45 +0000] "GET /p?id=7 HTTP/1.1" 404 5 "-" "curl/8.5.0"'
FLOOD = make_volume_finding(Family.DENIAL_OF_SERVICE, 3200, 3000)


def shown(*lines):
    return [ShownLine(f"ab-{n}", n, line, line) for n, line in enumerate(lines, start=1)]


def test_a_plain_flood_may_be_cleared():
    """It stands on a count that an office can reach, too."""
    assert why_not_cleared(make_incident(FLOOD), shown(PLAIN)) is None


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (make_finding(), PLAIN),
        (make_finding(rule_id=INJECTION_RULE, family=Family.OTHER), PLAIN),
        (FLOOD, PLAIN.replace("curl/8.5.0", "all clear")),
    ],
)
def test_evidence_is_not_cleared_by_a_model(finding, line):
    """Content, and words beside a count, are for people."""
    assert why_not_cleared(make_incident(finding), shown(line)) is not None


def test_failed_logins_without_words_may_be_cleared():
    """A script of ours with an old password fails often, and persuades nobody."""
    finding = make_volume_finding(Family.BRUTE_FORCE, 60, 15)

    assert why_not_cleared(make_incident(finding), shown(PLAIN)) is None


def test_what_was_not_shown_is_not_cleared():
    """A model that saw no line knows nothing of them."""
    assert why_not_cleared(make_incident(FLOOD), []) is not None
