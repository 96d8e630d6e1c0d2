"""The Telegram channel against a server that answers as the Bot API does."""

import logging
import socket
import time
import traceback

import pytest
from pydantic import SecretStr

from tasks.model.alerts import Told
from tasks.model.errors import (
    ConfigurationError,
    MiddlewatchError,
    PermanentError,
    TransientError,
)
from tasks.model.incidents import Severity
from tasks.notify import telegram as adapter
from tasks.notify.message import Message, RunLink, incident_message
from tasks.notify.telegram import TelegramChannel
from tests.conclusions import CONCLUSION, conclusion
from tests.servers.telegram import (
    TelegramServer,
    bad_gateway,
    blocked,
    cannot_parse,
    chat_not_found,
    drop_connection,
    garbage,
    migrated,
    slow,
    too_many_requests,
    trickled,
    unauthorized,
)

MESSAGE = incident_message(CONCLUSION, RunLink("tidy-fox", "https://prefect.example.org/1"))


@pytest.fixture
def server():
    with TelegramServer() as telegram:
        yield telegram


@pytest.fixture
def naps():
    """Seconds that the channel slept."""
    return []


@pytest.fixture
def channel(server, naps):
    return TelegramChannel(server.url, SecretStr(server.token), "-1001", naps.append)


def test_message_arrives_formatted(server, channel):
    """An alert arrives in the chat with its markup, and its id there is returned."""
    message_id = channel.send(MESSAGE)

    (seen,) = server.messages
    assert seen.message_id == message_id
    assert seen.chat_id == "-1001"
    assert seen.text.startswith("🔴 HIGH: SQL injection from 198.51.100.7\n")
    assert {e.type for e in seen.entities} == {"bold", "code", "text_link"}


def test_nothing_is_fetched_for_a_preview(server, channel):
    """Telegram is told not to fetch the links of a message."""
    channel.send(MESSAGE)

    assert server.requests[0].body["link_preview_options"] == {"is_disabled": True}


@pytest.mark.parametrize(
    ("severity", "is_silent"),
    [(Severity.LOW, True), (Severity.MEDIUM, True), (Severity.HIGH, False)],
)
def test_only_high_severity_makes_a_sound(server, channel, severity, is_silent):
    """Below high severity the phone stays silent."""
    channel.send(incident_message(conclusion(severity=severity), RunLink("tidy-fox")))

    assert server.messages[0].is_silent is is_silent


def test_retry_after_is_honoured_once(server, channel, naps):
    """A 429 is waited out as long as Telegram asks, then the message arrives."""
    server.script(too_many_requests(retry_after=7))

    channel.send(MESSAGE)

    assert naps == [7]
    assert len(server.messages) == 1


def test_second_429_is_left_to_the_caller(server, channel, naps):
    """After one wait the caller learns how long Telegram asks to wait."""
    server.script(too_many_requests(3), too_many_requests(11))

    with pytest.raises(TransientError, match="429") as caught:
        channel.send(MESSAGE)

    assert naps == [3]
    assert caught.value.retry_after_seconds == 11
    assert not caught.value.is_ambiguous


def test_long_retry_after_is_not_waited_for(server, channel, naps):
    """More than a minute is not slept away inside a call."""
    server.script(too_many_requests(retry_after=61))

    with pytest.raises(TransientError) as caught:
        channel.send(MESSAGE)

    assert naps == []
    assert caught.value.retry_after_seconds == 61


def test_unparsable_markup_is_sent_as_plain_text(server, channel):
    """When Telegram cannot parse the markup, the same text arrives without it, all as code."""
    server.script(cannot_parse())

    channel.send(MESSAGE)

    (seen,) = server.messages
    assert "parse_mode" not in server.requests[1].body
    assert seen.text == MESSAGE.plain
    assert [e.type for e in seen.entities] == ["pre"]


def test_plain_text_is_tried_once(server, channel):
    """A server that always complains about markup is asked twice, not for ever."""
    server.always(cannot_parse())

    with pytest.raises(PermanentError, match="can't parse entities"):
        channel.send(MESSAGE)

    assert len(server.requests) == 2


