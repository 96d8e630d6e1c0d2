"""A run that could not do all says what did not work, and since when."""

from datetime import timedelta

from flows.command import outcome_of
from flows.report import render_report
from flows.scan import scan_logs
from tasks.model.runs import RunSummary
from tests import scans
from tests.scans import START, attack, scan
from tests.servers import bedrock as model
from tests.servers import telegram as chat

IP = "45.89.23.1"


def since(url, number):
    """Beginning of the run of that number, as people read it."""
    rows = scans.rows(url, "SELECT started_at FROM runs ORDER BY started_at")
    return f"{str(rows[number][0])[:16]} UTC"


def test_a_chat_that_is_down_is_named_since_the_first_run_without_it(
    database, telegram, tmp_path, quick_retries, caplog
):
    """In the state and in the report, with how long the alert waits; the log has no traceback."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attack(IP)})
    telegram.always(chat.bad_gateway())

    scan(logs)
    state = scan_logs(str(logs), return_state=True)
    telegram.always(chat.ok())
    third = scan(logs)

    message, summary = state.message or "", outcome_of(state)
    assert state.name == "Incomplete"
    assert f"Not working: Telegram since {since(database, 0)}." in message
    assert f"The alert for {IP}, waiting since {since(database, 0)[:13]}" in message
    assert isinstance(summary, RunSummary)
    assert "Telegram since" in render_report(summary)
    assert third.outages == ()
    assert "it is sent later" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_model_that_is_down_is_named_until_it_answers(database, bedrock, tmp_path, quick_retries):
    """A run without a suspect between the two does not make it work."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attack(IP)})
    bedrock.judge_everyone(model.access_denied())
    first = scan(logs)
    idle = scan(logs)
    later = attack("45.89.23.2", START + timedelta(hours=5))
    scans.write_logs(logs, {"b.log": later})
    third = scan(logs)
    bedrock.judge_everyone(model.true_positive())
    scans.write_logs(logs, {"c.log": attack("45.89.23.3", START + timedelta(hours=9))})
    fourth = scan(logs)

    assert [o.service for o in first.outages] == ["Bedrock"]
    assert idle.outages == ()
    assert third.outages == first.outages
    assert first.outages[0].since == first.started_at
    assert fourth.outages == ()


def test_what_is_in_quarantine_is_said_by_every_run(database, tmp_path, environ):
    """With when it began and the command that brings it back; a run of itself all right."""
    environ(MIDDLEWATCH_MAX_OBJECT_BYTES="10")
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attack(IP)})

    scan(logs)
    again = scan(logs)

    [note] = [n for n in again.notes if "quarantine" in n]
    assert note.startswith(f"1 object in quarantine, the first since {since(database, 0)}")
    assert "python -m flows.quarantine" in note
