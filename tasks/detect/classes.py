"""Classes of texts: two of one class are hit by the same signatures and answer rules alike."""

from collections.abc import Callable, Hashable, Iterable

from tasks.collect.formats.request import split_request, split_target
from tasks.detect.numbering_kernel import CLEAN, UNIQUE
from tasks.detect.proving import prover_of
from tasks.detect.regular import select_tests
from tasks.detect.rules import RuleSet
from tasks.detect.selections import ask_all
from tasks.detect.settling_kernel import (
    MAX_FACTS,
    MAX_OTHER_CLASS,
    MAX_REQUEST_CLASS,
    classes_of,
)

_Matcher = Callable[[str], tuple[int, ...]]


class Classifier:
    """Puts texts that no outcome can tell apart into one class."""

    def __init__(self, rules: RuleSet) -> None:
        self._matchers: dict[str, _Matcher] = dict(rules.signature_set.matchers)
        self._ask_path = ask_all(select_tests(rules, "url_path"))
        referrer_tests = select_tests(rules, "http_request_referrer")
        agent_tests = select_tests(rules, "user_agent_original")
        self._ask_referrer, self._ask_agent = ask_all(referrer_tests), ask_all(agent_tests)
        self.asks_others = bool(referrer_tests or agent_tests)
        self.prover = prover_of(rules)
        self.forget()

    def forget(self) -> None:
        """Classes are numbered anew."""
        self._requests: dict[Hashable, int] = {}
        self._others: dict[Hashable, int] = {}
        self._facts: dict[Hashable, int] = {}
        self._of_hits: dict[tuple[tuple[int, ...], int], int] = {}
        self._hits: dict[int, tuple[int, ...]] = {CLEAN: ()}
        self._hits_of_others = dict(self._hits)
        clean_request: Hashable = ()
        clean_other = ((), 0)
        self._requests[clean_request] = self._others[clean_other] = CLEAN
        self.no_referrer = self.of_referrer(None)
        self.no_agent = self.of_agent(None)

    @property
    def is_full(self) -> bool:
        """Whether many more texts will have no class."""
        tables = (self._requests, self._others, self._facts)
        limits = (MAX_REQUEST_CLASS, MAX_OTHER_CLASS, MAX_FACTS)
        return any(len(table) > most for table, most in zip(tables, limits, strict=True))

    def facts_of(self, path: str) -> int:
        """The number of what the rules' own tests find in a path."""
        return self._number(self._facts, self._ask_path(path), MAX_FACTS)

    def of_hits(self, hits: Iterable[int], path_class: int = 0) -> int:
        """The class of a path or of a plain request, by its hits and the class of its path."""
        asked = (tuple(hits), path_class)
        if asked in self._of_hits:
            return self._of_hits[asked]
        if path_class == UNIQUE:
            return path_class
        key = tuple(sorted({*hits, *self._hits[path_class]}))
        number = self._number(self._requests, key, MAX_REQUEST_CLASS)
        if number >= 0:
            self._hits[number] = key
        self._of_hits[asked] = number
        return number

    def of_request(self, request: bytes, path_class: int | None) -> int:
        """
        The class of a request.

        Args:
            request: As it is in the log.
            path_class: That of its path, where the kernel knows its method and its path.
        """
        method, target = split_request(request)
        path, query = split_target(target)
        hits = {*self.match("url_original", target), *self.match("url_query", query)}
        if path_class is not None:
            return self.of_hits(hits, path_class)
        hits.update(self.match("url_path", path))
        key = (tuple(sorted(hits)), method, target is None, self._ask_path(path))
        number = self._number(self._requests, key, MAX_REQUEST_CLASS)
        self._hits[number] = key[0]
        return number

    def of_referrer(self, text: str | None) -> int:
        """The class of a referrer."""
        return self._of_other(self.match("http_request_referrer", text), self._ask_referrer(text))

    def of_agent(self, text: str | None) -> int:
        """The class of a user agent."""
        return self._of_other(self.match("user_agent_original", text), self._ask_agent(text))

    def _of_other(self, hits: tuple[int, ...], facts: int) -> int:
        number = self._number(self._others, (hits, facts), MAX_OTHER_CLASS)
        self._hits_of_others[number] = hits
        return number

    def hits_of(self, key: int) -> tuple[int, ...]:
        """The signatures that hit lines with this *key*, which is not 0, ascending."""
        request, referrer, agent = classes_of(key)
        of_referrer, of_agent = self._hits_of_others[referrer], self._hits_of_others[agent]
        return tuple(sorted({*self._hits[request], *of_referrer, *of_agent}))

    def match(self, field: str, text: str | None) -> tuple[int, ...]:
        """The signatures that hit a text."""
        match = self._matchers.get(field)
        return match(text) if match and text else ()

    def _number(self, classes: dict[Hashable, int], key: Hashable, most: int) -> int:
        if key not in classes:
            if len(classes) > most:
                return UNIQUE
            classes[key] = len(classes)
        return classes[key]
