"""JSON access logs: what known writers' keys mean, and what no client can do with them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.forwarded import TrustedProxies
from tasks.collect.formats.parser import FormatChoice, LineParser, parse_line
from tasks.model.events import EventCategory, Unparsed

CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
TIMESTAMP = int(datetime(2026, 2, 22, 22, 10, 1, tzinfo=UTC).timestamp())
MILLIS = TIMESTAMP * 1000 + 123

SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "nginx": {
        "time_iso8601": "2026-02-22T22:10:01+00:00",
        "remote_addr": "192.0.2.7",
        "request": "GET /a/b?id=1%27 HTTP/1.1",
        "status": "404",
        "body_bytes_sent": "57",
        "http_referer": "-",
        "http_user_agent": "curl/8.5",
        "host": "shop.example",
    },
    "nginx, as Google's guides want it": {
        "time": "2026-02-22T22:10:01+00:00",
        "remote_ip": "192.0.2.7",
        "remote_user": "",
        "request": "GET /a/b?id=1%27 HTTP/1.1",
        "status": "404",
        "body_bytes_sent": "57",
        "http_referer": "",
        "http_user_agent": "curl/8.5",
        "host": "shop.example",
    },
    "nginx, other variables": {
        "msec": f"{TIMESTAMP}.123",
        "remote_addr": "192.0.2.7",
        "request_method": "GET",
        "request_uri": "/a/b?id=1%27",
        "status": 404,
        "bytes_sent": 57,
        "http_referer": "",
        "user_agent": "curl/8.5",
        "server_name": "shop.example",
    },
    "nginx, as Grafana's dashboards want it": {
        "msec": f"{TIMESTAMP}.123",
        "connection": "14",
        "pid": "7",
        "remote_addr": "192.0.2.7",
        "remote_user": "",
        "remote_port": "4711",
        "time_local": "22/Feb/2026:22:10:01 +0000",
        "time_iso8601": "2026-02-22T22:10:01+00:00",
        "request": "GET /a/b?id=1%27 HTTP/1.1",
        "request_uri": "/a/b?id=1%27",
        "args": "id=1%27",
        "status": "404",
        "body_bytes_sent": "57",
        "http_referer": "",
        "http_user_agent": "curl/8.5",
        "http_x_forwarded_for": "",
        "http_host": "shop.example",
    },
    "nginx, with the words of ELK": {
        "@timestamp": "2026-02-22T22:10:01+00:00",
        "remote_addr": "192.0.2.7",
        "size": 57,
        "http_host": "shop.example",
        "method": "GET",
        "url": "/a/b?id=1%27",
        "referer": "-",
        "agent": "curl/8.5",
        "status": 404,
    },
    "nginx, in parts": {
        "time": "2026-02-22T22:10:01+00:00",
        "remote_addr": "192.0.2.7",
        "method": "GET",
        "host": "shop.example",
        "path": "/a/b",
        "query": "id=1%27",
        "status": 404,
        "bytes_sent": 57,
        "user_agent": "curl/8.5",
    },
    "nginx, as Elastic's examples have it": {
        "time": "22/Feb/2026:22:10:01 +0000",
        "remote_ip": "192.0.2.7",
        "remote_user": "-",
        "request": "GET /a/b?id=1%27 HTTP/1.1",
        "response": 404,
        "bytes": 57,
        "referrer": "-",
        "agent": "curl/8.5",
        "host": "shop.example",
    },
    "cloudflare": {
        "ClientIP": "192.0.2.7",
        "ClientRequestHost": "shop.example",
        "ClientRequestMethod": "GET",
        "ClientRequestURI": "/a/b?id=1%27",
        "ClientRequestPath": "/a/b",
        "ClientRequestReferer": "",
        "ClientRequestUserAgent": "curl/8.5",
        "EdgeResponseBytes": 57,
        "EdgeResponseStatus": 404,
        "EdgeStartTimestamp": "2026-02-22T22:10:01Z",
        "RayID": "3a6050bcbe121a87",
    },
    "caddy": {
        "level": "info",
        "ts": TIMESTAMP + 0.7564995,
        "logger": "http.log.access.log0",
        "msg": "handled request",
        "request": {
            "remote_ip": "192.0.2.7",
            "remote_port": "4711",
            "client_ip": "198.51.100.9",
            "proto": "HTTP/2.0",
            "method": "GET",
            "host": "shop.example:443",
            "uri": "/a/b?id=1%27",
            "headers": {"User-Agent": ["curl/8.5"], "X-Forwarded-For": ["198.51.100.9"]},
        },
        "user_id": "",
        "duration": 0.001,
        "size": 57,
        "status": 404,
    },
    "traefik": {
        "ClientAddr": "192.0.2.7:39490",
        "ClientHost": "198.51.100.9",
        "ClientUsername": "-",
        "DownstreamContentSize": 57,
        "DownstreamStatus": 404,
        "RequestHost": "shop.example",
        "RequestMethod": "GET",
        "RequestPath": "/a/b?id=1%27",
        "StartUTC": "2026-02-22T22:10:01.536030727Z",
        "level": "info",
        "msg": "",
        "request_User-Agent": "curl/8.5",
        "time": "2026-02-22T22:10:02Z",
    },
    "aws_waf": {
        "timestamp": MILLIS,
        "formatVersion": 1,
        "webaclId": "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/shop/1",
        "terminatingRuleId": "AWS-AWSManagedRulesSQLiRuleSet",
        "action": "COUNT",
        "httpRequest": {
            "clientIp": "192.0.2.7",
            "country": "IT",
            "headers": [
                {"name": "host", "value": "shop.example"},
                {"name": "User-Agent", "value": "curl/8.5"},
                {"name": "X-Forwarded-For", "value": "198.51.100.9"},
            ],
            "uri": "/a/b",
            "args": "id=1%27",
            "httpVersion": "HTTP/1.1",
            "httpMethod": "GET",
        },
        "responseCodeSent": 404,
    },
    "cloudfront": {
        "date": "2026-02-22",
        "time": "22:10:01",
        "x-edge-location": "MXP64-P1",
        "sc-bytes": "57",
        "c-ip": "192.0.2.7",
        "cs-method": "GET",
        "cs(Host)": "shop.example",
        "cs-uri-stem": "/a/b",
        "sc-status": "404",
        "cs(Referer)": "-",
        "cs(User-Agent)": "curl/8.5",
        "cs-uri-query": "id=1%27",
        "x-forwarded-for": "198.51.100.9",
    },
    "cloudfront, milliseconds": {
        "timestamp(ms)": str(MILLIS),
        "c-ip": "192.0.2.7",
        "cs-method": "GET",
        "cs(Host)": "shop.example",
        "cs-uri-stem": "/a/b",
        "sc-status": "404",
        "sc-bytes": "57",
        "cs(User-Agent)": "curl/8.5",
        "cs-uri-query": "id=1%27",
    },
    "cloudfront, in real time": {
        "timestamp": "1771798201.123",
        "c-ip": "192.0.2.7",
        "sc-status": "404",
        "sc-bytes": "57",
        "cs-method": "GET",
        "cs-host": "shop.example",
        "cs-uri-stem": "/a/b?id=1%27",
        "cs-user-agent": "curl/8.5",
        "cs-referer": "-",
        "cs-uri-query": "id=1%27",
    },
    "google": {
        "timestamp": "2026-02-22T22:10:01.123456Z",
        "severity": "INFO",
        "httpRequest": {
            "requestMethod": "GET",
            "requestUrl": "https://shop.example/a/b?id=1%27",
            "status": 404,
            "responseSize": "57",
            "userAgent": "curl/8.5",
            "remoteIp": "192.0.2.7",
        },
    },
    "envoy": {
        "start_time": "2026-02-22T22:10:01.310Z",
        "method": "GET",
        "path": "/a/b?id=1%27",
        "response_code": 404,
        "bytes_sent": 57,
        "user_agent": "curl/8.5",
        "authority": "shop.example",
        "x_forwarded_for": "198.51.100.9",
        "downstream_direct_remote_address": "192.0.2.7:51234",
    },
    "ecs": {
        "@timestamp": "2026-02-22T22:10:01.000Z",
        "source": {"ip": "192.0.2.7"},
        "http": {
            "request": {"method": "GET"},
            "response": {"status_code": 404, "body": {"bytes": 57}},
        },
        "url": {"path": "/a/b", "query": "id=1%27", "domain": "shop.example"},
        "user_agent": {"original": "curl/8.5"},
    },
    "fastly": {
        "timestamp": "2026-02-22T22:10:01+0000",
        "client_ip": "192.0.2.7",
        "host": "shop.example",
        "url": "/a/b?id=1%27",
        "request_method": "GET",
        "request_referer": "",
        "request_user_agent": "curl/8.5",
        "response_status": 404,
        "response_body_size": 57,
    },
}


def parse_bytes(line: bytes):
    parsed = parse_line(line, CLOCK)
    assert not isinstance(parsed, Unparsed), parsed
    (event,) = parsed
    return event


def parse(record):
    return parse_bytes(json.dumps(record).encode())


@pytest.mark.parametrize("name", SAMPLES)
def test_request(name):
    """Every writer's keys say when, who, what and with what result; the client is the peer."""
    event = parse(SAMPLES[name])

    assert event.category is EventCategory.WEB
    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")
    assert (event.http_request_method, event.url_original) == ("GET", "/a/b?id=1%27")
    assert (event.url_path, event.url_query) == ("/a/b", "id=1%27")
    assert event.http_response_status_code == 404
    assert event.http_response_body_bytes == (None if name == "aws_waf" else 57)
    assert event.url_domain == "shop.example"
    assert event.user_agent_original == "curl/8.5"
    assert event.http_request_referrer is None
    assert event.user_name is None


