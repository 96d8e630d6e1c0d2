"""W3C extended logs: the fields are those that the last #Fields line names."""

from datetime import UTC, datetime

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import LineParser, parse_line
from tasks.collect.formats.w3c import FieldsSearch
from tasks.model.events import EventCategory, Unparsed
from tests.ledgers import read, scan

WRITTEN = datetime(2026, 2, 23, tzinfo=UTC)
TIMESTAMP = int(datetime(2026, 2, 22, 22, 10, 1, tzinfo=UTC).timestamp())
FIELDS = (
    b"#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip "
    b"cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken"
)
IIS = (
    b"2026-02-22 22:10:01 10.0.0.1 GET /a/b id=1%27 443 - 192.0.2.7 "
    b"Mozilla/5.0+(X11;+Linux+x86_64) - 404 0 2 46"
)
CLOUDFRONT = (
    b"2026-02-22\t22:10:01\tMXP64-P1\t703\t192.0.2.7\tGET\td111111abcdef8.cloudfront.net\t/a/b\t404"
    b"\t-\tMozilla/5.0%20(X11;%20Linux%20x86_64)\tid=1%27\t-\tError\t375WZmnR4hhh==\tshop.example"
    b"\thttps\t62\t0.113\t-\tTLSv1.3\tTLS_AES_128_GCM_SHA256\tError\tHTTP/2.0\t-\t-\t51754\t0.113"
    b"\tError\ttext/plain\t20\t-\t-"
)
REAL_TIME = (
    b"1771798201.123\t192.0.2.7\t0.002\t404\t703\tGET\thttps\tshop.example\t/a/b?id=1%27\t62"
    b"\tMXP64-P1\t375WZmnR4hhh==\td111111abcdef8.cloudfront.net\t0.113\tHTTP/2.0\tIPv4"
    b"\tMozilla/5.0%20(X11;%20Linux%20x86_64)\t-\t-\tid=1%27\tError\t-\tTLSv1.3\tTLS_AES\tError"
)
XML = (
    b"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider "
    b"Name='Microsoft-Windows-IIS-Logging'/></System><EventData>"
    b'<Data Name="date">2026-02-22</Data><Data Name="time">22:10:01</Data>'
    b'<Data Name="c-ip">192.0.2.7</Data><Data Name="cs-method">GET</Data>'
    b'<Data Name="cs-uri-stem">/a/b</Data><Data Name="cs-uri-query">id=1%27</Data>'
    b'<Data Name="sc-status">404</Data>'
    b'<Data Name="csUser-Agent">Mozilla/5.0+(X11;+Linux+x86_64)</Data></EventData></Event>'
)


@pytest.fixture
def parser():
    return LineParser(ObjectClock(WRITTEN))


def check(parsed):
    (event,) = parsed
    assert event.category is EventCategory.WEB
    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")
    assert (event.http_request_method, event.url_original) == ("GET", "/a/b?id=1%27")
    assert event.http_response_status_code == 404
    assert event.user_agent_original == "Mozilla/5.0 (X11; Linux x86_64)"
    assert event.http_request_referrer is None


def test_iis(parser):
    """IIS lines are read by the directive before them; its blanks are written as plus."""
    assert parser.parse(b"#Software: Microsoft Internet Information Services 10.0") == ()
    assert parser.parse(FIELDS) == ()

    check(parser.parse(IIS))


def test_directive_that_changes(parser):
    """A restarted server may log other fields from there on."""
    parser.parse(FIELDS)
    parser.parse(b"#Fields: time date c-ip cs-method cs-uri sc-status")

    (event,) = parser.parse(b"22:10:01 2026-02-22 192.0.2.8 GET /x?y 200")

    assert (event.source_ip, event.url_query) == ("192.0.2.8", "y")
    assert isinstance(parser.parse(IIS), Unparsed)


