"""The Prefect face of triage."""

from threading import Lock

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks import retry
from tasks.model.incidents import Suspect
from tasks.model.verdicts import AnalystName, Judgement, Research
from tasks.settings import Settings, settings
from tasks.store.incidents import load_incident
from tasks.store.schema import open_database
from tasks.triage.bedrock import BedrockAnalyst, explain_unavailable
from tasks.triage.panel import Panel
from tasks.triage.rules_analyst import judge_by_rules

_building = Lock()
_panels: list[tuple[Settings, Panel]] = []


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
    analyst: AnalystName,
    unavailable: str | None = None,
    research: Research | None = None,
) -> Judgement:
    """
    A judgement on one suspect, in any case: the rules analyst answers where the model does not.

    Args:
        suspect: The evidence on record of it is what the model sees, and all that it may cite.
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
        judgement = _panel().judge(incident, research, is_last_attempt=retry.is_last_attempt())
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


def _panel() -> Panel:
    """The one of this process and its settings: threads share its client and its bound."""
    current = settings()
    with _building:
        if not _panels or _panels[0][0] is not current:
            _panels[:] = [(current, Panel(BedrockAnalyst(current)))]
        return _panels[0][1]
