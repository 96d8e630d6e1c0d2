"""Load balancers, S3, proxies and other access logs: the client is the peer, whatever it sends."""

import time
from datetime import UTC, datetime

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.model.events import Event, EventCategory, Unparsed

CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
TIMESTAMP = int(datetime(2026, 2, 22, 22, 10, 1, tzinfo=UTC).timestamp())
OWNER = "0123456789abcdef" * 4
VICTIM = "198.51.100.9"

SAMPLES = {
    "alb": (
        "https 2026-02-22T22:10:01.186641Z app/shop/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 "
        '0.086 0.048 0.037 404 404 0 57 "GET https://shop.example:443/a/b?id=1%27 HTTP/1.1" '
        '"curl/8.5" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:x '
        '"Root=1-58337281" "shop.example" "arn:aws:acm:x" 1 2026-02-22T22:10:00.364000Z '
        '"authenticate,forward" "-" "-" "10.0.0.1:80" "404" "-" "-" TID_1234'
    ),
    "classic elb": (
        "2026-02-22T22:10:01.943958Z shop 192.0.2.7:2817 10.0.0.1:80 0.000073 0.001048 0.000057 "
        '404 404 0 57 "GET http://shop.example:80/a/b?id=1%27 HTTP/1.1" "curl/8.5" - -'
    ),
    "classic elb before 2015": (
        "2026-02-22T22:10:01.943958Z shop 192.0.2.7:2817 10.0.0.1:80 0.000073 0.001048 0.000057 "
        '404 404 0 57 "GET http://shop.example:80/a/b?id=1%27 HTTP/1.1"'
    ),
    "s3 without versions": (
        f"{OWNER} shop.example [22/Feb/2026:22:10:01 +0000] 192.0.2.7 - 3E57427F3EXAMPLE "
        'WEBSITE.GET.OBJECT a/b "GET /a/b?id=1%27 HTTP/1.1" 404 - 57 - 7 - "-" "curl/8.5"'
    ),
    "s3": (
        f"{OWNER} shop.example [22/Feb/2026:22:10:01 +0000] 192.0.2.7 - 3E57427F3EXAMPLE "
        'REST.GET.OBJECT a/b "GET /a/b?id=1%27 HTTP/1.1" 404 NoSuchKey 57 - 7 - "-" "curl/8.5" - '
        "s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234= SigV4 "
        "ECDHE-RSA-AES128-GCM-SHA256 - shop.example TLSv1.2 - -"
    ),
    "haproxy": (
        "192.0.2.7:33317 [22/Feb/2026:22:10:01.655] http-in static/srv1 10/0/30/69/109 404 57 - - "
        '---- 1/1/1/1/0 0/0 {shop.example} {} "GET /a/b?id=1%27 HTTP/1.1"'
    ),
    "haproxy in syslog": (
        "Feb 22 22:10:02 lb-01 haproxy[14389]: 192.0.2.7:33317 [22/Feb/2026:22:10:01.655] http-in~ "
        'static/srv1 10/0/30/69/109 404 57 - - ---- 1/1/1/1/0 0/0 "GET /a/b?id=1%27 HTTP/1.1"'
    ),
    "haproxy in rfc 5424": (
        "<134>1 2026-02-23T01:10:01.655+03:00 lb-01 haproxy 14389 - - 192.0.2.7:33317 "
        "[22/Feb/2026:23:10:00.655] http-in static/<NOSRV> 10/-1/-1/-1/109 404 57 - - "
        'SC-- 1/1/1/1/0 0/0 "GET /a/b?id=1%27 HTTP/1.1"'
    ),
    "nginx proxy manager": (
        "[22/Feb/2026:22:10:01 +0000] - 404 404 - GET https shop.example "
        '"/a/b?id=1%27" [Client 192.0.2.7] [Length 57] [Gzip 1.2] [Sent-to 10.0.0.5] "curl/8.5" "-"'
    ),
    "nginx proxy manager, standard": (
        "[22/Feb/2026:22:10:01 +0000] 404 - GET https shop.example "
        '"/a/b?id=1%27" [Client 192.0.2.7] [Length 57] [Gzip -] "curl/8.5" "-"'
    ),
    "host first": (
        '[22/Feb/2026:22:10:01 +0000] shop.example 192.0.2.7 0.227 "GET /a/b?id=1%27 HTTP/2.0" '
        "404 57 440 - curl/8.5"
    ),
    "zoraxy": (
        "2026/02/22 22:10:02 [2026-02-22 22:10:01.417736] [router:host-http] [origin:shop.example] "
        "[client: 192.0.2.7] [useragent: curl/8.5] GET /a/b?id=1%27 404"
    ),
    "litespeed": (
        '"192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "GET /a/b?id=1%27 HTTP/1.1" 404 57 "-" '
        '"curl/8.5""'
    ),
}


