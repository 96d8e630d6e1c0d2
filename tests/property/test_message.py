"""Any conclusion makes a message that Telegram accepts and that says what was put into it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.model.text import count_units, cut, make_visible
from tasks.notify.message import LIMIT_UNITS, Message, RunLink, digest_message, incident_message
from tests.conclusions import conclusions, hostile
from tests.servers.telegram import parse_html

runs = st.builds(
    RunLink, hostile(100), st.none() | st.just("http://127.0.0.1:4200/x") | hostile(50)
)


def check(message: Message) -> None:
    text, entities = parse_html(message.html)

    assert 0 < count_units(text) <= LIMIT_UNITS
    assert len(message.html.encode()) <= 16_384
    assert 0 < count_units(message.plain) <= LIMIT_UNITS
    assert {e.type for e in entities} <= {"bold", "code", "text_link"}
    assert all(e.url.startswith(("http://", "https://")) for e in entities if e.url)
    # no character is hidden, in either form
    assert all(make_visible(line) == " ".join(line.split()) for line in text.split("\n"))


@settings(max_examples=200, deadline=None)
@given(conclusions, runs, st.none() | conclusions)
def test_any_incident_is_a_valid_message(conclusion, run, before):
    """HTML parses as Telegram parses it, within its limits, with no tag and no link not ours."""
    message = incident_message(conclusion, run, before)

    check(message)
    assert conclusion.incident.family.label in message.plain.splitlines()[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(conclusions, min_size=1, max_size=2), runs, st.integers(1, 40))
def test_any_digest_is_a_valid_message(few, run, times):
    """A digest of any number of incidents is valid and within the limits."""
    check(digest_message(few * times, run))


@given(hostile(), st.integers(1, 300))
def test_a_cut_text_fits_and_keeps_its_beginning(text, units):
    """No more than the given units are left, and all but the mark is the text's own beginning."""
    result = cut(text, units)

    assert count_units(result) <= units
    assert result == text or (result.endswith("…") and text.startswith(result[:-1]))


@given(hostile())
def test_visible_text_is_stable_and_encodes(text):
    """Making text visible twice changes nothing more, and the result is UTF-8 in one line."""
    visible = make_visible(text)

    assert make_visible(visible) == visible
    assert visible.encode().decode() == visible
    assert len(visible.splitlines()) <= 1
