"""Runs against a model, a web search and a chat that are slow, busy, broken or off."""

import threading
import time
from contextlib import closing
from datetime import timedelta

import pymysql
import pytest

from tasks.model.runs import RunState
from tests import scans
from tests.scans import SQLI, address, attack, attacks, scan
from tests.servers import bedrock as model
from tests.servers import tavily as web
from tests.servers import telegram as chat

pytestmark = pytest.mark.usefixtures("quick_retries")

PUBLIC = [f"45.89.23.{n}" for n in range(1, 6)]


def logs_of(directory, *ips):
    return scans.write_logs(directory / "logs", {"a.log": "".join(attack(ip) for ip in ips)})


def states(url):
    return dict(
        scans.rows(
            url,
            """SELECT source_ip, deliveries.state FROM deliveries
               JOIN incidents ON incidents.id = deliveries.incident_id""",
        )
    )


def statuses(url):
    return dict(scans.rows(url, "SELECT source_ip, status FROM incidents"))


def test_one_call_per_suspect_and_one_more_with_what_the_web_says(
    database, bedrock, tavily, telegram, tmp_path
):
    """Guilty: call, search, second look with the pages, message, row."""
    guilty, private = PUBLIC[0], SQLI
    logs = logs_of(tmp_path, guilty, private)
    tavily.script(web.found(web.page("https://example.com/about", "About it")))

    summary = scan(logs)

    for ip in (guilty, private):
        first, second = bedrock.calls_for(ip)
        assert first.research == []
        assert [r["url"] for r in second.research] == ["https://example.com/about"]
    assert not any(private in query for query in tavily.queries)
    assert any(guilty in query for query in tavily.queries)
    assert len(telegram.messages) == 2
    assert all("https://example.com/about" in m.text + str(m.entities) for m in telegram.messages)
    assert states(database) == dict.fromkeys((guilty, private), "sent")
    assert statuses(database) == dict.fromkeys((guilty, private), "confirmed")
    assert summary.usage.calls == 4
    [(calls, cost, deliveries)] = scans.rows(
        database, "SELECT llm_calls, llm_cost_usd, deliveries FROM runs"
    )
    assert (calls, deliveries) == (4, 2)
    assert cost > 0


def test_what_is_benign_ends_there(database, bedrock, tavily, telegram, tmp_path):
    """A flood that the model clears: one call, no search, no message."""
    visitor = "45.89.24.1"
    logs = scans.write_logs(tmp_path / "logs", {"a.log": scans.flood(visitor)})
    bedrock.judge(visitor, model.benign())

    summary = scan(logs, thresholds={"http-request-volume": {"threshold": 500}})

    assert (summary.suspects, summary.benign) == (1, 1)
    assert len(bedrock.calls) == 1
    assert (tavily.queries, telegram.requests) == ([], [])
    assert statuses(database) == {visitor: "benign"}
    assert scans.rows(database, "SELECT * FROM deliveries") == []


def test_benign_against_a_signature_needs_review_and_is_told(database, bedrock, telegram, tmp_path):
    """The model cannot silence what the content of a line proves."""
    logs = logs_of(tmp_path, PUBLIC[0])
    bedrock.judge(PUBLIC[0], model.benign())

    scan(logs)

    assert statuses(database) == {PUBLIC[0]: "needs_review"}
    [message] = telegram.messages
    assert PUBLIC[0] in message.text
    [(severity,)] = scans.rows(database, "SELECT severity FROM incidents")
    assert severity in ("high", "critical")


def test_what_the_chat_asks_to_wait_is_waited(database, telegram, tmp_path):
    """429 with retry_after: the same message after that time, once."""
    telegram.script(chat.too_many_requests(retry_after=1))

    summary = scan(logs_of(tmp_path, PUBLIC[0]))

    first, second = telegram.requests
    assert second.at - first.at >= 1
    assert len(telegram.messages) == 1
    assert summary.state is RunState.DONE


