"""sshd's lines in auth.log: one attempt is one event, and the client is who connected."""

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.model.events import Event, EventCategory, Unparsed

CLOCK = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
TIMESTAMP = int(datetime(2026, 2, 22, 22, 18, 33, tzinfo=UTC).timestamp())


def parse(message: str, prefix: str = "Feb 22 22:18:33 web-01 sshd[123]: ", clock=CLOCK):
    return parse_line((prefix + message).encode(), clock)


def test_failed_login():
    """A refused password is a failed login of the account that was tried."""
    assert parse("Failed password for invalid user admin from 192.0.2.7 port 56789 ssh2") == (
        Event(
            timestamp=TIMESTAMP,
            source_ip="192.0.2.7",
            category=EventCategory.AUTHENTICATION,
            event_action="ssh_login",
            event_outcome="failure",
            user_name="admin",
            is_invalid_user=True,
        ),
    )


@pytest.mark.parametrize(
    "message",
    [
        "Accepted password for developer from 192.0.2.7 port 54321 ssh2",
        "Accepted publickey for developer from 192.0.2.7 port 5 ssh2: ED25519 SHA256:b7bd55c11",
        "Accepted keyboard-interactive/pam for developer from 192.0.2.7 port 5 ssh2",
    ],
)
def test_accepted_login(message):
    """An accepted credential is a successful login."""
    (event,) = parse(message)

    assert (event.event_outcome, event.user_name, event.source_ip) == (
        "success",
        "developer",
        "192.0.2.7",
    )


@pytest.mark.parametrize(
    ("said", "user", "is_invalid"),
    [
        ("rhost=192.0.2.7 ", None, True),
        ("rhost=192.0.2.7  user=root", "root", False),
        ("rhost=192.0.2.7  user=x rhost=198.51.100.9", "x rhost=198.51.100.9", False),
    ],
)
def test_pam_under_its_own_name(said, user, is_invalid):
    """Old systems log what PAM says apart from what sshd says."""
    prefix = "Feb 22 22:18:33 combo sshd(pam_unix)[19939]: "
    failure = "authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= "
    (event,) = parse(failure + said, prefix)

    assert (event.source_ip, event.event_action, event.event_outcome) == (
        "192.0.2.7",
        "ssh_connection",
        None,
    )
    assert (event.user_name, event.is_invalid_user) == (user, is_invalid)
    assert parse("check pass; user unknown", prefix) == ()
    assert parse(failure + said, prefix.replace("sshd", "su")) == ()


def test_process_without_a_colon():
    """Some daemons leave the colon after the process id out."""
    (event,) = parse(
        "Failed password for root from 192.0.2.7 port 5 ssh2", "Feb 22 22:18:33 web-01 sshd[123] "
    )

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")


@pytest.mark.parametrize(
    "message",
    [
        "Failed password for root from 192.0.2.7 port 5 ssh2",
        "Failed publickey for root from 192.0.2.7 port 5 ssh2: RSA SHA256:aC2UQe4piB",
        "Failed keyboard-interactive/pam for root from 192.0.2.7 port 5 ssh2",
    ],
)
def test_methods(message):
    """Every method of logging in can fail."""
    (event,) = parse(message)

    assert (event.event_action, event.event_outcome) == ("ssh_login", "failure")
    assert not event.is_invalid_user


@pytest.mark.parametrize(
    "user",
    [
        "root from 198.51.100.9 port 22 ssh2",
        "root from 198.51.100.9 port 22",
        " from 198.51.100.9",
        "a b\\tc",
        "x from 198.51.100.9 port 22 ssh2: y",
    ],
)
def test_user_names_that_name_an_address(user):
    """An attacker cannot accuse another address by a user name."""
    for message in (
        f"Failed password for invalid user {user} from 192.0.2.7 port 5 ssh2",
        f"Invalid user {user} from 192.0.2.7 port 5",
        f"Invalid user {user} from 192.0.2.7",
    ):
        (event,) = parse(message)

        assert event.source_ip == "192.0.2.7"


