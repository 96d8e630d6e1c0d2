"""Faults that nobody thinks of, and two at once: nothing is lost, doubled or told wrongly."""

import os
import re
import shutil

import pytest
from sqlalchemy import Engine, event, make_url

from tasks.collect.directory import Directory
from tasks.model.runs import RunState
from tasks.store.engine import engine_for
from tests import scans
from tests.faults.disturbances import run_until_it_works
from tests.faults.invariants import check
from tests.scans import attack, scan
from tests.servers import bedrock as model
from tests.servers import tavily as web
from tests.servers import telegram as chat
from tests.servers.gateway import Gateway
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.usefixtures("quick_retries")

ATTACKERS = [f"45.89.23.{n}" for n in range(1, 4)]
DEEP = "[" * 100_000
"""JSON that takes a parser to the end of its stack."""


@pytest.fixture
def logs(tmp_path):
    files = {f"web/{n}.log": attack(ip) for n, ip in enumerate(ATTACKERS)}
    return scans.write_logs(scans.seed_like(tmp_path / "logs"), files)


def check_whole(url, truth, logs, telegram, **expected):
    scan(logs)
    assert scan(logs).is_idle
    check(url, truth, telegram, secrets=("p@ss:w/rd%", telegram.token), **expected)


# services


def deep(_call):
    return model.Reply(200, DEEP.encode())


def negative(call):
    """Tokens that would be given back to the budget."""
    reply = model.true_positive()(call)
    reply.body = reply.body.replace(b'"inputTokens": 2000', b'"inputTokens": -2000')
    return reply


def test_a_model_that_answers_without_end(truth, database, logs, bedrock, telegram):
    """The rules answer in the same run."""
    bedrock.judge_everyone(deep)

    state, message = scans.final_state(logs)
    bedrock.judge_everyone(model.true_positive())

    assert state == "COMPLETED Degraded"
    assert "no Converse reply" in message
    check_whole(database, truth, logs, telegram)


@pytest.mark.matrix
def test_a_bill_below_nothing(truth, database, logs, bedrock, telegram):
    """Nobody gets tokens back from the model."""
    bedrock.judge_everyone(negative)

    scan(logs)

    assert scans.rows(database, "SELECT MIN(input_tokens) FROM budgets") == [(0,)]
    check_whole(database, truth, logs, telegram)


@pytest.mark.matrix
def test_a_web_search_that_answers_without_end(truth, database, logs, tavily, telegram):
    """Research is missing, and the run says why."""
    tavily.script(web.body(DEEP))

    state, message = scans.final_state(logs)

    assert state == "COMPLETED Degraded"
    assert "no search result (RecursionError)" in message
    check_whole(database, truth, logs, telegram)


@pytest.mark.parametrize(
    "answer",
    [
        chat.Behaviour(200, "Bad Request: something"),
        *(
            pytest.param(chat.Behaviour(html=text), marks=pytest.mark.matrix)
            for text in ('{"ok":true}', '{"ok":true,"result":null}', "7", DEEP)
        ),
        pytest.param(
            chat.Behaviour(429, "Too Many", {"retry_after": 10**12}), marks=pytest.mark.matrix
        ),
    ],
)
def test_a_chat_that_says_ok_and_means_nothing(truth, database, logs, telegram, answer):
    """Nothing counts as sent without the number of a message."""
    telegram.always(answer)

    state, message = scans.final_state(logs)
    telegram.always(chat.ok())

    assert state == "FAILED Incomplete"
    assert "was not delivered" in message
    check_whole(database, truth, logs, telegram)


# databases


@pytest.fixture
def proxy(truth, mariadb, mariadb_url, environ):
    with Proxy(mariadb.port) as proxy:
        url = make_url(mariadb_url).set(port=proxy.port).render_as_string(hide_password=False)
        environ(MIDDLEWATCH_DATABASE_URL=url)
        yield proxy
        engine_for(url).dispose()


@pytest.mark.matrix
@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE", "FROM tally_segments", "INTO incidents", "INTO deliveries", "UPDATE runs"],
)
def test_a_connection_cut_at_a_statement_and_a_busy_chat(
    proxy, truth, mariadb_url, logs, bedrock, telegram, statement
):
    """In the migration, the evaluation, the outbox or at the end; the next run does the rest."""
    met: list[str] = []

    def cut_once(_connection, _cursor, sql, *_):
        if statement in sql and not met:
            met.append(sql)
            proxy.cut()

    telegram.script(chat.too_many_requests(retry_after=300))
    event.listen(Engine, "before_cursor_execute", cut_once)
    try:
        run_until_it_works(logs)
    finally:
        event.remove(Engine, "before_cursor_execute", cut_once)

    assert met
    check_whole(mariadb_url, truth, logs, telegram, repeats=1)


