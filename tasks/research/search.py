"""Searching for one incident: the cache first, then the web, and one bad query stops no other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Protocol

from tasks.model.circuit import Circuit
from tasks.model.errors import MiddlewatchError, PermanentError, TransientError
from tasks.model.verdicts import Reference, Research

_turns = tuple(Lock() for _ in range(64))
"""By hash of the query: who asks what another suspect's research is asking now waits for it."""


class SearchCache(Protocol):
    """Results of earlier searches by query, for as long as they are fresh."""

    def get(self, query: str, now: datetime, /) -> tuple[Reference, ...] | None:
        """Return what is known at *now*; None if nothing fresh is."""
        ...

    def put(self, query: str, references: tuple[Reference, ...], now: datetime, /) -> None:
        """Remember it, in place of what was known."""
        ...


class SearchEngine(Protocol):
    """Searches the web."""

    def search(self, query: str) -> tuple[Reference, ...]:
        """Return the best pages; raises TransientError or PermanentError."""
        ...


class WhileItAnswers:
    """A search engine that is not asked any more when it has failed too often in a row."""

    def __init__(self, engine: SearchEngine, circuit: Circuit) -> None:
        """*circuit* is shared by everything that asks *engine* in one run."""
        self._engine = engine
        self._circuit = circuit

    def search(self, query: str) -> tuple[Reference, ...]:
        """Return the best pages; PermanentError without asking when the engine is given up."""
        circuit = self._circuit
        if circuit.reason is not None:
            raise PermanentError(circuit.reason)
        began_at = circuit.clock()
        try:
            found = self._engine.search(query)
        except MiddlewatchError as error:
            is_final = not isinstance(error, TransientError)
            circuit.record_failure(str(error), began_at, is_final=is_final)
            raise
        circuit.record_success()
        return found


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """What the queries of one incident came to."""

    research: Research
    is_worth_retry: bool
    """Something failed in a way that may pass; what did not fail is in the cache."""


def search_all(
    queries: Sequence[str], engine: SearchEngine, cache: SearchCache, now: datetime
) -> SearchOutcome:
    """The references for *queries*, each page once; what failed is said in `Research.error`."""
    references: dict[str, Reference] = {}
    errors: list[MiddlewatchError] = []
    searches = 0
    for query in queries:
        with _turns[hash(query) % len(_turns)]:
            found = _remember(query, cache, now, errors)
            if found is None:
                searches += 1
                found = _search(query, engine, cache, now, errors)
        for reference in found:
            references.setdefault(reference.url, reference)
    research = Research(
        queries=tuple(queries),
        references=tuple(references.values()),
        searches=searches,
        error=" ".join(dict.fromkeys(map(str, errors))) or None,
    )
    return SearchOutcome(research, any(isinstance(e, TransientError) for e in errors))


def _remember(
    query: str, cache: SearchCache, now: datetime, errors: list[MiddlewatchError]
) -> tuple[Reference, ...] | None:
    try:
        return cache.get(query, now)
    except MiddlewatchError as error:
        errors.append(error)
        return None


def _search(
    query: str,
    engine: SearchEngine,
    cache: SearchCache,
    now: datetime,
    errors: list[MiddlewatchError],
) -> tuple[Reference, ...]:
    found: tuple[Reference, ...] = ()
    try:
        found = engine.search(query)
        cache.put(query, found, now)
    except MiddlewatchError as error:
        errors.append(error)
    return found