@pytest.mark.parametrize(
    "message",
    [
        (
            "Failed publickey for root from 192.0.2.7 port 5 ssh2: RSA-CERT SHA256:aC2U ID x from "
            "198.51.100.9 port 22 ssh2: y (serial 0) CA RSA SHA256:bD3V"
        ),
        (
            'Failed hostbased for root from 192.0.2.7 port 5 ssh2: RSA SHA256:aC2U, client user "x from '
            '198.51.100.9 port 22 ssh2: y", client host "h"'
        ),
    ],
)
def test_certificates_that_name_an_address(message):
    """Nor by what he says of his key; a line that names two clients accuses neither."""
    assert isinstance(parse(message), Unparsed)


def test_lines_that_begin_with_a_time_only():
    """A time and no program is no syslog line: any program may write that, and it is reported."""
    assert isinstance(parse("GET /x from 192.0.2.7", "2026-02-22T22:18:33Z INFO "), Unparsed)


@pytest.mark.parametrize(
    ("message", "user", "is_invalid"),
    [
        ("Invalid user oracle from 192.0.2.7 port 5", "oracle", True),
        ("Invalid user  from 192.0.2.7 port 5", None, True),
        ("User root from 192.0.2.7 not allowed because not listed in AllowUsers", "root", False),
        ("Connection closed by authenticating user root 192.0.2.7 port 5 [preauth]", "root", False),
        ("Connection reset by authenticating user root 192.0.2.7 port 5 [preauth]", "root", False),
        ("Disconnected from authenticating user root 192.0.2.7 port 5 [preauth]", "root", False),
    ],
)
def test_connections_without_login(message, user, is_invalid):
    """A server that takes keys only still shows who tried which account, as another action."""
    (event,) = parse(message)

    assert (event.event_action, event.event_outcome) == ("ssh_connection", None)
    assert (event.source_ip, event.user_name) == ("192.0.2.7", user)
    assert event.is_invalid_user == is_invalid


def test_protocol_errors():
    """Who does not speak ssh is told by the line that names the client, and only by that."""
    named = "banner exchange: Connection from 192.0.2.7 port 34388: invalid format"
    (event,) = parse(named)

    assert (event.event_action, event.event_outcome) == ("ssh_protocol_error", None)
    assert (event.source_ip, event.user_name) == ("192.0.2.7", None)
    assert parse("error: kex_exchange_identification: banner line too long") == ()
    assert parse(f"{named} from 198.51.100.1 port 5: invalid format") == ()


@pytest.mark.parametrize("sent", ["GET / HTTP/1.1", "", "' from 198.51.100.1 port 5", "\\003"])
@pytest.mark.parametrize("end", ["192.0.2.7 port 34388", "192.0.2.7"])
def test_protocol_errors_of_old_servers(sent, end):
    """They quote what was sent, which may look like the end of the line."""
    (event,) = parse(f"Bad protocol version identification '{sent}' from {end}")

    assert (event.event_action, event.source_ip) == ("ssh_protocol_error", "192.0.2.7")


@pytest.mark.parametrize(
    "message",
    [
        "fatal: Timeout before authentication for 192.0.2.7 port 34388",
        "Timeout before authentication for connection from 192.0.2.7 to 198.51.100.1, pid = 42",
        "Unable to negotiate with 192.0.2.7 port 5: no matching cipher. Their x from 10.0.0.1 port 6",
        "Unable to negotiate with 192.0.2.7: no matching cipher found. Their offer: 3des-cbc",
        "fatal: Unable to negotiate with 192.0.2.7 port 5: no matching cipher found. Their offer: x",
        "Protocol major versions differ for 192.0.2.7 port 5: SSH-2.0-OpenSSH_9.2 vs. SSH-1.5-x",
    ],
)
def test_connections_that_get_to_no_user(message):
    """A connection that named no user in time, or shares no cipher, spoke no ssh."""
    (event,) = parse(message)

    assert (event.event_action, event.source_ip) == ("ssh_protocol_error", "192.0.2.7")


@pytest.mark.parametrize("end", ["", " ", " via 198.51.100.1"])
@pytest.mark.parametrize("who", ["x from 198.51.100.9", "root"])
@pytest.mark.parametrize("said", ["Authentication failure", "authentication error"])
def test_refused_answers_to_pam(said, who, end):
    """What FreeBSD and macOS log for an answer is a connection that named a user."""
    (event,) = parse(f"error: PAM: {said} for {who} from 192.0.2.7{end}")
    (unknown,) = parse(f"error: PAM: {said} for illegal user {who} from 192.0.2.7{end}")

    assert (event.event_action, event.event_outcome) == ("ssh_connection", None)
    assert (event.source_ip, event.user_name) == ("192.0.2.7", who)
    assert (event.is_invalid_user, unknown.is_invalid_user) == (False, True)


