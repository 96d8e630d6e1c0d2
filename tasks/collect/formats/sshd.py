"""
sshd's messages about logins.

One judged credential is one `ssh_login`: the lines `Failed ...` and `Accepted ...`. What PAM and
sshd write around it (`authentication failure`, `more authentication failures`,
`Disconnecting: Too many ...`) repeats it and is not counted.

A server that takes keys only never writes `Failed`; there an attacker shows in the lines that
name the user of a connection. A password server writes those too, so they are another action,
`ssh_connection`, one per connection and user: `Invalid user` and `User ... not allowed` when the
user has no account that may log in; `Connection closed by authenticating user ... [preauth]` when
it has. `error: PAM: ...` is one, too: FreeBSD and macOS write it for each refused answer, and log
no `Failed keyboard-interactive/pam` before the third. `maximum authentication attempts exceeded`
stands for all the attempts that one connection may make (MaxAuthTries, six unless configured),
whether they were logged one by one or not: it is `ssh_attempts_exceeded`, and so is `drop
connection ... penalty: ...`, a client that sshd turns away for its failures (PerSourcePenalties).
`banner exchange: ... invalid format`, in old servers `Bad protocol version identification`, is a
client that speaks no ssh: `ssh_protocol_error`, and so is one that has no cipher in common with the
server (`Unable to negotiate`) or no version (`Protocol major versions differ`), or that let its
time run out before it named a user (`Timeout before authentication`). Rules count one action or
another, never a sum in which the same attempt is twice.
`Failed none` is how every client asks what it may try, and no attempt.
Where PAM logs under a name of its own, as `sshd(pam_unix)`, that is often in another file than
what sshd says: its failures are `ssh_connection`, too, and name no user who has no account.

Dropbear, the server of routers, has sentences of its own for the same.

Source: https://github.com/openssh/openssh-portable, auth.c (auth_log), auth2.c, packet.c;
https://github.com/mkj/dropbear, src/svr-auth*.c
"""

import re

from tasks.collect.formats.fields import HOST_NAME, Parsed, read_address, read_text
from tasks.model.events import Event, EventCategory, Unparsed

# User names are attackers' text and may hold ` from 192.0.2.1 port 22`: `.*` is greedy, so the
# address is the last one, which sshd wrote.
_LOGIN = re.compile(
    rb"(Failed|Accepted) (?!none )\S+ for ((?:invalid|illegal) user )?(.*) from (\S+) port \d+"
    rb"(?: ssh\d?)?(: .*)?",
    re.DOTALL,
)
# What is said of a key after the client names the certificate, which is a client's text, too.
_EARLIER_CLIENT = re.compile(rb" from \S+ port \d+(?: ssh\d?)?: ")
_MANY_CLIENTS = Unparsed("it names more than one client, and a client may have written all but one")
_CONNECTIONS = tuple(
    (action, re.compile(pattern, re.DOTALL))
    for action, pattern in (
        ("ssh_connection", rb"(I(?:nvalid|llegal) user )(.*) from (\S+?)(?: port \d+)?"),
        ("ssh_connection", rb"User ()(.*) from (\S+) not allowed because .*"),
        (
            "ssh_connection",
            (
                rb"(?:Connection (?:closed|reset) by|Disconnected from) authenticating user ()"
                rb"(.*) (\S+) port \d+ \[preauth\]"
            ),
        ),
        (
            "ssh_connection",
            (
                rb"error: PAM: [A-Za-z ]{1,99} for ((?:illegal|invalid) user )?"
                rb"(.*) from ([0-9A-Fa-f.:]+)(?: via \S+)? ?"
            ),
        ),
        (
            "ssh_attempts_exceeded",
            (
                rb"drop connection #\d+ from ()()\[(\S+)\]:\d+ on \[\S+\]:\d+ "
                rb"penalty: (?:failed|exceeded|caused|violated|refused) .*"
            ),
        ),
        (
            "ssh_attempts_exceeded",
            (
                rb"error: maximum authentication attempts exceeded for ((?:invalid user )?)"
                rb"(.*) from (\S+) port \d+.*"
            ),
        ),
        (
            "ssh_protocol_error",
            rb"banner exchange: Connection from ()()(\S+) port \d+: invalid format",
        ),
        (
            "ssh_protocol_error",
            (
                rb"(?:fatal: )?(?:Unable to negotiate with|Protocol major versions differ for) ()()"
                rb"(\S+?)(?: port \d+)?: .*"
            ),
        ),
        (
            "ssh_protocol_error",
            rb"Bad protocol version identification ()()'.*' from (\S+?)(?: port \d+)?",
        ),
        (
            "ssh_protocol_error",
            (
                rb"(?:fatal: )?Timeout before authentication for (?:connection from )?()()(\S+)"
                rb"(?: port \d+| to \S+, pid = \d+)"
            ),
        ),
    )
)
_DROPBEAR = tuple(
    (action, outcome, re.compile(pattern + rb" from (\S+):\d+", re.DOTALL))
    for action, outcome, pattern in (
        ("ssh_login", "failure", rb"[Bb]ad (?:PAM )?password attempt for ()'(.*)'"),
        (
            "ssh_login",
            "success",
            rb"(?:P\w+|PAM password) auth succeeded for ()'(.*)'(?: with [^']*)?",
        ),
        ("ssh_connection", None, rb"[Ll]ogin attempt for (nonexistent) user(.*)"),
    )
)
_PAM = re.compile(
    rb"authentication failure; logname=\S* uid=\d+ euid=\d+ tty=\S* ruser=\S* "
    rb"rhost=(\S+)(?: +user=(.*\S))? *",
    re.DOTALL,
)
_REPEATED = re.compile(rb"message repeated (\d{1,9}) times: \[ ?(.*)\]", re.DOTALL)
_REPEATED_AT_MOST = 1000
_REPEATED_TOO_OFTEN = Unparsed(
    f"it claims more than {_REPEATED_AT_MOST} repetitions, more than one connection can log"
)


