"""Bedrock, Tavily and Telegram fail in every way they can; the next run finds everything whole."""

import random
import re
import time

import pytest
from sqlalchemy import make_url

from flows import judging
from tasks.model.runs import RunState
from tasks.notify import telegram as telegram_client
from tasks.research import tavily as tavily_client
from tasks.store.engine import engine_for
from tasks.triage import task as triage
from tests import scans
from tests.faults.disturbances import now_and_then, run_until_it_works
from tests.faults.invariants import Truth, check
from tests.scans import address, attack, scan
from tests.servers import bedrock as model
from tests.servers import tavily as web
from tests.servers import telegram as chat
from tests.servers.gateway import Gateway
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.usefixtures("quick_retries")

ATTACKERS = [f"45.89.23.{n}" for n in range(1, 4)]
AWS_SECRET = "wJalrXUtnFEMI"

BEDROCK = {
    "throttled": model.throttled(),
    "out of order": model.unavailable(),
    "model not ready": model.not_ready(),
    "access denied": model.access_denied(),
    "credentials expired": model.expired(),
    "validation error": model.invalid_request(),
    "a gateway's page": model.html_error(),
    "half a body": model.truncated_body(),
    "hung up": model.hung_up(),
    "slower than the timeout": model.delayed(3, model.true_positive()),
    "a byte at a time": model.trickled(model.true_positive()),
    "invalid JSON": model.invalid_json(),
    "no tool call": model.prose(),
    "cut off": model.cut_off(),
    "a field is missing": model.without("severity"),
    "a refusal": model.refusal(),
    "a guardrail": model.refusal("guardrail_intervened"),
    "a verdict for another address": model.wrong_ip("192.0.2.66"),
    "unknown citations": model.bad_citation(),
}
TAVILY = {
    "key refused": web.unauthorized(),
    "too many requests": web.too_many(),
    "plan used up": web.plan_used_up(),
    "query refused": web.failed(400),
    "forbidden": web.failed(403),
    "pay as you go used up": web.failed(433),
    "out of order": web.failed(503),
    "slower than the timeout": web.delayed(3, web.one_page()),
    "a byte at a time": web.trickled(web.one_page()),
    "hung up": web.hung_up(),
    "no JSON": web.body("<html>Log in</html>"),
    "null": web.body("null"),
    "other JSON": web.body('{"results": [1, {"url": 2}]}'),
}
TELEGRAM = {
    "chat not found": chat.chat_not_found(),
    "token revoked": chat.unauthorized(),
    "bot blocked": chat.blocked(),
    "too many requests": chat.too_many_requests(retry_after=300),
    "bad gateway": chat.bad_gateway(),
    "a hotel's page": chat.garbage(),
    "a gateway's timeout": chat.Behaviour(504, html="<html>Gateway Timeout</html>"),
    "slower than the timeout": chat.slow(3),
    "a byte at a time": chat.trickled(),
    "dropped before it was delivered": chat.drop_connection(is_delivered=False),
    "dropped after it was delivered": chat.drop_connection(is_delivered=True),
}
MAY_REPEAT = {"dropped after it was delivered", "slower than the timeout", "a byte at a time"}


@pytest.fixture
def logs(tmp_path):
    """Three attackers, and the seed-like crowd."""
    files = {"more.log": "".join(map(attack, ATTACKERS))}
    return scans.write_logs(scans.seed_like(tmp_path / "logs"), files)