def parse(line: str) -> Event:
    parsed = parse_line(line.encode(), CLOCK)
    assert not isinstance(parsed, Unparsed), parsed
    (event,) = parsed
    return event


@pytest.mark.parametrize("name", SAMPLES)
def test_request(name):
    """Every format says when, who, what and with what result."""
    event = parse(SAMPLES[name])

    assert event.timestamp == TIMESTAMP
    assert event.source_ip == "192.0.2.7"
    assert event.category is EventCategory.WEB
    assert event.http_request_method == "GET"
    assert event.url_original == "/a/b?id=1%27"
    assert (event.url_path, event.url_query) == ("/a/b", "id=1%27")
    assert event.http_response_status_code == 404
    if "haproxy" not in name and "before" not in name:
        assert event.user_agent_original == "curl/8.5"
        assert event.http_request_referrer is None
    if "haproxy" not in name and name != "litespeed":
        assert event.url_domain == "shop.example"


@pytest.mark.parametrize("name", SAMPLES)
def test_cut_off(name):
    """A line that was cut anywhere accuses nobody else and breaks nothing."""
    line = SAMPLES[name].encode()

    for end in range(len(line)):
        parsed = parse_line(line[:end], CLOCK)
        if not isinstance(parsed, Unparsed):
            assert {event.source_ip for event in parsed} <= {"192.0.2.7"}


@pytest.mark.parametrize(
    ("name", "hostile"),
    [
        ("alb", f'x\\" - - {VICTIM}:1 10.0.0.1:80 \\"'),
        ("s3", f'\\" 200 - 1 - 7 - \\"-\\" {VICTIM}'),
        ("nginx proxy manager", f"x\\x22 [Client {VICTIM}] [Length 1] \\x22"),
        ("host first", f"x [Client {VICTIM}] {VICTIM} 0.1 x"),
        ("zoraxy", f"x] [client: {VICTIM}] [useragent: y] GET /z 200"),
        ("litespeed", f'x\\" {VICTIM} - - [22/Feb/2026:22:10:01 +0000] \\"GET / HTTP/1.1\\" 200 1'),
    ],
)
def test_agent_that_looks_like_a_line(name, hostile):
    """What a client writes into its agent is its agent, and the client stays who it is."""
    event = parse(SAMPLES[name].replace("curl/8.5", hostile))

    assert event.source_ip == "192.0.2.7"
    assert event.url_original == "/a/b?id=1%27"
    assert event.http_response_status_code == 404
    assert VICTIM in (event.user_agent_original or "")


@pytest.mark.parametrize("name", ["alb", "classic elb", "s3"])
@pytest.mark.parametrize("agent", ['a"b', 'a"', '"', 'a" "b'])
def test_quotes_that_the_server_did_not_escape(name, agent):
    """Quotes in the agent hide no request, and what is before it is what it was."""
    event = parse(SAMPLES[name].replace("curl/8.5", agent))

    assert (event.source_ip, event.timestamp) == ("192.0.2.7", TIMESTAMP)
    assert (event.url_original, event.http_response_status_code) == ("/a/b?id=1%27", 404)


@pytest.mark.parametrize("name", ["alb", "classic elb", "s3"])
@pytest.mark.parametrize("path", ['/"', '/a"b', '/"" 200 x'])
def test_quotes_in_the_request_that_the_server_did_not_escape(name, path):
    """They hide neither the request nor what the server answered."""
    event = parse(SAMPLES[name].replace("/a/b?id=1%27", path))

    assert (event.source_ip, event.timestamp) == ("192.0.2.7", TIMESTAMP)
    assert event.url_original in (path, path.partition(" ")[0])
    assert event.http_response_status_code == 404


@pytest.mark.parametrize("client", ["2001:db8::7:2817", "[2001:db8::7]:2817"])
def test_ipv6_at_a_load_balancer(client):
    """What follows the last colon is the port, with and without brackets."""
    event = parse(SAMPLES["alb"].replace("192.0.2.7:2817", client))

    assert event.source_ip == "2001:db8::7"


