"""One web request as an event, from the named fields that every format but Common is read into."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.fields import (
    IMPOSSIBLE_TIME,
    Parsed,
    read_address,
    read_text,
    refuse_client,
)
from tasks.collect.formats.forwarded import TrustedProxies
from tasks.model.events import Event, EventCategory, Unparsed

NO_CLIENT = Unparsed("it names no client address")

REQUEST_FIELDS = frozenset({
    "timestamp", "source_ip", "forwarded_for", "request", "http_request_method", "url_original",
    "url_full", "url_path", "url_query", "url_domain", "http_response_status_code",
    "http_response_body_bytes", "http_request_referrer", "user_agent_original", "user_name",
    "event_reason",
})  # fmt: skip
"""
What a format may say. `request` is `GET /path HTTP/1.1`; `url_full` a URL with scheme and host,
which the writer of the log added; `forwarded_for` the header that proxies write.
"""

Texts = Mapping[str, str | None]
"""Values by the names of REQUEST_FIELDS; what a format does not say is absent or None."""

_METHOD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}"
_REQUEST = re.compile(rf"({_METHOD}) (.*?)(?: HTTP/\d(?:\.\d)?)?", re.DOTALL)
_RAW_REQUEST = re.compile(_REQUEST.pattern.encode(), re.DOTALL)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?]*)")
_DIGITS = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known about a line besides its bytes."""

    clock: ObjectClock
    proxies: TrustedProxies = field(default_factory=TrustedProxies)


def split_request(request: bytes) -> tuple[str | None, str | None]:
    """Method and target; the target may hold spaces, and the protocol may be missing."""
    match = _RAW_REQUEST.fullmatch(request)
    if match is None:
        return None, read_text(request)
    return match[1].decode(), read_text(match[2])


def split_target(target: str | None) -> tuple[str | None, str | None]:
    """Path and query; scheme and host of an absolute target are left out."""
    if target is None:
        return None, None
    if target[:1] != "/" and (authority := _ABSOLUTE.match(target)):
        target = target[authority.end() :] or "/"
    path, mark, query = target.partition("?")
    return path, query if mark else None


def build_request(
    texts: Texts,
    context: Context,
    timestamp: int | None = None,
    category: EventCategory = EventCategory.WEB,
) -> Parsed:
    """
    The event of one request, or why there is none.

    Args:
        texts: What the line says.
        context: The clock that understands its time, and the proxies that are trusted.
        timestamp: Where something else than the field says when it was.
        category: Of the event.
    """
    client = texts.get("source_ip")
    if client is None:
        return NO_CLIENT
    peer = read_address(client.encode())
    if peer is None:
        return refuse_client(client.encode())
    if timestamp is None:
        timestamp = context.clock.read_time((texts.get("timestamp") or "").encode())
    if timestamp is None:
        return IMPOSSIBLE_TIME
    method, target, domain = _read_target(texts)
    path, query = split_target(target)
    event = Event(
        timestamp=timestamp,
        source_ip=context.proxies.find_client(peer, texts.get("forwarded_for")),
        category=category,
        http_request_method=method,
        url_original=target,
        url_path=path,
        url_query=query,
        http_response_status_code=_read_status(texts.get("http_response_status_code")),
        http_response_body_bytes=_read_number(texts.get("http_response_body_bytes")),
        http_request_referrer=texts.get("http_request_referrer"),
        user_agent_original=texts.get("user_agent_original"),
        url_domain=domain,
        user_name=texts.get("user_name"),
        event_reason=texts.get("event_reason"),
    )
    return (event,)


def _read_target(texts: Texts) -> tuple[str | None, str | None, str | None]:
    """Method, target and virtual host, from whichever fields say them."""
    method, domain = texts.get("http_request_method"), texts.get("url_domain")
    target = texts.get("url_original")
    request, full = texts.get("request"), texts.get("url_full")
    match = _REQUEST.fullmatch(request) if request is not None else None
    if request is not None and target is None:
        method, target = (match[1], match[2]) if match else (method, request)
    elif match and method is None:
        method = match[1]
    if full is not None and target is None:
        authority = _ABSOLUTE.match(full)
        target = full[authority.end() :] if authority else full
        if target[:1] != "/":
            target = f"/{target}"
        domain = domain or (authority[1].rpartition("@")[2] if authority else None)
    path = texts.get("url_path")
    if target is None and path is not None:
        query = (texts.get("url_query") or "").removeprefix("?")
        target = f"{path}?{query}" if query else path
    return method, target, _without_port(domain)


def _without_port(domain: str | None) -> str | None:
    if domain is None:
        return None
    host, colon, port = domain.rpartition(":")
    return host if colon and port.isdigit() and host else domain


def _read_number(text: str | None) -> int | None:
    return int(text) if text is not None and _DIGITS.fullmatch(text) else None


def _read_status(text: str | None) -> int | None:
    """0 and -1 are how servers say that there was no answer."""
    status = _read_number(text)
    return status if status is not None and 0 < status < 1000 else None