@pytest.mark.parametrize("reason", ["failed authentication", "exceeded LoginGraceTime"])
@pytest.mark.parametrize("peer", ["192.0.2.7", "2001:db8::7"])
def test_clients_turned_away_for_their_failures(peer, reason):
    """A connection refused by a penalty is one more of a client that used up its attempts."""
    (event,) = parse(f"drop connection #0 from [{peer}]:5 on [10.0.0.1]:22 penalty: {reason}")

    assert (event.event_action, event.source_ip) == ("ssh_attempts_exceeded", peer)
    assert event.is_invalid_user is False


@pytest.mark.parametrize(
    ("who", "user", "is_invalid"),
    [
        ("root", "root", False),
        ("invalid user oracle", "oracle", True),
        ("invalid user x from 198.51.100.9 port 1", "x from 198.51.100.9 port 1", True),
    ],
)
@pytest.mark.parametrize("end", ["", " ssh2 [preauth]"])
def test_attempts_exceeded(who, user, is_invalid, end):
    """A connection that used up its attempts is an action of its own, so that none counts twice."""
    message = f"error: maximum authentication attempts exceeded for {who} from 192.0.2.7 port 5"
    (event,) = parse(message + end)

    assert (event.event_action, event.event_outcome) == ("ssh_attempts_exceeded", None)
    assert (event.source_ip, event.user_name) == ("192.0.2.7", user)
    assert event.is_invalid_user == is_invalid


@pytest.mark.parametrize(
    "message",
    [
        "Failed none for invalid user admin from 192.0.2.7 port 5 ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 rhost=192.0.2.7  user=root",
        "PAM 5 more authentication failures; logname= uid=0 euid=0 rhost=192.0.2.7  user=root",
        "Connection closed by invalid user oracle 192.0.2.7 port 5 [preauth]",
        "Connection closed by 192.0.2.7 port 5 [preauth]",
        "Disconnecting authenticating user root 192.0.2.7 port 5: Too many failures [preauth]",
        "Received disconnect from 192.0.2.7 port 5:11: Bye Bye [preauth]",
        "Server listening on 0.0.0.0 port 22.",
        "Connection closed by authenticating user root UNKNOWN port 65535 [preauth]",
        "Disconnected from UNKNOWN port 65535",
        "Did not receive identification string from 192.0.2.7 port 5",
        "drop connection #0 from [192.0.2.7]:5 on [10.0.0.1]:22 past MaxStartups",
        "drop connection #0 from [192.0.2.7]:5 on [10.0.0.1]:22 penalty: no authentication",
        "",
    ],
)
def test_lines_that_repeat_or_say_nothing(message):
    """What tells of an attempt a second time does not count a second time."""
    assert parse(message) == ()


@pytest.mark.parametrize("user", ["root", "x' from 198.51.100.9:1", ""])
@pytest.mark.parametrize("peer", ["192.0.2.7", "::ffff:192.0.2.7"])
@pytest.mark.parametrize(
    ("message", "action", "outcome"),
    [
        ("Bad password attempt for '{user}' from {peer}:48629", "ssh_login", "failure"),
        ("bad password attempt for '{user}' from {peer}:48629", "ssh_login", "failure"),
        ("Password auth succeeded for '{user}' from {peer}:5", "ssh_login", "success"),
        ("Pubkey auth succeeded for '{user}' with key x from {peer}:5", "ssh_login", "success"),
        ("Login attempt for nonexistent user from {peer}:4328", "ssh_connection", None),
    ],
)
def test_dropbear(message, action, outcome, peer, user):
    """The ssh server of routers has other sentences for the same, and the last address counts."""
    (event,) = parse(
        message.format(user=user, peer=peer), "Sun Feb 22 22:18:33 2026 authpriv.warn dropbear[1]: "
    )

    assert (event.timestamp, event.source_ip) == (TIMESTAMP, "192.0.2.7")
    assert (event.event_action, event.event_outcome) == (action, outcome)
    assert event.is_invalid_user == (action == "ssh_connection")


def test_dropbear_says_it_again():
    """How many passwords it refused in all repeats what it said of each."""
    end = "Exit before auth from <192.0.2.7:5>: (user 'root', 10 fails): Max auth tries reached"

    assert parse(end, "Feb 22 22:18:33 router dropbear[1]: ") == ()


