"""Events: one parsed log line, in ECS names."""

from dataclasses import dataclass
from enum import StrEnum


class EventCategory(StrEnum):
    """ECS `event.category`."""

    WEB = "web"
    AUTHENTICATION = "authentication"


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
    """
    event_outcome: str | None = None
    """ECS: `success` or `failure` of an `ssh_login`; None for an `ssh_connection`."""
    user_name: str | None = None
    is_invalid_user: bool = False
    """sshd said that the account does not exist."""


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A line that no format understood, and why."""

    reason: str
