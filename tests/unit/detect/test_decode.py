"""Decoding: what the attacked application would see."""

import pytest

from tasks.detect.decode import FIELD_LIMIT, decode, view

UNION = "union select"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/Index.PHP", "/index.php"),
        ("%75nion%20select", UNION),
        ("%2575nion%2520select", UNION),
        ("%252575nion%252520select", UNION),
        ("%u0075nion%u0020select", UNION),
        ("%U0075NION%20%53ELECT", UNION),
        (r"\u0075nion\x20select", UNION),
        (r"\u{75}nion select", UNION),
        ("&#117;nion&#x20;select", UNION),
        ("&#x75nion&#32select", UNION),
        ("&lt;script&gt;", "<script>"),
        ("union\t\r\n\x0b\x0c  select", UNION),
        ("ｕｎｉｏｎ　ｓｅｌｅｃｔ", UNION),
        ("%EF%BD%95nion select", UNION),
        ("%c0%ae%c0%ae%c0%af", "../"),
        ("%e0%80%ae%f0%80%80%ae%c1%9c", "..\\"),
        ("%c0%2e%c0%2f", "./"),
        ("%c0%qf%c1%8s", "/\\"),
        ("%u2215%u2216", "/\\"),
        ("0x2e0x2e0x2f", "../"),
        ("a%00b", "a\x00b"),
        ("caf%C3%A9", "café"),
        ("caf%E9", "café"),
        ("100%", "100%"),
        ("%zz%1", "%zz%1"),
        ("a&copy=1&sect=2", "a&copy=1&sect=2"),
        (b"%75nion\xe9", "unioné"),
        ("", ""),
    ],
)
def test_every_encoding_is_undone(sent, seen):
    """Attackers hide behind encodings that the application undoes, so they are undone first."""
    assert decode(sent) == seen


def test_plus_is_a_space_in_urls_only():
    """`+` separates words in a form's query and is a plus in a user agent."""
    assert decode("a+b%2Bc", is_url=True) == "a b+c"
    assert decode("a+b") == "a+b"


def test_long_text_is_looked_at_from_both_ends():
    """An attack at the end of a long field is seen, and the work stays bounded."""
    decoded = decode("<script>" + "a" * 100_000 + "%27or%271%27%3D%271")

    assert decoded.startswith("<script>")
    assert decoded.endswith("'or'1'='1")
    assert len(decoded) <= FIELD_LIMIT


@pytest.mark.parametrize(
    ("sent", "reading"),
    [
        ("un/**/ion/*x*/select", "un ion select"),
        ("1/*!50000union*/select", "1 union select"),
        ("<scr%00ipt>", "<script>"),
        ("c'a't /e\\tc/pas\"s\"wd", "cat /etc/passwd"),
        ("cat${IFS}/etc/passwd", "cat /etc/passwd"),
        ("{cat,/etc/passwd}", " cat /etc/passwd "),
        ("who$@ami", "whoami"),
        (r"..\..\windows", "../../windows"),
        ("/a/./b//c", "/a/b/c"),
        ("/manager/..;/html", "/manager/../html"),
        ("/static/../../.env", "/.env"),
        ("1%0d%0aid", "1\rid"),
        ("/%2e%2e/", "/%2e%2e/"),
        ("q=%26%23x3c;", "q=&#x3c;"),
    ],
)
def test_other_readers_see_other_texts(sent, reading):
    """SQL drops comments, a shell drops quotes, a file system resolves paths."""
    assert reading in view(sent, is_url=True)


def test_an_ordinary_text_has_one_view():
    """Nothing is read twice when there is nothing to read differently."""
    assert view("/blog/2024/hello.html?page=2", is_url=True) == ("/blog/2024/hello.html?page=2",)


def test_an_unclosed_comment_costs_no_more_than_a_closed_one():
    """A comment that never ends hides nothing: the decoded text is still one of the views."""
    assert "1/*union select" in view("1/*union select", is_url=True)