@pytest.mark.parametrize(
    "prefix", ["Feb 22 2026 22:18:33 h ", "Sun Feb 22 22:18:33 2026 auth.info "]
)
def test_user_names_that_look_like_access_lines(prefix):
    """Nor does one hide a line by what looks like a web server's, whatever the time is like."""
    user = 'x [22/Feb/2026:22:10:01 +0000] "GET / HTTP/1.1" 200 5'
    message = f"sshd[1]: Failed password for invalid user {user} from 192.0.2.7 port 5 ssh2"
    (event,) = parse(message, prefix)

    assert (event.source_ip, event.user_name) == ("192.0.2.7", user)


@pytest.mark.parametrize(
    "line",
    [
        "2026-02-22 22:18:33 INFO app: Failed password for root from 192.0.2.7 port 5 ssh2",
        "2026-02-22 22:18:33,120 ERROR [app] 192.0.2.7 port 5",
    ],
)
def test_other_programs_that_begin_with_a_time(line):
    """What is no syslog line is reported, and not passed over as another program's."""
    assert isinstance(parse(line, ""), Unparsed)


@pytest.mark.parametrize("program", ["sshd-session[9]", "sshd", "sshd-auth[9]"])
def test_programs(program):
    """OpenSSH 9.8 split sshd into several programs."""
    parsed = parse(
        "Failed password for root from 192.0.2.7 port 5 ssh2", f"Feb 22 22:18:33 web-01 {program}: "
    )

    assert len(parsed) == 1


@pytest.mark.parametrize("program", ["CRON[1]", "sudo", "my-app[2]", "notsshd[1]"])
def test_other_programs(program):
    """What another program writes about a login is not sshd's word."""
    parsed = parse(
        "Failed password for root from 192.0.2.7 port 5 ssh2", f"Feb 22 22:18:33 web-01 {program}: "
    )

    assert parsed == ()


def test_repeated_message():
    """A line that stands for several counts as often."""
    message = "message repeated 5 times: [ Failed password for root from 192.0.2.7 port 5 ssh2]"

    assert len(parse(message)) == 5


def test_repeated_too_often():
    """A line cannot claim a million attempts."""
    message = "message repeated 9999999 times: [ Failed password for root from 192.0.2.7 port 5]"

    assert isinstance(parse(message), Unparsed)


def test_last_message_repeated():
    """A repetition of an unknown line is reported, not guessed."""
    parsed = parse("last message repeated 3 times", "Feb 22 22:18:33 web-01 ")

    assert isinstance(parsed, Unparsed)


def test_host_names():
    """With UseDNS the client names itself, so its line is not taken."""
    parsed = parse("Failed password for root from evil.example.com port 5 ssh2")

    assert isinstance(parsed, Unparsed)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("2026-02-22T22:18:33.123456+03:00 web-01 sshd[1]: ", TIMESTAMP - 3 * 3600),
        ("2026-02-22T22:18:33Z web-01 sshd[1]: ", TIMESTAMP),
        ("2026-02-22T22:18:33 web-01 sshd[1]: ", TIMESTAMP),
        ("<38>Feb 22 22:18:33 web-01 sshd[1]: ", TIMESTAMP),
        ("Feb 22 22:18:33 alpine auth.info sshd[1]: ", TIMESTAMP),
        ("Feb 22 22:18:33 router authpriv.warn sshd-session[1]: ", TIMESTAMP),
        ("Feb 22 22:18:33 sshd[1]: ", TIMESTAMP),
        ("Feb 22 22:18:33 solaris sshd[1]: [ID 800047 auth.info] ", TIMESTAMP),
        ("2026-02-22 22:18:33.801612-0700  localhost sshd[1]: ", TIMESTAMP + 7 * 3600),
        ("2026-02-22 22:18:33 web-01 sshd[1]: ", TIMESTAMP),
        ("2026-02-22 22:18:33,123 sshd[1]: ", TIMESTAMP),
        ("Feb 22 2026 22:18:33 web-01 sshd[1]: ", TIMESTAMP),
        ("<38>Sun Feb 22 22:18:33 2026 auth.info sshd[1]: ", TIMESTAMP),
        ("Sun Feb 22 22:18:33 2026 authpriv.info sshd[1]: ", TIMESTAMP),
        ("Feb 22 22:18:33 <4.6> freebsd sshd[1]: ", TIMESTAMP),
        ("Feb 22 22:18:33 <auth.info> freebsd sshd[1]: ", TIMESTAMP),
        ("Feb 22 22:18:33 [sshd] ", TIMESTAMP),
        ("Feb 22 22:18:33 gentoo [sshd]: ", TIMESTAMP),
        ("Feb 22 22:18:33 web-01  sshd[1]:  ", TIMESTAMP),
    ],
)
def test_prefixes(prefix, expected):
    """RFC 3164 and ISO 8601 say the same."""
    (event,) = parse("Failed password for root from 192.0.2.7 port 5 ssh2", prefix)

    assert event.timestamp == expected