def test_broken_markup_does_not_lose_the_alert(server, channel):
    """Markup that this server itself cannot parse falls back, too: the server is no pushover."""
    channel.send(Message("<b>attack<i></b>", "attack", Severity.HIGH))

    assert [m.text for m in server.messages] == ["attack"]


def test_migrated_group_is_followed(server, channel):
    """A group that became a supergroup gets this message and the next ones under its new id."""
    server.script(migrated(-100777))

    channel.send(MESSAGE)
    channel.send(MESSAGE)

    assert [str(r.body["chat_id"]) for r in server.requests] == ["-1001", "-100777", "-100777"]
    assert [m.chat_id for m in server.messages] == ["-100777", "-100777"]


def told(message_id: int, chat_id: str | None = "-1001") -> Told:
    return Told(str(message_id), chat_id, CONCLUSION)


def test_what_follows_a_message_is_a_reply_to_it(server, channel):
    """In the chat it stands below what was told before."""
    first = channel.send(MESSAGE)

    channel.send(MESSAGE, told(first))

    assert [m.reply_to for m in server.messages] == [None, first]


def test_a_message_that_was_deleted_keeps_none_back(server, channel):
    """What follows it arrives on its own."""
    first = channel.send(MESSAGE)
    server.delete(first)

    channel.send(MESSAGE, told(first))

    assert [m.reply_to for m in server.messages] == [None]


@pytest.mark.parametrize("chat_id", ["-1002", None])
def test_a_message_of_another_chat_is_no_message_of_this_one(server, channel, chat_id):
    """Its id may be anybody's here."""
    channel.send(MESSAGE, told(channel.send(MESSAGE), chat_id))

    assert "reply_parameters" not in server.requests[1].body


def test_the_supergroup_of_a_group_counts_its_messages_anew(server, channel):
    """A reply follows the group, but not to whatever has the same id there."""
    first = channel.send(MESSAGE)
    server.script(migrated(-100777))

    second = channel.send(MESSAGE, told(first))
    channel.send(MESSAGE, told(second, channel.chat_id))

    assert "reply_parameters" in server.requests[1].body
    assert "reply_parameters" not in server.requests[2].body
    assert [m.reply_to for m in server.messages] == [None, None, second]


def test_all_remedies_in_one_call(server, channel, naps):
    """Migration, waiting and plain text can follow each other in one call."""
    server.script(migrated(-100777), too_many_requests(2), cannot_parse())

    channel.send(MESSAGE)

    assert naps == [2]
    assert [(m.chat_id, m.text) for m in server.messages] == [("-100777", MESSAGE.plain)]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (chat_not_found(), "chat not found; check TELEGRAM_CHAT_ID"),
        (unauthorized(), "Unauthorized; set TELEGRAM_BOT_TOKEN"),
        (blocked(), "bot was blocked by the user; let the bot into the chat"),
    ],
)
def test_refusals_are_permanent_and_say_what_to_do(server, channel, behaviour, words):
    """What another attempt cannot change is permanent, and names what to change."""
    server.script(behaviour)

    with pytest.raises(PermanentError, match=words):
        channel.send(MESSAGE)

    assert len(server.requests) == 1


def test_wrong_token_is_permanent(server):
    """A token that Telegram does not know is refused for good."""
    with pytest.raises(PermanentError, match="TELEGRAM_BOT_TOKEN"):
        TelegramChannel(server.url, SecretStr("1:wrong"), "-1001").send(MESSAGE)


def test_wrong_path_is_permanent(server):
    """A URL that is not the Bot API's is named."""
    channel = TelegramChannel(f"{server.url}/x", SecretStr(server.token), "-1001")

    with pytest.raises(PermanentError, match="TELEGRAM_API_URL"):
        channel.send(MESSAGE)


def test_gateway_failure_is_transient(server, channel):
    """A 502 in HTML is worth another attempt."""
    server.script(bad_gateway())

    with pytest.raises(TransientError, match="502") as caught:
        channel.send(MESSAGE)

    assert not caught.value.is_ambiguous


def test_dropped_connection_is_ambiguous(server, channel):
    """When the answer is lost the error says that the message may have been delivered."""
    server.script(drop_connection())

    with pytest.raises(TransientError, match="may or may not") as caught:
        channel.send(MESSAGE)

    assert caught.value.is_ambiguous
    assert len(server.requests) == 1
    assert len(server.messages) == 1


