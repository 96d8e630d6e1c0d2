"""Triage and research as Prefect tasks: retries, fallbacks, the cache, and what gets around."""

import logging
from uuid import uuid4

import pytest
from prefect import flow, unmapped
from prefect.futures import wait

from tasks.model.incidents import Suspect
from tasks.model.runs import Run, RunKind
from tasks.model.verdicts import AnalystName, Judgement, Research, Usage, VerdictKind
from tasks.research.task import research_suspect
from tasks.settings import settings
from tasks.store.engine import transaction
from tasks.store.incidents import write_evidence
from tasks.store.schema import open_database
from tasks.triage.task import explain_missing_analyst, triage_suspect
from tests.servers import bedrock as model
from tests.servers import tavily as web
from tests.servers.bedrock import BedrockServer
from tests.servers.tavily import TavilyServer
from tests.suspects import SQL_LINE, START, make_incident

ADDRESSES = [f"45.89.23.{n}" for n in range(1, 6)]
SECRETS = (web.KEY, "wJalrXUtnFEMI")

quick_triage = triage_suspect.with_options(retry_delay_seconds=0.01, retry_jitter_factor=0.1)
quick_research = research_suspect.with_options(retry_delay_seconds=0.01, retry_jitter_factor=0.1)


@pytest.fixture
def bedrock(monkeypatch):
    with BedrockServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
    assert server.refused == []


@pytest.fixture
def tavily(monkeypatch):
    with TavilyServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        yield server


@pytest.fixture
def suspects(prefect_api, tmp_path, monkeypatch):
    monkeypatch.setenv("MIDDLEWATCH_DATABASE_URL", f"sqlite:///{tmp_path / 'middlewatch.db'}")
    settings.cache_clear()
    found = [make_incident(id=f"incident-{ip}", source_ip=ip) for ip in ADDRESSES]
    engine = open_database(settings().database_url.get_secret_value())
    with transaction(engine) as connection:
        write_evidence(connection, found, "run-1", START)
    return [Suspect(i.id, i.source_ip, i.family, i.severity) for i in found]


def make_run():
    return Run(uuid4().hex, "scan", RunKind.SCAN, "live", "/logs", START)


def judge_all(suspects, analyst=AnalystName.BEDROCK, **parameters):
    fixed = {"run": make_run(), "analyst": analyst} | parameters

    @flow
    def judging() -> list[Judgement]:
        futures = [quick_triage.submit(suspect, **fixed) for suspect in suspects]
        wait(futures)
        return [future.result() for future in futures]

    return dict(zip([s.source_ip for s in suspects], judging(), strict=True))


def research_all(suspects):
    @flow
    def researching() -> list[Research]:
        futures = quick_research.map(unmapped(make_run()), suspects)
        futures.wait()
        return futures.result()

    return dict(zip([s.source_ip for s in suspects], researching(), strict=True))


def test_every_suspect_is_judged_whatever_happens_to_the_others(bedrock, suspects, caplog):
    """Fine, busy at first, busy for ever, refused, and nonsense: five judgements, all explained."""
    caplog.set_level(logging.DEBUG)
    fine, busy, down, denied, nonsense = ADDRESSES
    bedrock.judge(fine, model.benign())
    bedrock.judge(busy, model.throttled(), model.unavailable(), model.true_positive())
    bedrock.judge(down, model.throttled())
    bedrock.judge(denied, model.access_denied())
    bedrock.judge(nonsense, model.prose())

    judged = judge_all(suspects)

    assert judged[fine].verdict.verdict is VerdictKind.BENIGN
    assert judged[busy].analyst is AnalystName.BEDROCK
    assert judged[busy].usage == Usage(3, 2000, 400, 0.004)
    for ip, reason, calls in (
        (down, "ThrottlingException", 4),
        (denied, "AccessDeniedException", 1),
        (nonsense, "could not be used", 2),
    ):
        assert judged[ip].analyst is AnalystName.RULES
        assert judged[ip].verdict.verdict is VerdictKind.TRUE_POSITIVE
        assert reason in judged[ip].analyst_reason
        assert judged[ip].usage.calls == calls == len(bedrock.calls_for(ip))
    assert len(bedrock.calls_for(fine)) == 1
    for secret in (*SECRETS, SQL_LINE, "SLEEP(5)"):
        assert secret not in caplog.text


def test_where_bedrock_cannot_be_asked_at_all_it_is_not(bedrock, suspects, monkeypatch):
    """One check per run, no call, and every judgement says why."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    missing = explain_missing_analyst(AnalystName.BEDROCK)

    judged = judge_all(suspects, unavailable=missing)

    assert "AWS credentials" in str(missing)
    assert {j.analyst for j in judged.values()} == {AnalystName.RULES}
    assert {j.analyst_reason for j in judged.values()} == {missing}
    assert bedrock.calls == []


def test_the_rules_analyst_where_it_is_asked_for_is_no_failure(bedrock, suspects):
    """It calls nobody and gives no reason."""
    judged = judge_all(suspects[:1], AnalystName.RULES)

    assert explain_missing_analyst(AnalystName.RULES) is None
    assert [j.analyst_reason for j in judged.values()] == [None]
    assert bedrock.calls == []


def test_a_run_may_ask_for_the_model_where_the_environment_does_not(bedrock, suspects, monkeypatch):
    """A backfill can be judged by Bedrock although scans are not."""
    monkeypatch.setenv("MIDDLEWATCH_ANALYST", "rules")
    settings.cache_clear()

    judged = judge_all(suspects[:1])

    assert [j.analyst for j in judged.values()] == [AnalystName.BEDROCK]


def test_a_search_is_retried_and_what_was_found_is_not_paid_for_twice(tavily, suspects):
    """The address is answered, the payload is throttled once; then all comes from the cache."""
    one = suspects[:1]
    tavily.script(web.one_page(), web.too_many(), web.one_page())

    [research] = research_all(one).values()
    [again] = research_all(one).values()

    assert research.error is None
    assert len(research.references) == 2
    assert len(tavily.queries) == 3
    assert again.references == research.references
    assert again.searches == 0


def test_a_search_that_stays_broken_fails_no_suspect(tavily, suspects, caplog):
    """Three attempts, then less research and a reason; the key is nowhere."""
    caplog.set_level(logging.DEBUG)
    tavily.script(web.failed(503))

    [research] = research_all(suspects[:1]).values()

    assert research.references == ()
    assert "503" in research.error
    assert len(tavily.queries) == 6
    for secret in SECRETS:
        assert secret not in caplog.text


def test_a_refused_key_is_tried_once_per_query(tavily, suspects):
    """Permanent is permanent."""
    tavily.script(web.unauthorized())

    [research] = research_all(suspects[:1]).values()

    assert "TAVILY_API_KEY" in research.error
    assert len(tavily.queries) == 2


@pytest.mark.parametrize("name", ["TAVILY_API_KEY", "MIDDLEWATCH_MAX_SEARCHES"])
def test_research_that_is_off_asks_nobody(tavily, suspects, monkeypatch, name):
    """An empty key or no search allowed."""
    monkeypatch.setenv(name, "" if name == "TAVILY_API_KEY" else "0")
    settings.cache_clear()

    [research] = research_all(suspects[:1]).values()

    assert (research.references, research.error, research.searches) == ((), None, 0)
    assert tavily.searches == []