@pytest.fixture
def truth(database, logs, tmp_path, environ):
    """What a run that nothing disturbs comes to, with nobody asked and nobody told."""
    url = f"sqlite:///{tmp_path / 'undisturbed.db'}"
    environ(MIDDLEWATCH_DATABASE_URL=url)
    scan(logs)
    environ(MIDDLEWATCH_DATABASE_URL=database, MIDDLEWATCH_BEDROCK_TIMEOUT_SECONDS="1")
    return Truth.of(url)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Vendors that a person would wait half a minute for."""
    monkeypatch.setattr(tavily_client, "TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(telegram_client, "_TIMEOUT_SECONDS", (1, 1))


def pick(faults, *named):
    """Each of them with `make faults`; these with every `make test`."""
    return [
        pytest.param(behaviour, id=name, marks=() if name in named else pytest.mark.matrix)
        for name, behaviour in faults.items()
    ]


@pytest.mark.parametrize(
    "fault", pick(BEDROCK, "throttled", "half a body", "a verdict for another address")
)
def test_bedrock(truth, database, logs, bedrock, telegram, fault):
    """The rules answer, everybody is told in the same run, and the run says what was lesser."""
    bedrock.judge_everyone(fault)

    state, message = scans.final_state(logs)
    bedrock.judge_everyone(model.true_positive())
    again = scan(logs)

    assert state == "COMPLETED Degraded"
    assert "by the rules analyst" in message
    assert again.is_idle
    check(database, truth, telegram, secrets=(AWS_SECRET, telegram.token, "192.0.2.66"))


@pytest.mark.parametrize("fault", pick(TAVILY, "too many requests", "no JSON"))
def test_tavily(truth, database, logs, tavily, telegram, fault):
    """Research is missing and the run says so; nothing else is."""
    tavily.script(fault)

    state, message = scans.final_state(logs)
    again = scan(logs)

    assert state == "COMPLETED Degraded"
    assert "less research" in message
    assert again.is_idle
    check(database, truth, telegram, secrets=(web.KEY, telegram.token))


@pytest.mark.parametrize(
    "fault", pick(TELEGRAM, "chat not found", "bad gateway", "dropped after it was delivered")
)
def test_telegram(request, truth, database, logs, telegram, fault):
    """The run is Incomplete and names whom it could not tell of; the next one tells."""
    telegram.always(fault)

    state, message = scans.final_state(logs)
    attempts = len(telegram.requests)
    telegram.always(chat.ok())
    again = scan(logs)

    assert state == "FAILED Incomplete"
    assert ATTACKERS[0] in message
    assert again.state is RunState.DONE
    is_repeated = any(name in request.node.callspec.id for name in MAY_REPEAT)
    check(database, truth, telegram, repeats=int(is_repeated), secrets=(telegram.token,))
    if is_repeated:
        incidents = len(scans.found(database))
        assert attempts == incidents  # nothing that may have been told was sent again at once
        repeated = telegram.messages[incidents:]
        assert all("may have been sent before" in m.text for m in repeated)


@pytest.mark.matrix
def test_a_group_that_moved_is_followed(truth, database, logs, telegram):
    """Telegram names the new chat in its refusal; everybody is told in the same run."""
    telegram.script(chat.migrated(-1009999999999))

    summary = scan(logs)

    assert summary.state is RunState.DONE
    check(database, truth, telegram, secrets=(telegram.token,))


def test_everything_fails_at_once(truth, database, logs, bedrock, tavily, telegram):
    """No model, no web, no chat: all is counted, judged and recorded, and told afterwards."""
    bedrock.judge_everyone(model.throttled())
    tavily.script(web.failed(500))
    telegram.always(chat.bad_gateway())

    state, message = scans.final_state(logs)
    telegram.always(chat.ok())
    again = scan(logs)

    assert state == "FAILED Incomplete"
    assert "was not delivered" in message
    assert again.state is RunState.DONE
    check(database, truth, telegram, secrets=(AWS_SECRET, web.KEY, telegram.token))


@pytest.mark.matrix
def test_a_channel_that_takes_and_never_confirms_is_not_flooded(
    truth, database, logs, telegram, environ
):
    """Each alert is seen twice at most however many runs there are, and the runs say why."""
    telegram.always(chat.drop_connection(is_delivered=True))
    for _ in range(4):
        state, message = scans.final_state(logs)

    incidents = len(scans.found(database))
    assert len(telegram.messages) == 2 * incidents
    assert state == "COMPLETED Degraded"
    assert "confirmed none" in message


def hang(call):
    """For ever, as far as a test is concerned."""
    return model.delayed(600, model.true_positive())(call)


def test_a_model_that_hangs_for_ever_costs_one_timeout(
    database, bedrock, telegram, tmp_path, environ
):
    """Twenty suspects, four at a time: not twenty timeouts, but a few, and it is said once."""
    environ(MIDDLEWATCH_BEDROCK_TIMEOUT_SECONDS="21")
    bedrock.judge_everyone(hang)
    attackers = [address(n) for n in range(1, 21)]
    logs = scans.write_logs(tmp_path / "logs", {"a.log": "".join(map(attack, attackers))})
    began_at = time.monotonic()

    summary = scan(logs)

    assert time.monotonic() - began_at < 90
    assert len(bedrock.calls) <= 50
    assert summary.suspects == len(summary.incidents) == 20
    assert set(scans.rows(database, "SELECT analyst FROM incidents")) == {("rules",)}
    assert len(telegram.messages) == 1
    [told] = summary.degradations
    assert "20 verdicts by the rules analyst" in told
    assert "given up" in told


@pytest.mark.matrix
def test_a_model_that_trickles_for_ever_is_given_up(database, bedrock, telegram, tmp_path, environ):
    """No single wait is long, and no answer comes to an end: the run does."""
    environ(MIDDLEWATCH_BEDROCK_TIMEOUT_SECONDS="5")
    bedrock.judge_everyone(model.trickled(model.true_positive(), 0.5))
    attackers = [address(n) for n in range(1, 21)]
    logs = scans.write_logs(tmp_path / "logs", {"a.log": "".join(map(attack, attackers))})
    began_at = time.monotonic()

    summary = scan(logs)

    assert time.monotonic() - began_at < 90
    assert summary.suspects == len(summary.incidents) == 20
    assert set(scans.rows(database, "SELECT analyst FROM incidents")) == {("rules",)}
    assert len(telegram.messages) == 1
    assert any("given up" in told for told in summary.degradations)


@pytest.mark.matrix
def test_a_model_that_throttles_for_a_minute(truth, database, logs, bedrock, telegram, monkeypatch):
    """With the pauses of production: the rules answer, or the model once it can; all are told."""
    monkeypatch.setattr(judging, "triage_suspect", triage.triage_suspect)
    began_at = time.monotonic()

    def for_a_minute(call):
        is_busy = time.monotonic() < began_at + 60
        return (model.throttled() if is_busy else model.true_positive())(call)

    bedrock.judge_everyone(for_a_minute)
    state, _ = scans.final_state(logs)

    assert state == "COMPLETED Degraded"
    assert time.monotonic() - began_at < 120
    assert scan(logs).is_idle
    check(database, truth, telegram, secrets=(AWS_SECRET, telegram.token))


def chance(seed, *faults):
    """One of these, at random; the same sequence for the same seed."""
    draw = random.Random(seed)
    return lambda asked: draw.choice(faults)(asked)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.matrix) for n in (1, 2, 3))]
)
def test_everything_everywhere_fails_now_and_then(
    truth,
    mariadb,
    mariadb_url,
    moto_server,
    moto_s3,
    bedrock,
    tavily,
    telegram,
    environ,
    logs,
    seed,
):
    """S3, MariaDB, the model, the web and the chat in one run; then one that nothing disturbs."""
    moto_s3.create_bucket(
        Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    paths = [path for path in sorted(logs.rglob("*")) if path.is_file()]
    for path in paths:
        key = str(path.relative_to(logs))
        moto_s3.put_object(Bucket="logs", Key=key, Body=path.read_bytes())
    bedrock.judge_everyone(chance(seed, *BEDROCK.values(), model.true_positive()))
    tavily.script(chance(seed, *TAVILY.values(), web.one_page()))
    with Proxy(mariadb.port) as proxy, Gateway(moto_server) as gateway:
        url = make_url(mariadb_url).set(port=proxy.port).render_as_string(hide_password=False)
        environ(MIDDLEWATCH_DATABASE_URL=url, AWS_ENDPOINT_URL_S3=gateway.url)
        gateway.refuse(re.compile(r"GET /logs/\w+/"), 503, "SlowDown", times=2 + 2 * seed)
        for attacker in ATTACKERS:
            surely_not = [f for name, f in TELEGRAM.items() if name not in MAY_REPEAT]
            telegram.when(attacker, random.Random(attacker + str(seed)).choice(surely_not))
        with now_and_then(proxy.cut, seed, longest_pause=2.0):
            run_until_it_works("s3://logs")
        engine_for(url).dispose()
        environ(MIDDLEWATCH_DATABASE_URL=mariadb_url)
        gateway.heal()
        telegram._matches.clear()
        bedrock.judge_everyone(model.true_positive())
        tavily.script(web.one_page())

        scan("s3://logs")

        assert scan("s3://logs").is_idle
    secrets = (AWS_SECRET, web.KEY, telegram.token, "p@ss:w/rd%")
    check(mariadb_url, truth, telegram, repeats=1, secrets=secrets)
    engine_for(mariadb_url).dispose()