def test_request_that_a_load_balancer_did_not_understand():
    """A malformed request is an event without a target."""
    line = SAMPLES["alb"].replace(
        "GET https://shop.example:443/a/b?id=1%27 HTTP/1.1", "- http://shop.example:80- -"
    )
    event = parse(line.replace(" 404 404 ", " 400 - "))

    assert (event.url_original, event.http_response_status_code) == (None, 400)


def test_connection_through_a_load_balancer():
    """What a classic load balancer passes on without a look at it is no request."""
    line = SAMPLES["classic elb"].replace(
        "GET http://shop.example:80/a/b?id=1%27 HTTP/1.1", "- - - "
    )

    assert parse_line(line.replace(" 404 404 ", " - - ").encode(), CLOCK) == ()


def test_requests_that_apache_logs_twice():
    """ssl_request_log repeats ssl_access_log: signatures see it, and no rule counts it again."""
    event = parse(
        '[22/Feb/2026:22:10:01 +0000] 192.0.2.7 TLSv1.3 TLS_AES_256_GCM_SHA384 "GET /a?b HTTP/1.1" 57'
    )

    assert (event.timestamp, event.source_ip, event.category) == (
        TIMESTAMP,
        "192.0.2.7",
        EventCategory.WEB_ERROR,
    )
    assert (event.url_path, event.url_query) == ("/a", "b")


def test_amazon_itself():
    """What S3 did by itself has no client and is nothing to count."""
    line = SAMPLES["s3"].replace(" 192.0.2.7 ", " - ").encode()

    assert parse_line(line, CLOCK) == ()


def test_common_format_of_haproxy():
    """`option httplog clf` is an access line."""
    event = parse(
        'Feb 22 22:10:01 lb haproxy[1]: 192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "GET /a HTTP/1.1" '
        '404 2750 "" "" 33317 655 "http-in" "static" "srv1" 10 0 30 69 109 ---- 1 1 1 1 0 0 0 "" ""'
    )

    assert (event.source_ip, event.url_original) == ("192.0.2.7", "/a")
    assert (event.timestamp, event.http_response_status_code) == (TIMESTAMP, 404)


def test_bad_request_at_haproxy():
    """A request that HAProxy did not understand is an event without a target."""
    line = SAMPLES["haproxy"].replace("GET /a/b?id=1%27 HTTP/1.1", "<BADREQ>")

    assert parse(line.replace(" 404 ", " -1 ")).http_response_status_code is None
    assert parse(line).url_original is None


def test_encoding_of_haproxy():
    """HAProxy writes a quote as #22."""
    line = SAMPLES["haproxy"].replace("id=1%27", "id=#22#3E<")

    assert parse(line).url_query == 'id=">#3E<'.replace("#3E", "")


@pytest.mark.parametrize("name", ["haproxy", "haproxy in syslog", "haproxy in rfc 5424"])
def test_backslashes_at_haproxy(name):
    r"""HAProxy escapes nothing with a backslash: the `\t` in `\think` is no tabulator."""
    event = parse(SAMPLES[name].replace("id=1%27", "s=/\\think\\x22"))

    assert event.url_query == "s=/\\think\\x22"


def test_escapes_in_the_common_format_of_haproxy():
    """There, too, a quote is #22 and a backslash is one."""
    event = parse(
        "Feb 22 22:10:01 lb haproxy[1]: 192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "
        '"GET /\\think?#22 HTTP/1.1" 404 2750 "" "" 33317 655 "http-in" "static" "srv1" 10'
    )

    assert event.url_original == '/\\think?"'


@pytest.mark.parametrize("name", ["alb", "classic elb"])
@pytest.mark.parametrize(
    "request_end",
    ['" "?id=1+union+select HTTP/1.1" "curl"', ' HTTP/1.1" "curl" ${jndi:ldap://x/union+select}"'],
)
def test_raw_quotes_leave_nothing_out(name, request_end):
    """What stood behind a quote and a blank was neither in the request nor in the agent."""
    event = parse(SAMPLES[name].replace(' HTTP/1.1" "curl/8.5"', request_end))

    assert "union+select" in f"{event.url_original} {event.user_agent_original}"


