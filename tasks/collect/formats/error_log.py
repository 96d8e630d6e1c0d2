"""
Error logs of nginx and Apache: which client, and what the server says was wrong.

What they say about a request is a `web_error`, because the access log has the request, too. A
refused name and password is an `http_login` that failed.

Source: src/http/ngx_http_request.c (ngx_http_log_error_handler) and
ngx_http_auth_basic_module.c of nginx; https://httpd.apache.org/docs/2.4/mod/core.html#errorlogformat
and modules/aaa/mod_auth_basic.c of Apache
"""

import re
from dataclasses import replace

from tasks.collect.formats.fields import (
    HOST_NAME,
    IMPOSSIBLE_TIME,
    Parsed,
    read_address,
    read_text,
    strip_port,
)
from tasks.collect.formats.request import Context, build_request, split_request
from tasks.model.events import EventCategory, Unparsed

_NGINX = re.compile(
    rb"(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d) \[[a-z]+\] \d+#\d+: (?:\*\d+ )?(.*)", re.DOTALL
)
# nginx cuts a line at 2,048 bytes, and with it perhaps an address that ends it.
_NGINX_CLIENT = re.compile(rb", client: ([^\s,\"]+)(?=, server: )")
_NGINX_LAST_CLIENT = re.compile(rb", client: ([^\s,\"]+)(?=, server: |$)")
_NGINX_UNCUT_BYTES = 2000
# nginx escapes nothing here: the request ends at the last quote before the host, or before an end.
_NGINX_REQUEST = re.compile(
    rb', request: "(.*?)"(?:, (?:subrequest|upstream|host): "|, |$)', re.DOTALL
)
_NGINX_LOGIN = re.compile(
    rb'user "(.*)"(?:(: password mismatch)|( was not found in ".*"))', re.DOTALL
)
_MANY_CLIENTS = Unparsed("it names more than one client, and a client may have written all but one")

_APACHE_TIME = re.compile(
    rb"\[[A-Z][a-z][a-z] ([A-Z][a-z][a-z]) ([ \d]\d) (\d\d:\d\d:\d\d)(?:\.\d+)? (\d{4})\] "
)
# `%{cu}t` and the like in ErrorLogFormat
_APACHE_OTHER_TIME = re.compile(rb"\[(\d[^\]]{18,40})\] ")
_APACHE = re.compile(
    rb"\[[^\]\s]*\] (\[pid [^\]]*\] )?(?:\[[^\]\s]*:[^\]\s]*\] )?"
    rb"(?:[^\s\[]+\.c\(\d+\): )?(?:\(\d+\)[^\[]*: )?"
    rb"(?:\[(?:client|remote) (\[[^\]\s]+\]:\d+|[^\]\s]+)\] )?(.*)",
    re.DOTALL,
)
_APACHE_REQUEST = re.compile(
    rb"(?:in request (.*?)|AH10244: invalid URI path \((.*)\))(?:, referer: |\Z)", re.DOTALL
)
_APACHE_LOGIN = re.compile(
    rb"(?:AH\d{5}: |Digest: )?user [`']?(.*?)'?"
    rb"(?:(: authentication failure for \".*\": Password Mismatch|: password mismatch: .*)"
    rb"|( not found: .*| in realm [`'].*' not found: .*))",
    re.DOTALL,
)
_LONGEST_REASON = 500
_LONGEST_LINE = 16_384
"""nginx cuts at 2,048 bytes and Apache at 8,192; the patterns are quadratic on anything longer."""


def parse_nginx_error(line: bytes, context: Context) -> Parsed | None:
    """
    What a line of nginx's error log says about a client; nothing where there is none.

    The request and the headers in it are as the client sent them, so it can write
    `, client: 192.0.2.1, server: ` itself. A line with two different clients accuses neither.
    """
    match = _NGINX.fullmatch(line) if len(line) <= _LONGEST_LINE else None
    if match is None:
        return None
    year, month, day, time, message = match.groups()
    message = message.replace(b"\\", b"\\\\")  # nginx escapes nothing
    is_whole = len(line) < _NGINX_UNCUT_BYTES
    clients = list((_NGINX_LAST_CLIENT if is_whole else _NGINX_CLIENT).finditer(message))
    if not clients:
        return ()
    if len({client[1] for client in clients}) > 1:
        return _MANY_CLIENTS
    client = clients[0]
    reason, rest = message[: client.start()], message[client.end() :]
    request = _NGINX_REQUEST.search(rest)
    return _build_event(
        client[1],
        context.clock.read_local_time(day, month, year, time),
        reason,
        request[1] if request else None,
        _NGINX_LOGIN.fullmatch(reason),
        context,
    )


def parse_apache_error(line: bytes, context: Context) -> Parsed | None:
    """What a line of Apache's error log says about a client; nothing where there is none."""
    if time := _APACHE_TIME.match(line):
        month, day, clock, year = time.groups()
        timestamp = context.clock.read_local_time(day, month, year, clock)
    elif time := _APACHE_OTHER_TIME.match(line):
        timestamp = context.clock.read_time(time[1])
    else:
        return None
    return parse_apache_message(line[time.end() :], timestamp, context)


def parse_apache_message(line: bytes, timestamp: int | None, context: Context) -> Parsed | None:
    """The same for a line without its time, as Apache sends it to syslog."""
    match = _APACHE.fullmatch(line) if len(line) <= _LONGEST_LINE else None
    if match is None:
        return None
    process, client, message = match.groups()
    if client is None:
        return ()
    if process is not None:  # 2.4, which writes a port after the address
        client = strip_port(client)
    request = _APACHE_REQUEST.search(message)
    return _build_event(
        client,
        timestamp,
        message,
        request[request.lastindex or 0] if request else None,
        _APACHE_LOGIN.fullmatch(message.partition(b", referer: ")[0]),
        context,
    )


def _build_event(
    client: bytes,
    timestamp: int | None,
    reason: bytes,
    request: bytes | None,
    login: re.Match[bytes] | None,
    context: Context,
) -> Parsed:
    if read_address(client) is None:
        return () if client.startswith(b"unix:") else HOST_NAME
    if timestamp is None:
        return IMPOSSIBLE_TIME
    method, target = split_request(request) if request else (None, None)
    texts = {
        "source_ip": client.decode(),
        "http_request_method": method,
        "url_original": target,
        "event_reason": read_text(reason[:_LONGEST_REASON]),
    }
    parsed = build_request(texts, context, timestamp, EventCategory.WEB_ERROR)
    if login is None or isinstance(parsed, Unparsed):
        return parsed
    return tuple(
        replace(
            event,
            category=EventCategory.AUTHENTICATION,
            event_action="http_login",
            event_outcome="failure",
            user_name=read_text(login[1]),
            is_invalid_user=login[3] is not None,
        )
        for event in parsed
    )
