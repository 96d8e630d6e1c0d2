"""Signatures: patterns over the decoded request, and the set that matches them all at once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Literal, get_args

import re2

from tasks.detect.decode import view
from tasks.model.events import Event
from tasks.model.incidents import Family

TextField = Literal[
    "url_original",
    "url_path",
    "url_query",
    "http_request_referrer",
    "user_agent_original",
    "http_request_method",
    "url_domain",
    "user_name",
]
"""What a signature can look at."""
TEXT_FIELDS: Final[tuple[TextField, ...]] = get_args(TextField)
URL_FIELDS: Final = TEXT_FIELDS[:4]
"""Plus is a space in these, and there are paths to resolve."""
DEFAULT_FIELDS: Final[tuple[TextField, ...]] = (
    "url_path",
    "url_query",
    "http_request_referrer",
    "user_agent_original",
)

_CACHED_LENGTH = 512
_CACHED_TEXTS = 4096
_MAX_MEMORY_BYTES = 64 * 1024**2


class Strength(StrEnum):
    """What one hit is worth."""

    STRONG = "strong"
    """A finding by itself."""
    WEAK = "weak"
    """An ordinary client may do it once; several different ones add up."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One pattern: an RE2 expression over the lower-cased, decoded text of *fields*."""

    id: str
    family: Family
    strength: Strength
    fields: tuple[TextField, ...]
    pattern: str
    matches: tuple[tuple[tuple[str, str], ...], ...] = field(default=(), compare=False, repr=False)
    """Examples that it hits: (field, text) pairs; a request target is `url_original`."""
    ignores: tuple[tuple[tuple[str, str], ...], ...] = field(default=(), compare=False, repr=False)
    """Examples that look like it and are not."""


class PatternError(ValueError):
    """A pattern that RE2 refuses, or that could never match."""


def compile_pattern(pattern: str) -> Any:  # noqa: ANN401 -- google-re2 publishes no types
    """
    *pattern* compiled for text without line breaks.

    Raises:
        PatternError: It is not RE2 syntax.
    """
    try:
        return re2.compile(_anchored(pattern), _options())
    except re2.error as error:
        reason = error.args[0]
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
    raise PatternError(f"not an RE2 pattern: {reason}")


class SignatureSet:
    """
    All signatures of a rule set, compiled.

    What defines a hit is the signature's own pattern on one view of one field (`decode.view`).
    One automaton per field looks at all views at once before that and only leaves candidates out
    that cannot hit: views are joined by line breaks, which no view holds and at which `^` and
    `$` match.
    """

    def __init__(self, signatures: Iterable[Signature], *, is_prefiltered: bool = True) -> None:
        self.signatures = tuple(signatures)
        used = sorted({f for s in self.signatures for f in s.fields}, key=TEXT_FIELDS.index)
        self._matchers: list[tuple[str, Callable[[str], tuple[int, ...]]]] = [
            (name, _FieldMatcher(name, self.signatures, is_prefiltered=is_prefiltered).match)
            for name in used
        ]

    def match(self, event: Event) -> tuple[Signature, ...]:
        """All signatures that hit *event*, in the order of the file."""
        found: tuple[int, ...] = ()
        for name, match in self._matchers:
            text = _read_field(event, name)
            hits = match(text) if text else ()
            if hits:
                found = tuple(sorted({*found, *hits})) if found else hits
        return tuple(self.signatures[index] for index in found) if found else ()


class _FieldMatcher:
    """The signatures that look at one field."""

    def __init__(self, name: str, signatures: Sequence[Signature], *, is_prefiltered: bool) -> None:
        chosen = [(i, s.pattern) for i, s in enumerate(signatures) if name in s.fields]
        self._indexes = [index for index, _ in chosen]
        self._patterns = [compile_pattern(pattern) for _, pattern in chosen]
        self._is_url = name in URL_FIELDS
        self._everything = range(len(chosen))
        self._prefilter = _prefilter([p for _, p in chosen]) if is_prefiltered else None
        self._match_cached = lru_cache(maxsize=_CACHED_TEXTS)(self._match)

    def match(self, text: str) -> tuple[int, ...]:
        """Indexes of the signatures that hit *text*, ascending; short texts are remembered."""
        return self._match_cached(text) if len(text) <= _CACHED_LENGTH else self._match(text)

    def _match(self, text: str) -> tuple[int, ...]:
        views = view(text, is_url=self._is_url)
        candidates: Iterable[int] = self._everything
        if self._prefilter is not None:
            candidates = sorted(self._prefilter.Match("\n".join(views)) or ())
        return tuple(
            self._indexes[candidate]
            for candidate in candidates
            if any(self._patterns[candidate].search(v) for v in views)
        )


def _prefilter(patterns: Sequence[str]) -> Any:  # noqa: ANN401 -- google-re2 publishes no types
    automaton = re2.Set.SearchSet(_options())
    for pattern in patterns:
        automaton.Add(_anchored(pattern))
    automaton.Compile()
    return automaton


def _anchored(pattern: str) -> str:
    return f"(?m:{pattern})"


def _options() -> Any:  # noqa: ANN401 -- google-re2 publishes no types
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MAX_MEMORY_BYTES
    return options


def _read_field(event: Event, name: str) -> str | None:
    text: str | None = getattr(event, name)
    if text is None and name == "url_original" and event.url_path is not None:
        query = event.url_query
        return event.url_path if query is None else f"{event.url_path}?{query}"
    return text
