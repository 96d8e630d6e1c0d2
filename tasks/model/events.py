"""Events: one parsed log line, in ECS names."""

from dataclasses import dataclass
from enum import StrEnum


class EventCategory(StrEnum):
    """ECS `event.category`."""

    WEB = "web"
    AUTHENTICATION = "authentication"
    WEB_ERROR = "web_error"
    """
    What a web server's error log says about a request. ECS has no such category; it is one of
    its own because the access log has that request, too, and rules count requests once.
    """


@dataclass(frozen=True, slots=True)
class Event:
    r"""
    One log line that says what a client did.

    Text fields hold what the line says, unescaped one level where the format itself escapes
    (`\"`, `\x22`), never percent-decoded. "-" in the log is None here.
    """

    timestamp: int
    """UTC, seconds since the epoch."""
    source_ip: str
    """The peer, canonical text form; IPv4-mapped IPv6 is IPv4."""
    category: EventCategory
    # web
    http_request_method: str | None = None
    url_original: str | None = None
    """The request target as logged: path and query."""
    url_path: str | None = None
    url_query: str | None = None
    """Without the `?`; None when there is none."""
    http_response_status_code: int | None = None
    http_response_body_bytes: int | None = None
    http_request_referrer: str | None = None
    user_agent_original: str | None = None
    url_domain: str | None = None
    """The virtual host, where the format has one."""
    # authentication
    event_action: str | None = None
    """
    `ssh_login`: sshd judged a credential. `ssh_connection`: a connection named a user and ended
    without a login, which is all that a server with keys only tells. Count one, never both.
    `ssh_protocol_error`: a connection to sshd that spoke no ssh, or nothing until it was cut.
    `ssh_attempts_exceeded`: one connection made as many attempts as sshd allows, and was cut off,
    or was turned away for the failures before it.
    `http_login`: a web server's error log says that it judged a name and password.
    """
    event_outcome: str | None = None
    """ECS: `success` or `failure` of a login; None for the other actions."""
    user_name: str | None = None
    is_invalid_user: bool = False
    """The server said that the account does not exist."""
    event_reason: str | None = None
    """Why the server refused or complained, in its own words, where the format says it."""


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A line that no format understood, and why."""

    reason: str