def parse_sshd(message: bytes, timestamp: int) -> Parsed:
    """What the *message* of sshd says about a login; nothing for its many other messages."""
    repeated = _REPEATED.fullmatch(message)
    if repeated is None:
        return _parse_message(message, timestamp)
    count = int(repeated[1])
    if count > _REPEATED_AT_MOST:
        return _REPEATED_TOO_OFTEN
    parsed = _parse_message(repeated[2], timestamp)
    return parsed if isinstance(parsed, Unparsed) else parsed * count


def parse_pam(message: bytes, timestamp: int) -> Parsed:
    """What PAM says of a login through sshd; nothing for its other messages."""
    match = _PAM.fullmatch(message)
    if match is None:
        return ()
    peer, user = match.groups()
    invalid = b"" if user is None else None
    return _make_event(timestamp, peer, user or b"", "ssh_connection", None, invalid)


def _parse_message(message: bytes, timestamp: int) -> Parsed:
    login = _LOGIN.fullmatch(message)
    if login is not None:
        if login[5] is not None and _EARLIER_CLIENT.search(login[0], 0, login.end(4)):
            return _MANY_CLIENTS
        outcome = "success" if login[1] == b"Accepted" else "failure"
        return _make_event(timestamp, login[4], login[3], "ssh_login", outcome, login[2])
    for action, pattern in _CONNECTIONS:
        connection = pattern.fullmatch(message)
        if connection is not None:
            return _make_event(
                timestamp, connection[3], connection[2], action, None, connection[1] or None
            )
    for action, judged, pattern in _DROPBEAR:
        said = pattern.fullmatch(message)
        if said is not None:
            return _make_event(timestamp, said[3], said[2], action, judged, said[1] or None)
    return ()


def _make_event(
    timestamp: int,
    peer: bytes,
    user: bytes,
    action: str,
    outcome: str | None,
    invalid: bytes | None,
) -> Parsed:
    if peer == b"UNKNOWN":  # the connection was gone when sshd looked
        return ()
    source_ip = read_address(peer)
    if source_ip is None:
        return HOST_NAME
    event = Event(
        timestamp=timestamp,
        source_ip=source_ip,
        category=EventCategory.AUTHENTICATION,
        event_action=action,
        event_outcome=outcome,
        user_name=read_text(user),
        is_invalid_user=invalid is not None,
    )
    return (event,)
