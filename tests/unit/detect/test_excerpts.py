"""Excerpts: how a line is kept."""

from tasks.detect.excerpts import LINE_CHARACTERS, excerpt
from tests.counting import ATTACKER, NEW_YEAR, count, request


def test_short_lines_are_kept_as_they_are():
    """Text is what the line says; bytes that are not UTF-8 can be told from text."""
    assert excerpt("GET /caf\u00e9 \u2603".encode()) == "GET /caf\u00e9 \u2603"
    assert excerpt(b"GET /\xff\xc3\xed\xa0\x80\x00") == "GET /\\xff\\xc3\\xed\\xa0\\x80\x00"


def test_long_lines_are_shortened():
    """Head and tail stay, and the text can always be stored."""
    text = excerpt(b"head" + b"\xf0\x9f\x92\xa3" * 300_000 + b"tail")

    assert (text[:4], text[-4:]) == ("head", "tail")
    assert len(text) <= LINE_CHARACTERS
    assert "[...]" in text
    text.encode()


def test_the_attack_in_a_long_line_is_in_its_sample():
    """Padding before and after a payload does not hide it from who judges."""
    padding = "x" * 3000
    attack = request(NEW_YEAR, f"/a?{padding}&id=1+union+select+2&{padding}")
    (text,) = count([[attack]]).samples.rows["line"]

    assert "union+select+2" in text
    assert len(text) <= LINE_CHARACTERS
    assert text.startswith(ATTACKER)