@pytest.mark.parametrize(
    "prefix", ["2026-02-22T22:10:01+00:00 cdn01 ", "Feb 22 22:10:01 web-01 nginx: "]
)
def test_in_syslog(prefix):
    """JSON that a web server sends through syslog is read."""
    event = parse_bytes(prefix.encode() + json.dumps(SAMPLES["fastly"]).encode())

    assert event.source_ip == "192.0.2.7"


def test_in_syslog_of_another_program():
    """What another program passes on may be a client's: it accuses nobody."""
    line = b"Feb 22 22:10:01 web-01 shop: " + json.dumps(SAMPLES["nginx"]).encode()

    assert parse_line(line, CLOCK) == ()


def test_forwarded_address():
    """A forwarded address counts when a trusted proxy has written it."""
    proxies = TrustedProxies([ip_network("192.0.2.0/24")])
    parser = LineParser(CLOCK, FormatChoice(proxies))

    for name in ("caddy", "traefik", "aws_waf", "cloudfront", "envoy"):
        parsed = parser.parse(json.dumps(SAMPLES[name]).encode())
        assert not isinstance(parsed, Unparsed)
        (event,) = parsed
        assert event.source_ip == "198.51.100.9", name


@pytest.mark.parametrize("time", ["2026/02/22 22:10:01", "2026/02/22 22:10:01.123456789"])
def test_wall_time_of_caddy(time):
    """Its `time_format wall` has slashes and no zone."""
    event = parse({**SAMPLES["caddy"], "ts": time})

    assert event.timestamp == TIMESTAMP