def test_a_refused_message_stops_no_other_and_is_sent_by_the_next_run(database, telegram, tmp_path):
    """400 for one: Incomplete and named; delivered once the chat takes it."""
    logs = logs_of(tmp_path, *PUBLIC)
    refused = PUBLIC[2]
    telegram.when(refused, chat.chat_not_found())

    state, message = scans.final_state(logs)

    assert state == "FAILED Incomplete"
    assert f"The alert for {refused} was not delivered" in message
    assert "check TELEGRAM_CHAT_ID" in message
    assert states(database) == dict.fromkeys(PUBLIC, "sent") | {refused: "failed"}
    assert statuses(database) == dict.fromkeys(PUBLIC, "confirmed")

    telegram._matches.clear()
    second = scan(logs)

    assert second.deliveries == {"sent": 1}
    assert second.state is RunState.DONE
    assert [m.text.count(refused) > 0 for m in telegram.messages] == [False] * 4 + [True]
    assert states(database) == dict.fromkeys(PUBLIC, "sent")


def test_a_chat_that_is_down_for_a_whole_run_is_told_by_the_next_one(database, telegram, tmp_path):
    """502 for every attempt: four of them, Incomplete, and nothing is judged again for it."""
    logs = logs_of(tmp_path, PUBLIC[0])
    telegram.always(chat.bad_gateway())

    state, message = scans.final_state(logs)
    attempts = len(telegram.requests)
    telegram.always(chat.ok())
    second = scan(logs)

    assert state == "FAILED Incomplete"
    assert "it is sent later" in message
    assert attempts == 4
    assert (second.suspects, second.deliveries) == (0, {"sent": 1})
    assert [PUBLIC[0] in m.text for m in telegram.messages] == [True]


def test_a_chat_that_is_off_is_said_and_keeps_nothing_back(database, tmp_path, environ, telegram):
    """Alerts that arose while nobody was to be told are not sent for days afterwards."""
    environ(TELEGRAM_BOT_TOKEN="")
    logs = logs_of(tmp_path, PUBLIC[0])

    summary = scan(logs)
    environ(TELEGRAM_BOT_TOKEN=telegram.token)
    later = scan(logs)

    assert any("TELEGRAM_BOT_TOKEN" in note for note in summary.notes)
    assert states(database) == {PUBLIC[0]: "skipped"}
    assert summary.state is RunState.DONE
    assert later.is_idle
    assert telegram.messages == []


def test_more_than_ten_incidents_are_one_message(database, telegram, tmp_path):
    """Eleven attackers: a digest, and all deliveries have its id."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attacks(11)})

    summary = scan(logs)

    [message] = telegram.messages
    assert all(address(n) in message.text for n in range(1, 12))
    assert summary.deliveries == {"sent": 11}
    ids = scans.rows(database, "SELECT DISTINCT message_id FROM deliveries")
    assert ids == [(str(message.message_id),)]


def test_ten_incidents_are_ten_messages(database, telegram, tmp_path):
    """At the limit, everybody is told one by one."""
    scan(scans.write_logs(tmp_path / "logs", {"a.log": attacks(10)}))

    assert len(telegram.messages) == 10


def test_a_slow_chat_does_not_delay_the_rows(mariadb_database, telegram, tmp_path):
    """3 s per message: everything is on record before the first answer, and they overlap."""
    telegram.always(chat.slow(3))

    scan(logs_of(tmp_path, *PUBLIC))

    [(recorded, sent)] = scans.rows(
        mariadb_database,
        """SELECT max(incidents.updated_at), min(deliveries.sent_at) FROM incidents
           JOIN deliveries ON incidents.id = deliveries.incident_id""",
    )
    assert sent - recorded > timedelta(seconds=1)
    begun = [r.at for r in telegram.requests]
    assert len(begun) == 5
    assert max(begun) - min(begun) < 3


def test_a_slow_database_does_not_delay_the_messages(
    mariadb_database, mariadb, bedrock, telegram, tmp_path
):
    """All messages are out while another connection still holds the incidents' rows."""
    connection = pymysql.connect(
        unix_socket=str(mariadb.socket), user="root", database=mariadb_database.rpartition("/")[2]
    )
    once = threading.Lock()

    def judge_behind_a_lock(call):
        if once.acquire(blocking=False):
            connection.cursor().execute("SELECT id FROM incidents FOR UPDATE")
        return model.true_positive()(call)

    bedrock.judge_everyone(judge_behind_a_lock)
    released = []

    def release_when_all_are_told():
        deadline = time.monotonic() + 30
        while len(telegram.messages) < len(PUBLIC) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        released.append(len(telegram.messages))
        connection.rollback()

    watcher = threading.Thread(target=release_when_all_are_told)
    watcher.start()
    with closing(connection):
        summary = scan(logs_of(tmp_path, *PUBLIC))
        watcher.join()

    [told_before_the_release] = released
    assert told_before_the_release == len(PUBLIC)
    assert summary.state is RunState.DONE
    assert statuses(mariadb_database) == dict.fromkeys(PUBLIC, "confirmed")
    assert states(mariadb_database) == dict.fromkeys(PUBLIC, "sent")