@pytest.mark.parametrize(
    ("modified_at", "stated", "expected"),
    [
        ("2026-02-23T00:00:00Z", "Feb 22 22:18:33", "2026-02-22T22:18:33Z"),
        ("2026-01-01T01:00:00Z", "Dec 31 23:59:59", "2025-12-31T23:59:59Z"),
        ("2025-12-31T23:00:00Z", "Jan  1 00:00:05", "2026-01-01T00:00:05Z"),
        ("2026-02-23T00:00:00Z", "Feb 25 00:00:00", "2025-02-25T00:00:00Z"),
        ("2026-02-23T00:00:00Z", "Feb 29 10:00:00", "2024-02-29T10:00:00Z"),
        ("2026-02-23T00:00:00Z", "Feb  7 10:00:00", "2026-02-07T10:00:00Z"),
        ("2026-02-23T00:00:00Z", "Feb 7 10:00:00", "2026-02-07T10:00:00Z"),
    ],
)
def test_year(modified_at, stated, expected):
    """A year-less line is in the latest year that its object's time allows."""
    message = "sshd[1]: Failed password for root from 192.0.2.7 port 5 ssh2"
    (event,) = parse(message, f"{stated} web-01 ", ObjectClock(datetime.fromisoformat(modified_at)))

    assert event.timestamp == int(datetime.fromisoformat(expected).timestamp())


def test_zone():
    """Times without an offset are in the zone of the log."""
    clock = ObjectClock(datetime(2026, 7, 23, tzinfo=UTC), ZoneInfo("Europe/Rome"))
    message = "sshd[1]: Failed password for root from 192.0.2.7 port 5 ssh2"

    (summer,) = parse(message, "Jul 22 22:18:33 web-01 ", clock)
    (winter,) = parse(message, "Feb 22 22:18:33 web-01 ", clock)

    assert datetime.fromtimestamp(summer.timestamp, UTC).hour == 20
    assert datetime.fromtimestamp(winter.timestamp, UTC).hour == 21


@pytest.mark.parametrize("stated", ["Feb 30 22:18:33", "Foo 22 22:18:33", "Feb 22 25:18:33"])
def test_times_that_do_not_exist(stated):
    """A line without a real time is not parsed, and says why."""
    message = "sshd[1]: Failed password for root from 192.0.2.7 port 5 ssh2"
    parsed = parse(message, f"{stated} web-01 ")

    assert isinstance(parsed, Unparsed)
    assert "time" in parsed.reason


def test_quadratic_bait():
    """What a long line takes grows as it does, wherever the reason of PAM may end."""
    started = time.process_time()
    parse(f"error: PAM: x{' for' * 15_000}!")

    assert time.process_time() - started < 1


def test_web_server_through_syslog():
    """An access line that came through syslog is that access line."""
    access = '192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "GET /x HTTP/1.1" 200 1 "-" "curl"'
    (event,) = parse(access, "Feb 22 22:18:33 web-01 nginx: ")

    assert (event.source_ip, event.url_path) == ("192.0.2.7", "/x")


@pytest.mark.parametrize("level", ["ERROR", "info", "WARNING"])
def test_what_a_program_logs_of_its_clients_is_no_login(level):
    """A text that begins like sshd's, in the log of a program that writes the time alike."""
    message = "sshd[1]: Accepted password for root from 192.0.2.7 port 5 ssh2"

    assert len(parse(message, "2026-02-22 22:18:33 web-01 ")) == 1
    assert isinstance(parse(message, f"2026-02-22 22:18:33 {level} "), Unparsed)