@pytest.mark.matrix
def test_a_database_that_becomes_read_only(
    truth, mariadb, mariadb_database, logs, bedrock, telegram
):
    """As in a failover: the run says so, and the next one has everything."""
    bedrock.judge_everyone(
        lambda call: (
            mariadb.execute("SET GLOBAL read_only = 1"),
            model.true_positive()(call),
        )[1]
    )
    outcome = run_until_it_works(logs)
    mariadb.execute("SET GLOBAL read_only = 0")
    bedrock.judge_everyone(model.true_positive())

    assert "MySQL error 1290" in str(outcome)
    check_whole(mariadb_database, truth, logs, telegram, repeats=1)


# sources


def test_a_directory_that_is_replaced_while_it_is_read(
    truth, database, logs, telegram, monkeypatch
):
    """What was listed is gone, and is not mixed with what is there; it counts when it is back."""
    away = logs.with_name("away")
    opened = Directory.open

    def swap(directory, log_object):
        if not away.exists():
            logs.rename(away)
            scans.write_logs(logs, {"web/0.log": scans.visitors()})
        return opened(directory, log_object)

    with monkeypatch.context() as patch:
        patch.setattr(Directory, "open", swap)
        first = scan(logs)
    shutil.rmtree(logs)
    away.rename(logs)

    assert first.state is RunState.INCOMPLETE
    assert first.coverage.holds
    check_whole(database, truth, logs, telegram)


@pytest.mark.matrix
def test_names_that_break_readers(database, logs):
    """Line feeds, escapes, bytes that are no UTF-8, markup; loops and links to nowhere."""
    odd = ["a\nb", "a\x1b[31m", "\udcff", "x" * 250, " ", "'; DROP TABLE runs; --", "<b>", "%s"]
    for n, name in enumerate(odd):
        (logs / f"{name}.log").write_text(attack(scans.address(n + 1)))
    (logs / "loop").symlink_to(logs)
    (logs / "dangling.log").symlink_to(logs / "nowhere")

    summary = scan(logs)

    assert summary.coverage.holds
    assert {scans.address(n + 1) for n in range(len(odd))} <= set(scans.found(database))
    assert scan(logs).is_idle


@pytest.fixture
def bucket(database, logs, moto_s3, moto_server, environ):
    """The logs behind a gateway, and the way around it."""
    moto_s3.create_bucket(
        Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    for path in sorted(path for path in logs.rglob("*") if path.is_file()):
        key = os.fspath(path.relative_to(logs))
        moto_s3.put_object(Bucket="logs", Key=key, Body=path.read_bytes())
    with Gateway(moto_server) as gateway:
        environ(AWS_ENDPOINT_URL_S3=gateway.url)
        yield gateway, lambda key, body: moto_s3.put_object(Bucket="logs", Key=key, Body=body)


def test_an_object_that_changes_between_two_attempts(database, bucket):
    """Neither version is taken for the other: the one that was listed never counts."""
    gateway, put = bucket
    new = "45.89.23.77"
    gateway.refuse(
        re.compile(r"GET /logs/web/1\.log"),
        503,
        "SlowDown",
        times=1,
        before=lambda: put("web/1.log", attack(new).encode()),
    )

    first = scan("s3://logs")
    second = scan("s3://logs")

    assert (first.state, second.state) == (RunState.INCOMPLETE, RunState.DONE)
    assert new in scans.found(database)
    assert ATTACKERS[1] not in scans.found(database)
    assert scan("s3://logs").is_idle
    assert all(scans.coverages(database))


@pytest.mark.matrix
def test_a_bucket_that_changes_between_two_pages(database, bucket):
    """What comes in before and behind the page that is read is there after the next run."""
    gateway, put = bucket
    for n in range(1100):
        put(f"many/{n:04}.log", b"")

    def change():
        put("web/9.log", attack("45.89.23.78").encode())
        put("aaa/9.log", attack("45.89.23.79").encode())

    gateway.before(re.compile(r"GET /logs\?.*continuation"), change)
    scan("s3://logs")
    second = scan("s3://logs")

    assert second.state is RunState.DONE
    assert {"45.89.23.78", "45.89.23.79", *ATTACKERS} <= set(scans.found(database))
    assert all(scans.coverages(database))