def test_blocked_by_waf():
    """A blocked request was answered 403 and says by which rule."""
    event = parse({**SAMPLES["aws_waf"], "action": "BLOCK", "responseCodeSent": None})

    assert event.http_response_status_code == 403
    assert event.event_reason == "AWS-AWSManagedRulesSQLiRuleSet"


@pytest.mark.parametrize(
    ("raw", "agent"),
    [
        (rb"a\x22b", 'a"b'),
        (rb"\xd0\xb0", "а"),
        (rb"a\\x22", r"a\x22"),
        (b"a\xffb", r"a\xffb"),
        (b"a\x01b", "a\x01b"),
        (rb"\ud800", r"\ud800"),
        (b"\xd0\xb0", "а"),
        (rb"\xff", r"\xff"),
    ],
    ids=range(8),
)
def test_bytes_that_are_no_json(raw, agent):
    """No byte of a client hides its line; the text fits any database."""
    line = json.dumps({**SAMPLES["nginx"], "http_user_agent": "AGENT"}).encode()

    event = parse_bytes(line.replace(b"AGENT", raw))

    assert event.user_agent_original == agent
    assert agent.encode()


def test_flat_keys():
    """ECS keys that were flattened to names with dots are the same keys."""
    flat = {
        "@timestamp": "2026-02-22T22:10:01Z",
        "source.ip": "192.0.2.7",
        "url": "",
        "url.original": "/a",
        "http.request.method": "GET",
    }

    assert parse(flat).url_original == "/a"


