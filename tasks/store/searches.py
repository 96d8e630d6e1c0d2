"""Web searches of the last day, by query: the same question is not paid for twice."""

from datetime import datetime, timedelta

from sqlalchemy import Engine, select

from tasks.model.objects import digest
from tasks.model.verdicts import Reference
from tasks.store.engine import transaction, upsert
from tasks.store.tables import searches

FRESH = timedelta(hours=24)


class SearchCache:
    """Results of searches, shared by all namespaces."""

    def __init__(self, engine: Engine) -> None:
        """Results live in table `searches`."""
        self._engine = engine

    def get(self, query: str, now: datetime) -> tuple[Reference, ...] | None:
        """Return what a search of the last 24 h found, or None when there was none."""
        fresh = select(searches.c.results).where(
            searches.c.query_sha256 == digest(query), searches.c.searched_at > now - FRESH
        )
        with transaction(self._engine) as connection:
            results = connection.scalar(fresh)
        return None if results is None else tuple(Reference(**result) for result in results)

    def put(self, query: str, references: tuple[Reference, ...], now: datetime) -> None:
        """Replace what is on record of *query*."""
        row = {
            "query_sha256": digest(query),
            "query": query,
            "results": [{"title": r.title, "url": r.url, "content": r.content} for r in references],
            "searched_at": now,
        }
        with transaction(self._engine) as connection:
            upsert(connection, searches, [row], keep={"query"})
