"""Decoding and signatures on any text at all."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.detect.decode import FIELD_LIMIT, decode, view
from tasks.detect.rules import load_rules
from tasks.detect.selections import ask_all, build_selection
from tasks.detect.signatures import URL_FIELDS, compile_pattern
from tasks.model.events import Event, EventCategory

PIECES = [
    *(
        "union",
        "select",
        "'",
        '"',
        "or",
        "and",
        "1=1",
        "--",
        "#",
        "/*",
        "*/",
        "sleep(",
        "benchmark(1,",
    ),
    *(
        ";",
        "|",
        "&&",
        "$(",
        "`",
        ")",
        "(",
        "{",
        "}",
        "cat",
        "wget",
        "${",
        "jndi:",
        "ldap://",
        "php://",
    ),
    *("<", ">", "<script", "onerror=", "svg/", "javascript:", "alert(1)", "&lt;", "&#60;", "&#x3c"),
    *(
        "../",
        "..\\",
        "..",
        "/",
        "//",
        "/./",
        ";a=b",
        "etc/passwd",
        ".env",
        "wp-login.php",
        "phpmyadmin",
    ),
    *("%00", "%0d%0a", "%27", "%3c", "%252e", "%c0%ae", "%u002e", "\\x3c", "http://", "127.0.0.1"),
    *(
        "\x00",
        "\n",
        " ",
        "\ud800",
        "\udc80",
        "＜",
        "ﷺ",
        "é",
        "%",
        "%%",
        "%2",
        "+",
        "=",
        "&",
        "?",
        "Z",
    ),
]

anything = st.one_of(st.text(st.characters(codec=None)), st.binary())
requests = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=30).map(
    "".join
)
RULES = load_rules()
SHIPPED = RULES.signature_set
PATTERNS = [compile_pattern(s.pattern) for s in SHIPPED.signatures]
PATH_TESTS = list(
    dict.fromkeys(
        test
        for rule in RULES.rules
        for clause in rule.selection.clauses
        for test in clause.tests
        if test.field == "url_path"
    )
)


@given(anything, st.booleans())
def test_decoding_never_fails_and_never_grows(text, is_url):
    """Any text is decoded, to valid Unicode of bounded length without line breaks in any view."""
    assert len(decode(text, is_url=is_url)) <= FIELD_LIMIT
    for reading in view(text, is_url=is_url):
        reading.encode("utf-8")
        assert "\n" not in reading
        assert len(reading) <= FIELD_LIMIT


@given(requests)
def test_text_without_encodings_is_only_lower_cased(text):
    """What nothing hides in is left as it is."""
    plain = "".join(c for c in text if c.isascii() and (c.isalnum() or c in "/=.,:;?-_~'()<>"))
    plain = plain.replace("0x", "").replace("0X", "")

    assert decode(plain) == plain.lower()


@given(requests, requests)
def test_searching_at_once_changes_nothing(target, user_agent):
    """Every pattern by itself, looking at every view by itself, has the same hits."""
    path, _, query = target.partition("?")
    event = Event(
        timestamp=0,
        source_ip="192.0.2.1",
        category=EventCategory.WEB,
        url_original=target,
        url_path=path,
        url_query=query,
        user_agent_original=user_agent,
        http_request_referrer=target,
    )

    def is_hit(signature, pattern):
        return any(
            pattern.search(text)
            for name in signature.fields
            for text in view(getattr(event, name) or "", is_url=name in URL_FIELDS)
        )

    assert SHIPPED.match(event) == tuple(
        s for s, pattern in zip(SHIPPED.signatures, PATTERNS, strict=True) if is_hit(s, pattern)
    )


@given(
    requests | st.from_regex(r"(/(wp-)?(login|admin|a-12|b)(.php|.html)?){0,3}/?", fullmatch=True)
)
def test_asking_at_once_changes_nothing(path):
    """All tests of a field together answer what each of them answers."""
    answers = ask_all(PATH_TESTS)(path)

    assert [answers >> n & 1 for n in range(len(PATH_TESTS))] == [
        t.accepts(path) for t in PATH_TESTS
    ]


@given(st.text(st.sampled_from("aA?é.\n\udc80/-K\u212a"), max_size=6))
def test_every_way_of_asking_at_once_changes_nothing(path):
    """Values that are searched for by an expression are found as they are by themselves."""
    values = ["a", "A.a", "?", "é", "a\nA", "a/-", "k", ".", ""]
    asked = [
        {f"url_path{modifier}": value}
        for modifier in ("", "|contains", "|startswith", "|endswith")
        for value in [*values, ["a", "?"], ["/", "k"]]
    ]
    tests = [build_selection(one, ()).clauses[0].tests[0] for one in asked]
    answers = ask_all(tests)(path)

    assert [answers >> n & 1 for n in range(len(tests))] == [t.accepts(path) for t in tests]
    assert ask_all(tests)(None) == 0