@pytest.mark.parametrize(
    "record",
    [
        {"level": "debug", "ts": 1.0, "logger": "http.handlers.reverse_proxy", "msg": "selected"},
        {"level": "error", "time": "2026-02-22T22:10:01Z", "message": "no such middleware"},
    ],
)
def test_other_lines_of_a_web_server(record):
    """What a web server says about itself holds nothing to count."""
    assert parse_line(json.dumps(record).encode(), CLOCK) == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"ip": "192.0.2.7", "path": "/"}', "declare its fields"),
        (b'{"remote_addr": "192.0.2.7", "request": "GET /"', "known formats"),
        (b'{"a":' * 5000, "known formats"),
        (json.dumps({**SAMPLES["nginx"], "remote_addr": "host.example"}).encode(), "IP address"),
        (json.dumps({**SAMPLES["nginx"], "remote_addr": None}).encode(), "client"),
        (json.dumps({**SAMPLES["nginx"], "time_iso8601": "yesterday"}).encode(), "time"),
        (json.dumps({**SAMPLES["caddy"], "ts": float("nan")}).encode(), "time"),
        (json.dumps({**SAMPLES["caddy"], "ts": 10**30}).encode(), "time"),
        (json.dumps({**SAMPLES["caddy"], "ts": [1]}).encode(), "client|time"),
    ],
)
def test_unparsed(line, reason):
    """What cannot be read says why and raises nothing."""
    parsed = parse_line(line, CLOCK)

    if isinstance(parsed, Unparsed):
        assert any(part in parsed.reason for part in reason.split("|"))
    else:
        assert reason == "client|time"


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(
    "value", [None, 5, -1, 1e400, [], {}, [{}], True, "", "-", "\x00", "\ud800"]
)
def test_any_type_anywhere(name, value):
    """A key may hold anything: the line is an event or says why it is none."""
    for key in SAMPLES[name]:
        parsed = parse_line(json.dumps({**SAMPLES[name], key: value}).encode(), CLOCK)
        assert isinstance(parsed, (tuple, Unparsed))


def test_caddy_at_a_terminal():
    """There, Caddy's time stands before the object, and so does what other loggers say."""
    record = {key: value for key, value in SAMPLES["caddy"].items() if key != "ts"}
    begin = "2026/02/22 22:10:01.524\tINFO\t"
    line = f"{begin}http.log.access.log0\thandled request\t{json.dumps(record)}"
    event = parse_bytes(line.encode())

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")
    assert (event.url_original, event.http_response_status_code) == ("/a/b?id=1%27", 404)
    assert parse_line(f"{begin}tls\tcleaned up storage units".encode(), CLOCK) == ()
    assert isinstance(parse_line(f"{begin}http.log.access\thandled".encode(), CLOCK), Unparsed)
