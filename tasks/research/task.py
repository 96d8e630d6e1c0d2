"""The Prefect face of research."""

from datetime import UTC, datetime
from functools import cache

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from tasks import retry
from tasks.model.circuit import circuit_of_run
from tasks.model.errors import TransientError
from tasks.model.incidents import Suspect
from tasks.model.runs import Run
from tasks.model.verdicts import Research
from tasks.research.query import write_queries
from tasks.research.search import WhileItAnswers, search_all
from tasks.research.tavily import TavilySearch
from tasks.settings import Settings, settings
from tasks.store.incidents import load_incident
from tasks.store.schema import open_database
from tasks.store.searches import SearchCache

PATIENCE_SECONDS = 10.0
"""Less than for others: a search that fails costs an alert some context, waiting delays it."""


def is_on(configured: Settings) -> bool:
    """Whether the web is asked at all."""
    key = configured.tavily_api_key
    return key is not None and bool(key.get_secret_value()) and configured.max_searches > 0


@task(
    task_run_name="research-{suspect.source_ip}",
    retries=2,
    retry_delay_seconds=[1, 5],
    retry_jitter_factor=0.3,
    retry_condition_fn=retry.if_transient,
    tags=["tavily"],
    # Log lines stay out of Prefect's storage whatever its defaults are.
    cache_policy=NO_CACHE,
    persist_result=False,
)
def research_suspect(run: Run, suspect: Suspect) -> Research:
    """
    What the web says of the address and the payload; empty where research is off or has no query.

    A search that fails never fails the suspect: after the last attempt `Research.error` says what
    is missing.

    Raises:
        TransientError: Tavily may do better in a moment, and what was found comes from the cache
            then; or the database is busy, which is final after the last attempt.
    """
    key = settings().tavily_api_key
    if key is None or not is_on(settings()):
        return Research()
    engine = open_database(settings().database_url.get_secret_value())
    incident = load_incident(engine, suspect.incident_id)
    queries = write_queries(incident, settings().max_searches)
    if not queries:
        return Research()
    circuit = circuit_of_run("Tavily", run.id, PATIENCE_SECONDS)
    web = WhileItAnswers(_search_engine(key, settings().tavily_api_url), circuit)
    outcome = search_all(queries, web, SearchCache(engine), datetime.now(UTC))
    research = outcome.research
    if outcome.is_worth_retry and not retry.is_last_attempt():
        raise TransientError(research.error or "A search failed.")
    get_run_logger().info(
        "researched %s: %d queries, %d searches, %d pages%s",
        suspect.source_ip,
        len(research.queries),
        research.searches,
        len(research.references),
        f"; {research.error}" if research.error else "",
    )
    return research


@cache
def _search_engine(key: SecretStr, url: str) -> TavilySearch:
    return TavilySearch(key, url)
