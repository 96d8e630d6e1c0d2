"""Searching with a memory, where one failure stops nothing else."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tasks.model.errors import PermanentError, TransientError
from tasks.model.verdicts import Reference, Research
from tasks.research.search import search_all

NOW = datetime(2026, 2, 22, 20, 0, tzinfo=UTC)


def page(name):
    return Reference(name, f"https://example.com/{name}", name)


class ScriptedEngine:
    """Finds what it was told to find, or raises it."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    def search(self, query):
        self.asked.append(query)
        answer = self.answers[query]
        if isinstance(answer, Exception):
            raise answer
        return answer


class DictCache:
    """Remembers for ever."""

    def __init__(self):
        self.known = {}

    def get(self, query, _now):
        return self.known.get(query)

    def put(self, query, references, _now):
        self.known[query] = references


class BrokenCache:
    """A database that is away."""

    def get(self, _query, _now):
        raise TransientError("The database is away.")

    def put(self, _query, _references, _now):
        raise TransientError("The database is away.")


def test_pages_of_all_queries_are_collected_once_each():
    """Two queries that find the same page give one reference."""
    engine = ScriptedEngine(a=(page("x"), page("y")), b=(page("y"), page("z")))

    outcome = search_all(["a", "b"], engine, DictCache(), NOW)

    assert outcome.research == Research(("a", "b"), (page("x"), page("y"), page("z")), searches=2)
    assert not outcome.is_worth_retry


def test_what_was_found_is_not_searched_again_not_even_nothing():
    """The cache answers, also that there was nothing."""
    engine, cache = ScriptedEngine(a=(page("x"),), b=()), DictCache()
    search_all(["a", "b"], engine, cache, NOW)

    again = search_all(["a", "b"], engine, cache, NOW).research

    assert engine.asked == ["a", "b"]
    assert again.references == (page("x"),)
    assert again.searches == 0


def test_a_query_that_fails_stops_no_other_and_is_told():
    """The references that were found are kept."""
    engine = ScriptedEngine(a=TransientError("Too many."), b=(page("x"),))

    outcome = search_all(["a", "b"], engine, DictCache(), NOW)

    assert outcome.research.references == (page("x"),)
    assert outcome.research.error == "Too many."
    assert outcome.is_worth_retry


def test_what_fails_for_good_is_not_worth_another_attempt():
    """A refused key stays refused; its reason is said once."""
    refused = PermanentError("Key refused.")
    engine = ScriptedEngine(a=refused, b=refused)

    outcome = search_all(["a", "b"], engine, DictCache(), NOW)

    assert outcome.research.error == "Key refused."
    assert not outcome.is_worth_retry


def test_a_failed_search_is_not_remembered_as_empty():
    """The next attempt asks again."""
    cache = DictCache()
    search_all(["a"], ScriptedEngine(a=TransientError("Too many.")), cache, NOW)

    outcome = search_all(["a"], ScriptedEngine(a=(page("x"),)), cache, NOW)

    assert outcome.research.references == (page("x"),)


def test_without_the_database_the_search_still_answers():
    """A cache that is away costs a search and is told."""
    outcome = search_all(["a"], ScriptedEngine(a=(page("x"),)), BrokenCache(), NOW)

    assert outcome.research.references == (page("x"),)
    assert outcome.research.error == "The database is away."


def test_suspects_with_one_payload_side_by_side_pay_for_one_search():
    """Whoever asks while the answer is on its way gets it from the cache."""
    cache, engine = DictCache(), SlowEngine(a=(page("x"),))

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda _: search_all(["a"], engine, cache, NOW), range(8)))

    assert engine.asked == ["a"]
    assert [o.research.references for o in outcomes] == [(page("x"),)] * 8
    assert sum(o.research.searches for o in outcomes) == 1


class SlowEngine(ScriptedEngine):
    """Takes a moment."""

    def search(self, query):
        time.sleep(0.05)
        return super().search(query)
