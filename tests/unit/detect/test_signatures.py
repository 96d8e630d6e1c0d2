"""Signatures: each hits its own examples and none of its look-alikes."""

import random
import time

import pytest

from tasks.detect.rules import load_rules
from tasks.detect.signatures import PatternError, Signature, SignatureSet, Strength, compile_pattern
from tasks.model.events import Event, EventCategory
from tasks.model.incidents import Family

SIGNATURES = load_rules().signatures
EXAMPLES = [(s.id, example) for s in SIGNATURES for example in s.matches]
LOOK_ALIKES = [(s.id, example) for s in SIGNATURES for example in s.ignores]


def web_event(fields):
    fields = dict(fields)
    if target := fields.get("url_original"):
        path, mark, query = target.partition("?")
        fields |= {"url_path": path, "url_query": query if mark else None}
    return Event(timestamp=0, source_ip="192.0.2.1", category=EventCategory.WEB, **fields)


def match_ids(signatures, **fields):
    return [hit.id for hit in SignatureSet(signatures).match(web_event(fields))]


def signature(signature_id, pattern, *fields):
    return Signature(
        signature_id, Family.OTHER, Strength.WEAK, fields or ("url_path", "url_query"), pattern
    )


@pytest.mark.parametrize(("signature_id", "example"), EXAMPLES)
def test_a_signature_hits_its_examples(signature_id, example):
    """What rules.yml lists under `matches` is found by that signature."""
    hits = [hit.id for hit in load_rules().signature_set.match(web_event(example))]

    assert signature_id in hits


@pytest.mark.parametrize(("signature_id", "example"), LOOK_ALIKES)
def test_look_alikes_are_no_evidence(signature_id, example):
    """What rules.yml lists under `ignores` is not found by that signature, nor by a strong one."""
    hits = load_rules().signature_set.match(web_event(example))

    assert signature_id not in [hit.id for hit in hits]
    assert [hit.id for hit in hits if hit.strength is Strength.STRONG] == []


def test_hits_come_in_the_order_of_the_file():
    """The same request always gives the same tuple, whichever field hit."""
    signatures = [
        signature("late-field", "c", "user_agent_original"),
        signature("early-field", "a", "url_path"),
        signature("both", "a|c", "user_agent_original", "url_path"),
    ]

    hits = match_ids(signatures, url_original="/a", user_agent_original="c")

    assert hits == ["late-field", "early-field", "both"]


def test_a_signature_looks_at_its_fields_only():
    """A pattern for user agents is not held against the path."""
    agents = [signature("agent", "sqlmap", "user_agent_original")]

    assert match_ids(agents, url_original="/sqlmap") == []
    assert match_ids(agents, user_agent_original="sqlmap/1.7") == ["agent"]


def test_a_pattern_does_not_reach_over_two_views():
    """The views of a field are several texts, not one long one."""
    spanning = [signature("spanning", r"a'b(?s:.*)^ab")]

    assert match_ids(spanning, url_original="/x?a'b") == []


def test_anchors_hold_in_every_view():
    """`^` and `$` are the ends of each view, also of a resolved path."""
    anchored = [signature("anchored", r"^/\.env$")]

    assert match_ids(anchored, url_original="/static/../.env") == ["anchored"]
    assert match_ids(anchored, url_original="/a/.env") == []


def test_the_target_is_put_together_where_a_format_has_only_its_parts():
    """url_original can be asked for although a format logs path and query in two fields."""
    whole = [signature("whole", r"/shell\?cmd=", "url_original")]
    event = Event(0, "192.0.2.1", EventCategory.WEB, url_path="/shell", url_query="cmd=ls")

    assert [hit.id for hit in SignatureSet(whole).match(event)] == ["whole"]


def test_an_event_without_text_has_no_hits():
    """An ssh login has no request to look at."""
    event = Event(0, "192.0.2.1", EventCategory.AUTHENTICATION, user_name="root")

    assert load_rules().signature_set.match(event) == ()


def test_hostile_text_takes_no_longer_than_it_is_long():
    """8 KiB of fragments of attacks, in four fields, cost milliseconds and not minutes."""
    fragments = (
        "union select ' or 1=1 -- /* */ <script onerror= ${ ../ ; | cat ( ) %27 %252e &lt; {"
    )
    text = " ".join(random.Random(7).choices(fragments.split(), k=2_000))[:8192]
    event = Event(0, "192.0.2.1", EventCategory.WEB, None, f"/?{text}", "/", text, None, None, text)

    started = time.process_time()
    load_rules().signature_set.match(event)

    assert time.process_time() - started < 1


def test_no_signatures_no_hits():
    """A rules file may do without signatures."""
    assert match_ids([], url_original="/.env") == []


def test_a_bad_pattern_is_explained():
    """RE2 has no back-references; the error says what it stumbled over."""
    with pytest.raises(PatternError, match="not an RE2 pattern"):
        compile_pattern(r"(a)\1")
