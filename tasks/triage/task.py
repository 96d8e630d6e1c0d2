"""The Prefect face of triage."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from threading import RLock

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks import retry
from tasks.model.budgets import Cap
from tasks.model.circuit import circuit_of_run
from tasks.model.incidents import Suspect
from tasks.model.runs import Run
from tasks.model.verdicts import AnalystName, Judgement, Research
from tasks.settings import Settings, settings
from tasks.store.budget import CallBudget
from tasks.store.incidents import load_incident, load_incidents
from tasks.store.schema import open_database
from tasks.store.shared_verdicts import recall_judgements, remember_judgements
from tasks.triage.bedrock import BedrockAnalyst, explain_unavailable
from tasks.triage.guard import Guard
from tasks.triage.likeness import find_likeness
from tasks.triage.panel import Panel
from tasks.triage.plan import FEW, TriagePlan, plan_calls
from tasks.triage.prompt import write_prompt
from tasks.triage.rules_analyst import judge_by_rules
from tasks.triage.sharing import share_judgement

_building = RLock()
_analysts: list[tuple[Settings, BedrockAnalyst]] = []


@task(
    task_run_name="triage-{suspect.source_ip}",
    retries=3,
    # Three suspects in a row that Bedrock never answers still fit into a five-minute schedule.
    retry_delay_seconds=[1, 4, 10],
    retry_jitter_factor=0.3,
    retry_condition_fn=retry.if_transient,
    tags=["bedrock"],
    # Log lines stay out of Prefect's storage whatever its defaults are.
    cache_policy=NO_CACHE,
    persist_result=False,
)
def triage_suspect(
    suspect: Suspect,
    run: Run,
    analyst: AnalystName,
    unavailable: str | None = None,
    research: Research | None = None,
) -> Judgement:
    """
    A judgement on one suspect, in any case: the rules analyst answers where the model does not.

    Args:
        suspect: The evidence on record of it is what the model sees, and all that it may cite.
        run: Whose budget pays, and for how long a model that does not answer is given up.
        analyst: Who is asked for.
        unavailable: From *explain_missing_analyst*, asked once per run: the model is not tried.
        research: For the second look: what the web says.

    Raises:
        TransientError: Bedrock is busy, and the last attempt lets the rules analyst answer; or
            the database is, which is final after the last attempt.
    """
    engine = open_database(settings().database_url.get_secret_value())
    incident = load_incident(engine, suspect.incident_id)
    if analyst is AnalystName.RULES or unavailable is not None:
        judgement = judge_by_rules(incident, unavailable)
    else:
        panel = _panel(settings(), run)
        judgement = panel.judge(incident, research, is_last_attempt=retry.is_last_attempt())
    usage = judgement.usage
    get_run_logger().info(
        "judged %s: %s (%s confidence) by %s; %d calls, %d + %d tokens, %.4f USD%s",
        suspect.source_ip,
        judgement.verdict.verdict,
        judgement.verdict.confidence_level,
        judgement.analyst,
        usage.calls,
        usage.input_tokens,
        usage.output_tokens,
        usage.cost_usd,
        f"; {judgement.analyst_reason}" if judgement.analyst_reason else "",
    )
    return judgement


def explain_missing_analyst(analyst: AnalystName) -> str | None:
    """Why the model that is asked for cannot be asked from here; None where all is well."""
    return explain_unavailable() if analyst is AnalystName.BEDROCK else None


@task(
    task_run_name="triage-plan",
    retries=3,
    retry_delay_seconds=[1, 4, 10],
    retry_jitter_factor=0.3,
    retry_condition_fn=retry.if_transient,
    tags=["database"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def plan_triage(
    run: Run, suspects: Sequence[Suspect], analyst: AnalystName, unavailable: str | None = None
) -> TriagePlan:
    """
    Who is asked about, who shares a verdict, and who is left to the rules analyst.

    Args:
        run: Whose budget pays.
        suspects: Worst first.
        analyst: Who is asked for.
        unavailable: Why the model is not to be asked at all.
    """
    if analyst is AnalystName.RULES or unavailable is not None:
        few = tuple(suspects) if len(suspects) <= FEW else ()
        return TriagePlan(few, left=() if few else tuple(suspects), reason=unavailable)
    engine = open_database(settings().database_url.get_secret_value())
    incidents = load_incidents(engine, [s.incident_id for s in suspects])
    if not incidents:
        return TriagePlan(tuple(suspects))
    likeness = {id_: find_likeness(incident) for id_, incident in incidents.items()}
    worst = next(incidents[s.incident_id] for s in suspects if s.incident_id in incidents)
    each = _analyst(settings()).estimate(write_prompt(worst, is_small=True))
    calls = _budget(settings(), run).count_calls(each)
    wanted = {like.evidence for like in likeness.values()}
    known = recall_judgements(engine, wanted, run.started_at)
    plan = plan_calls(suspects, likeness, calls, known)
    get_run_logger().info(
        "%d suspects: %d are asked about, %d share a verdict, %d are left to the rules",
        len(suspects),
        len(plan.asked),
        len(plan.alike),
        len(plan.left),
    )
    return plan


@task(
    task_run_name="triage-shared-{part}",
    retries=3,
    retry_delay_seconds=[1, 4, 10],
    retry_jitter_factor=0.3,
    retry_condition_fn=retry.if_transient,
    tags=["database"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def triage_without_call(
    run: Run,
    part: int,  # noqa: ARG001 -- the task run has its name
    suspects: Sequence[tuple[Suspect, str | None]],
    reason: str | None,
    said: Mapping[str, Judgement],
) -> list[Judgement | None]:
    """
    A judgement on each of many suspects that have no call of their own; None: it cannot be read.

    Args:
        run: What is on record at its beginning counts.
        part: Of the run's suspects, for people.
        suspects: With the likeness of evidence whose verdict they share; None for the rules.
        reason: Why they have none.
        said: What the model said in this run, by likeness.
    """
    engine = open_database(settings().database_url.get_secret_value())
    incidents = load_incidents(engine, [suspect.incident_id for suspect, _ in suspects])
    wanted = [like for _, like in suspects if like is not None and like not in said]
    known = {**recall_judgements(engine, wanted, run.started_at), **said}
    return [
        None
        if (incident := incidents.get(suspect.incident_id)) is None
        else share_judgement(known.get(like) if like is not None else None, incident, reason)
        for suspect, like in suspects
    ]


@task(
    task_run_name="remember-verdicts",
    retries=3,
    retry_delay_seconds=[1, 4, 10],
    retry_jitter_factor=0.3,
    retry_condition_fn=retry.if_transient,
    tags=["database"],
    cache_policy=NO_CACHE,
    persist_result=False,
)
def remember_verdicts(
    suspects: Sequence[Suspect], judgements: Sequence[Judgement]
) -> dict[str, Judgement]:
    """
    What the model said of these suspects is on record for those that do the same.

    Returns:
        The judgements by likeness, also those of the rules analyst, which are not on record.
    """
    engine = open_database(settings().database_url.get_secret_value())
    incidents = load_incidents(engine, [suspect.incident_id for suspect in suspects])
    by_likeness = {
        find_likeness(incidents[suspect.incident_id]).evidence: judgement
        for suspect, judgement in zip(suspects, judgements, strict=True)
    }
    by_model = [(k, j) for k, j in by_likeness.items() if j.analyst is AnalystName.BEDROCK]
    remember_judgements(engine, by_model, datetime.now(UTC))
    return by_likeness


def _analyst(current: Settings) -> BedrockAnalyst:
    """The one of this process and its settings: threads share its client and its bound."""
    with _building:
        if not _analysts or _analysts[0][0] is not current:
            _analysts[:] = [(current, BedrockAnalyst(current))]
        return _analysts[0][1]


def _panel(current: Settings, run: Run) -> Panel:
    """The one of this process and run: it remembers what attempts that failed have taken."""
    with _building:  # a cache alone gives one to each of those who ask first at the same time
        return _convene(current, run)


@lru_cache(maxsize=16)
def _convene(current: Settings, run: Run) -> Panel:
    guard = Guard(circuit_of_run("Bedrock", run.id), _budget(current, run))
    return Panel(_analyst(current), guard)


def _budget(current: Settings, run: Run) -> CallBudget:
    engine = open_database(current.database_url.get_secret_value())
    per_run = Cap(
        "run",
        current.budget_calls_per_run,
        current.budget_tokens_per_run,
        current.budget_usd_per_run,
    )
    per_day = Cap(
        "day",
        current.budget_calls_per_day,
        current.budget_tokens_per_day,
        current.budget_usd_per_day,
    )
    return CallBudget(engine, run.id, run.started_at, per_run, per_day)
