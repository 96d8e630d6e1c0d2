"""The Prefect face of research."""

from datetime import UTC, datetime
from functools import cache

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from tasks import retry
from tasks.model.errors import MiddlewatchError, TransientError
from tasks.model.incidents import Incident
from tasks.model.verdicts import Research
from tasks.research.query import write_queries
from tasks.research.search import NoCache, SearchCache, search_all
from tasks.research.tavily import TavilySearch
from tasks.settings import settings
from tasks.store import searches
from tasks.store.schema import open_database


@task(
    task_run_name="research-{incident.source_ip}",
    retries=2,
    retry_delay_seconds=[1, 5],
    retry_jitter_factor=0.3,
    retry_condition_fn=retry.if_transient,
    tags=["tavily"],
    # Log lines stay out of Prefect's storage whatever its defaults are.
    cache_policy=NO_CACHE,
    persist_result=False,
)
def research_suspect(incident: Incident) -> Research:
    """
    What the web says of the address and the payload; empty where research is off or has no query.

    Never fails a suspect for good: after the last attempt `Research.error` says what is missing.

    Raises:
        TransientError: Tavily or the cache may do better in a moment. Prefect tries again, and
            the queries that were answered come from the cache then.
    """
    key = settings().tavily_api_key
    queries = write_queries(incident, settings().max_searches)
    if key is None or not key.get_secret_value() or not queries:
        return Research()
    engine = _search_engine(key, settings().tavily_api_url)
    outcome = search_all(queries, engine, _open_cache(), datetime.now(UTC))
    research = outcome.research
    if outcome.is_worth_retry and not retry.is_last_attempt():
        raise TransientError(research.error or "A search failed.")
    get_run_logger().info(
        "researched %s: %d queries, %d searches, %d pages%s",
        incident.source_ip,
        len(research.queries),
        research.searches,
        len(research.references),
        f"; {research.error}" if research.error else "",
    )
    return research


@cache
def _search_engine(key: SecretStr, url: str) -> TavilySearch:
    return TavilySearch(key, url)


def _open_cache() -> SearchCache:
    try:
        return searches.SearchCache(open_database(settings().database_url.get_secret_value()))
    except MiddlewatchError:
        # Whatever is wrong with the database, other tasks say so; here it costs a search.
        return NoCache()