def test_other_lines_between(parser):
    """A mixed file's other lines keep their meaning."""
    line = b'192.0.2.9 - - [22/Feb/2026:22:10:01 +0000] "GET / HTTP/1.1" 200 1 "-" "-"'
    parser.parse(FIELDS)

    assert parser.parse(line) == parse_line(line, ObjectClock(WRITTEN))
    check(parser.parse(IIS))


@pytest.mark.parametrize(
    "line",
    [
        IIS,
        IIS.replace(b" - 404 ", b" 404 "),  # IIS 7
        IIS.replace(b" 10.0.0.1 ", b" W3SVC1 fe80::1%2 ").replace(b" - 404 0 2 46", b" 404 0 2"),
    ],
)
def test_iis_without_directive(parser, line):
    """A shipper may drop the directives of IIS; its usual fields are known by what is in them."""
    check(parser.parse(line))

    (event,) = parser.parse(line.replace(b" 404 0 ", b" 500 100 "))
    assert event.http_response_status_code == 500
    parser.parse(b"#Fields: date time c-ip cs-method")
    assert isinstance(parser.parse(line), Unparsed)


def test_line_without_directive(parser):
    """Without a directive a line is unparsed, and the reason says what is missing."""
    parsed = parser.parse(IIS.replace(b" 192.0.2.7 ", b" "))

    assert isinstance(parsed, Unparsed)
    assert "#Fields" in parsed.reason


def test_fields_that_are_missing(parser):
    """A server that logs no client or no date is told to."""
    parser.parse(b"#Fields: time date cs-method cs-uri-stem")

    parsed = parser.parse(b"22:10:01 2026-02-22 GET /")

    assert isinstance(parsed, Unparsed)
    assert "c-ip" in parsed.reason


def test_cloudfront(parser):
    """CloudFront's fields are known without a directive, also when newer ones follow."""
    check(parser.parse(CLOUDFRONT))
    check(parser.parse(CLOUDFRONT + b"\tnew"))
    check(parser.parse(b"\t".join(CLOUDFRONT.split(b"\t")[:26])))
    check(parser.parse(b"\t".join(CLOUDFRONT.split(b"\t")[:23])))
    check(parser.parse(b"\t".join(CLOUDFRONT.split(b"\t")[:12])))


def test_real_time(parser):
    """CloudFront's real-time logs have the query in the stem, and again by itself."""
    check(parser.parse(REAL_TIME))
    check(parser.parse(REAL_TIME + b"\tnew"))


def test_tabs_without_directive(parser):
    """What has tabs and is not CloudFront's has unknown fields."""
    assert isinstance(parser.parse(CLOUDFRONT.replace(b"MXP64-P1", b"10.0.0.1")), Unparsed)


def test_ftp(parser):
    """Commands to the FTP service of IIS are no web requests."""
    fields = b"#Fields: date time c-ip cs-username s-ip s-port cs-method cs-uri-stem sc-status"
    parser.parse(fields + b" x-session x-fullpath")
    line = b"2026-02-22 22:10:01 192.0.2.7 bob 10.0.0.1 21 PASS *** 530"

    assert parser.parse(line + b" 8124db49 -") == ()
    parser.parse(fields)
    assert parser.parse(line)[0].source_ip == "192.0.2.7"


def test_cloudfront_with_directive(parser):
    """With a directive, it counts."""
    parser.parse(b"#Version: 1.0")
    parser.parse(b"#Fields: date time c-ip cs-method cs-uri-stem")

    (event,) = parser.parse(b"2026-02-22\t22:10:01\t192.0.2.7\tGET\t/a")

    assert (event.source_ip, event.url_original) == ("192.0.2.7", "/a")


@pytest.mark.parametrize(
    ("field", "value"), [(b"timestamp", b"1771798201"), (b"timestamp(ms)", b"1771798201123")]
)
def test_time_since_the_epoch(parser, field, value):
    """CloudFront can be told to write that and no date."""
    parser.parse(b"#Fields: " + field + b" c-ip cs-method cs-uri-stem")

    (event,) = parser.parse(value + b"\t192.0.2.7\tGET\t/a")

    assert (event.timestamp, event.source_ip, event.url_original) == (
        1771798201,
        "192.0.2.7",
        "/a",
    )