def test_late_answer_is_ambiguous(server, channel, monkeypatch):
    """A server that answers too late has the message; it is not sent again by itself."""
    monkeypatch.setattr(adapter, "_TIMEOUT_SECONDS", (5, 0.2))
    server.script(slow(1))

    with pytest.raises(TransientError, match="ReadTimeout") as caught:
        channel.send(MESSAGE)

    assert caught.value.is_ambiguous
    assert len(server.messages) == 1


def test_an_answer_that_trickles_is_given_up_in_time(server, channel, monkeypatch):
    """Every byte comes within the time-out of the socket, and all of them never do."""
    monkeypatch.setattr(adapter, "_TIMEOUT_SECONDS", (0.5, 0.5))
    server.script(trickled())
    began_at = time.monotonic()

    with pytest.raises(TransientError, match="may or may not") as caught:
        channel.send(MESSAGE)

    assert caught.value.is_ambiguous
    assert time.monotonic() - began_at < 3


def test_unreachable_server_is_not_ambiguous():
    """Where nobody listens nothing was sent, and the error says so."""
    channel = TelegramChannel(closed_port(), SecretStr("1:secret"), "-1001")

    with pytest.raises(TransientError, match="could not be reached") as caught:
        channel.send(MESSAGE)

    assert not caught.value.is_ambiguous


def test_a_url_that_leads_nowhere_is_not_taken_for_a_delivery():
    """Nothing was sent, so the next run need not wait for fear of repeating it."""
    channel = TelegramChannel("http://127.0.0.1:99999", SecretStr("1:secret"), "-1001")

    with pytest.raises(TransientError, match="TELEGRAM_API_URL") as caught:
        channel.send(MESSAGE)

    assert not caught.value.is_ambiguous


def test_captive_portal_is_not_taken_for_a_delivery(server, channel):
    """A friendly page with status 200 is no delivery."""
    server.script(garbage())

    with pytest.raises(TransientError, match="not the Bot API's"):
        channel.send(MESSAGE)


@pytest.mark.parametrize(
    ("token", "chat", "variable"),
    [(" ", "1", "TELEGRAM_BOT_TOKEN"), ("1:x", "", "TELEGRAM_CHAT_ID")],
)
def test_unusable_settings_are_named(token, chat, variable):
    """What cannot work is refused before the first call, by the name of its variable."""
    with pytest.raises(ConfigurationError, match=variable):
        TelegramChannel("https://api.telegram.org", SecretStr(token), chat)


FAILURES = {
    "400": chat_not_found(),
    "401": unauthorized(),
    "403": blocked(),
    "429": too_many_requests(99),
    "502": bad_gateway(),
    "200": garbage(),
    "dropped": drop_connection(),
    "late": slow(1),
}


@pytest.mark.parametrize("failure", [*FAILURES, "refused", "unresolved", "mirrored"])
def test_the_token_is_nowhere(server, channel, failure, monkeypatch, caplog):
    """Whatever fails, the token is in no exception, no context of it, no local and no record."""
    monkeypatch.setattr(adapter, "_TIMEOUT_SECONDS", (5, 0.2))
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3")  # others may have silenced it
    if failure == "refused":
        channel.api_url = closed_port()
    elif failure == "unresolved":
        channel.api_url = "http://telegram.invalid"
    elif failure == "mirrored":
        server.script(type(bad_gateway())(400, f"Bad Request: no /bot{server.token}/ here"))
    else:
        server.script(FAILURES[failure])

    with pytest.raises(MiddlewatchError) as caught:
        channel.send(MESSAGE)

    error = caught.value
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    secret = server.token.split(":")[1]
    assert error.__cause__ is None
    assert error.__context__ is None
    for text in (str(error), repr(error), repr(vars(error)), shown, repr(channel)):
        assert secret not in text
    assert secret not in caplog.text
    for record in caplog.records:
        assert secret not in record.getMessage() + repr(record.args)


def test_the_token_is_not_logged_on_success(channel, server, caplog):
    """At DEBUG urllib3 logs every path; what stands there is not the token."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3")  # others may have silenced it

    channel.send(MESSAGE)

    assert "/bot***/sendMessage" in caplog.text
    assert server.token not in caplog.text


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