def test_where_the_model_fails_the_rules_answer_and_the_run_says_so(
    database, bedrock, telegram, tmp_path
):
    """Denied, garbage and throttled for ever: three by rules with the reason, one by the model."""
    fine, denied, garbage, throttled = PUBLIC[:4]
    bedrock.judge(denied, model.access_denied())
    bedrock.judge(garbage, model.prose())
    bedrock.judge(throttled, model.throttled())

    state, message = scans.final_state(logs_of(tmp_path, *PUBLIC[:4]))

    assert state == "COMPLETED Degraded"
    assert "1 verdict by the rules analyst" in message
    judged = {
        ip: (analyst, reason)
        for ip, analyst, reason in scans.rows(
            database, "SELECT source_ip, analyst, analyst_reason FROM incidents"
        )
    }
    assert judged[fine] == ("bedrock", None)
    for ip, reason in (
        (denied, "AccessDeniedException"),
        (garbage, "could not be used"),
        (throttled, "ThrottlingException"),
    ):
        analyst, said = judged[ip]
        assert analyst == "rules"
        assert reason in said
    assert len(telegram.messages) == 4


def test_a_throttled_model_is_asked_again(database, bedrock, tmp_path):
    """429 once: the verdict is the model's, and nothing was degraded."""
    bedrock.judge(PUBLIC[0], model.throttled(), model.true_positive())

    state, _ = scans.final_state(logs_of(tmp_path, PUBLIC[0]))

    assert state == "COMPLETED Completed"
    assert len(bedrock.calls_for(PUBLIC[0])) == 2


def test_a_web_that_does_not_answer_costs_research_only(database, tavily, telegram, tmp_path):
    """The incident is confirmed and told, and the run is Degraded."""
    tavily.script(web.failed(503))

    state, message = scans.final_state(logs_of(tmp_path, PUBLIC[0]))

    assert state == "COMPLETED Degraded"
    assert "1 suspect with less research" in message
    assert statuses(database) == {PUBLIC[0]: "confirmed"}
    assert len(telegram.messages) == 1


def test_a_search_is_paid_for_once_a_day(database, tavily, tmp_path):
    """Two attackers with one payload: it is searched once, and not again by a later run."""
    scan(logs_of(tmp_path, *PUBLIC[:2]))
    before = list(tavily.queries)
    again = attack(PUBLIC[0], scans.START + timedelta(hours=5))
    scans.write_logs(tmp_path / "logs", {"later.log": again})

    later = scan(tmp_path / "logs")

    assert later.suspects == 1
    assert tavily.queries == before
    assert len(before) == len(set(before))


def test_a_source_that_is_gone_keeps_no_alert_back(database, tmp_path, telegram, quick_retries):
    """The run fails with the one sentence, after it has told what an earlier one could not."""
    logs = logs_of(tmp_path, PUBLIC[0])
    telegram.always(chat.bad_gateway())
    scan(logs)
    telegram.always(chat.ok())

    state, message = scans.final_state(tmp_path / "gone")

    assert state.startswith("FAILED")
    assert "There is no directory" in message
    assert [PUBLIC[0] in m.text for m in telegram.messages] == [True]