def test_xml(parser):
    """An IIS event of the Windows event log says the same."""
    check(parser.parse(XML))


def test_backslashes(parser):
    """Nothing is escaped here, so a backslash stays one."""
    parser.parse(FIELDS)

    (event,) = parser.parse(IIS.replace(b"/a/b", rb"/a\x22b"))

    assert event.url_path == r"/a\x22b"


def test_strings(parser):
    """Advanced Logging puts what has blanks in quotes, and writes the local time."""
    parser.parse(
        b"#Fields:  date-local time-local  cs-method cs-uri-stem cs-uri-query c-ip cs(User-Agent) "
        b"cs(Referer) sc-status x-said"
    )
    line = (
        b'2026-02-22 22:10:01.363 GET /a/b id=1%27 "192.0.2.7" "Mozilla/5.0 (X11; Linux x86_64)" '
        b'- 404 " ""to"" 198.51.100.9 "'
    )

    check(parser.parse(line))


@pytest.mark.parametrize("agent", [b'"Mozilla/5.0', b'"a""b"', b'"', b'x"y z"'])
def test_quotes(parser, agent):
    """In lines of IIS itself a quote is a letter, and moves no field to another's place."""
    parser.parse(FIELDS)
    parsed = parser.parse(IIS.replace(b"Mozilla/5.0+(X11;+Linux+x86_64) -", agent + b" -"))

    assert isinstance(parsed, Unparsed) or parsed[0].source_ip == "192.0.2.7"
    assert isinstance(parsed, Unparsed) == (b" " in agent)


def test_idle_connections(parser):
    """Windows also logs connections that it closes; they are no requests."""
    parser.parse(
        b"#Fields: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri sc-status s-siteid "
        b"s-reason s-queuename"
    )
    begin = b"2026-02-22 22:10:01 192.0.2.7 4823 10.0.0.1 443 "

    assert parser.parse(begin + b"- - - - - Timer_ConnectionIdle -") == ()
    (refused,) = parser.parse(begin + b"HTTP/1.1 GET ../../win.ini 400 - URL -")
    assert (refused.url_original, refused.http_response_status_code) == ("../../win.ini", 400)


def test_few_fields(parser):
    """A query or a user agent alone is a request, too."""
    parser.parse(b"#Fields: date time c-ip cs-uri-query cs(User-Agent)")

    (event,) = parser.parse(b"2026-02-22 22:10:01 192.0.2.7 id=1+union+select+2 sqlmap/1.7")

    assert (event.source_ip, event.user_agent_original) == ("192.0.2.7", "sqlmap/1.7")


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_search(size):
    """The last complete directive is found, however the bytes are cut."""
    text = b"#Fields: a\nx\n#Fields: b c\r\n" + b"y" * 200 + b"\n#Fields: cut"
    search = FieldsSearch()

    for start in range(0, len(text), size):
        search.add(text[start : start + size])

    assert search.line == b"#Fields: b c\r"


@pytest.mark.parametrize("filler", [0, 3000])
def test_continued_file(logs, source, ledger, filler):
    """A file that is read on from where it ended is read by the directive before that."""
    path = logs / "u_ex260222.log"
    path.write_bytes(b"#Version: 1.0\n#Date: x\n" + FIELDS + b"\r\n" + (IIS + b"\r\n") * filler)
    scan(source, ledger)
    with path.open("ab") as file:
        file.write((IIS + b"\r\n") * 3)

    (log_object,) = source.plan(ledger).to_read
    result, counted = read(source, log_object)

    assert log_object.stream.offset > 0
    assert [extent.lines_unparsed for extent in result.extents] == [0]
    assert len(counted) == 1
    assert len(counted[0].events) == 3
    for event, _, _ in counted[0].events:
        check((event,))