@pytest.mark.parametrize("name", ["haproxy", "haproxy in syslog", "haproxy in rfc 5424"])
def test_times_of_old_versions_of_haproxy(name):
    """Not every version says the milliseconds; a line without them was no request, and lost."""
    event = parse(SAMPLES[name].replace(":01.655]", ":01]").replace(":00.655]", ":00]"))

    assert (event.timestamp, event.url_path) == (TIMESTAMP, "/a/b")


def test_haproxy_without_a_syslog_header():
    """A viewer of logs may leave out what is before the program."""
    event = parse("haproxy[14389]: " + SAMPLES["haproxy"])

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")


@pytest.mark.parametrize("end", ["", " 0/0/0/0/0 shop.example/TLSv1.3/TLS_AES_256_GCM_SHA384"])
def test_quotes_of_haproxy_that_syslog_escaped(end):
    """syslog-ng may put a backslash before the quotes, which is no part of the request."""
    line = SAMPLES["haproxy in syslog"].replace("id=1%27", "s=/\\think")

    assert parse(line.replace('"', '\\"') + end).url_original == "/a/b?s=/\\think"


def test_year_at_haproxy():
    """HAProxy says the year that the syslog line around it leaves out."""
    event = parse(SAMPLES["haproxy in syslog"].replace("/2026:", "/2019:"))

    assert datetime.fromtimestamp(event.timestamp, UTC).year == 2019


@pytest.mark.parametrize("program", ["haproxy[1]", "nginx", "httpd[2]"])
def test_requests_in_another_format(program):
    """A request that a web server logs in a format that is not known is reported, not passed by."""
    parsed = parse_line(
        f'Feb 22 22:10:01 lb {program}: -:22 shop.example 200 "GET /a HTTP/1.1"'.encode(), CLOCK
    )

    assert isinstance(parsed, Unparsed)


def test_other_messages_of_haproxy():
    """Connections without a request are understood and hold nothing to count."""
    line = (
        b"Feb 22 22:10:01 lb haproxy[1]: 192.0.2.7:5 [22/Feb/2026:22:10:01.655] fe/1: SSL failure"
    )

    assert parse_line(line, CLOCK) == ()


def test_quadratic_bait():
    """A server's name that is all slashes takes no longer than others of its length."""
    line = b"192.0.2.7:5 [22/Feb/2026:22:10:01.655] fe " + b"a/" * 40_000 + b'"'
    begin = time.process_time()

    assert isinstance(parse_line(line, CLOCK), Unparsed)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    "said",
    [
        "https-in/1: Connection closed during SSL handshake",
        "ssh-in bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0",
        "main app/<NOSRV> -1/-1/+1 +212 SC 1/1/0/0/0 0/0",
    ],
)
def test_connections_at_haproxy(said):
    """What is no request is understood, also where no syslog line is around it."""
    begin = "192.0.2.7:33317 [22/Feb/2026:22:10:01.655] "

    assert parse_line((begin + said).encode(), CLOCK) == ()
    assert isinstance(parse_line((begin + said + ' "GET /').encode(), CLOCK), Unparsed)


@pytest.mark.parametrize(
    "line",
    [
        '2026-02-22T22:10:01.514108Z 192.0.2.7 36280 443 TLSv1.2 ECDHE-RSA 4.036 "CN=x" - FEF2 Success',
        '2026-02-22T22:10:01.599544Z 2001:db8::7 58206 80 - - - "-" - - - TID_16132ed0b4112148',
        "Enable AccessLog for ELB: app/shop/50dc6c495c0c9188 at 2026-02-22T22:10:01.781Z",
        "tls 2.0 2026-02-22T22:10:01 net/shop/c6e7 g3d4 192.0.2.7:51341 10.0.0.1:443 5 2 98 246 - - -",
    ],
)
def test_connections_at_load_balancers(line):
    """What AWS logs of connections, and of its permission to log, is no request."""
    assert parse_line(line.encode(), CLOCK) == ()


def test_envoy():
    """Envoy's default format names only what a client can forge, and the reason says so."""
    line = (
        b'[2026-02-22T22:10:01.310Z] "GET /a HTTP/1.1" 200 - 0 12 1 1 "198.51.100.9" "curl" "id" '
        b'"shop.example" "10.0.0.1:80"'
    )
    parsed = parse_line(line, CLOCK)

    assert isinstance(parsed, Unparsed)
    assert "forge" in parsed.reason
