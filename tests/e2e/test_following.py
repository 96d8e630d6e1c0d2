"""An incident that goes on is told as one story: what follows a message is a reply to it."""

from datetime import timedelta

from tests import scans
from tests.scans import START, attack, attacks, request, scan
from tests.servers import telegram as chat

IP = "198.51.100.1"
WORSE = request(IP, "/cgi-bin/x?cmd=;cat+/etc/passwd", START + timedelta(minutes=9))


def test_an_incident_that_changed_follows_its_message(database, telegram, tmp_path):
    """A reply that names the new family and shows the new line, and not the old one again."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attack(IP)})
    scan(logs)
    scans.write_logs(logs, {"b.log": WORSE})

    again = scan(logs)

    first, second = telegram.messages
    assert again.deliveries == {"sent": 1}
    assert (first.reply_to, second.reply_to) == (None, first.message_id)
    assert "CHANGED" in second.text
    assert "Changed: " in second.text
    assert "/cgi-bin/x" in second.text
    assert "UNION" in first.text
    assert "UNION" not in second.text.partition("Evidence")[2]


def test_an_incident_of_a_digest_follows_the_digest(database, telegram, tmp_path):
    """It has no message of its own; a run without anything new says nothing."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attacks(11)})
    scan(logs)
    scans.write_logs(logs, {"b.log": WORSE})

    scan(logs)
    scan(logs)

    digest, follow_up = telegram.messages
    assert follow_up.reply_to == digest.message_id
    assert IP in follow_up.text


def test_what_changed_while_the_chat_was_down_is_told_once(
    database, telegram, tmp_path, quick_retries
):
    """Nobody had the first message, so there is one: as new, with all of it."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attack(IP)})
    telegram.always(chat.bad_gateway())
    scan(logs)
    scans.write_logs(logs, {"b.log": WORSE})
    telegram.always(chat.ok())

    again = scan(logs)

    [message] = telegram.messages
    assert message.reply_to is None
    assert "CHANGED" not in message.text
    assert "/cgi-bin/x" in message.text
    assert "UNION" in message.text
    assert again.deliveries == {"sent": 1}
    assert any("1 alert not sent any more" in note for note in again.notes)
