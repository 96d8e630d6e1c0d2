"""Signatures: patterns over the decoded request, and the set that matches them all at once."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
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

PLAIN_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
"""A user name that is a name and nothing else; signatures do not look at it."""

_CACHED_LENGTH = 512
_CACHED_TEXTS = 4096
_MAX_PATTERN_BYTES = 4 * 1024**2


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


def compile_filter(patterns: Sequence[str]) -> Any:  # noqa: ANN401 -- google-re2 publishes no types
    """
    All *patterns*, searched for at once in texts that line breaks separate.

    No match reaches over a line break, so one in the joined texts is one in a text. `Match` gives
    the indexes of those that are found, or None.
    """
    # re2.Filter and not re2.Set: the automaton of a Set takes 100 times as long on hostile
    # text, and when it runs out of memory it says that nothing matches
    compiled = re2.Filter()
    options = _options()
    options.never_nl = True
    for pattern in patterns:
        compiled.Add(_anchored(pattern), options)
    if patterns:
        compiled.Compile()
    return compiled


class SignatureSet:
    """
    All signatures of a rule set, compiled.

    What defines a hit is the signature's own pattern on one view of one field (`decode.view`).
    All patterns of a field look at all views at once, joined by line breaks, which no view holds.
    """

    def __init__(self, signatures: Iterable[Signature]) -> None:
        self.signatures = tuple(signatures)
        used = sorted({f for s in self.signatures for f in s.fields}, key=TEXT_FIELDS.index)
        self.matchers = [(name, _matcher(name, self._finder(name))) for name in used]
        """By field: which signatures, by their index, hit a text of it."""

    def match(self, event: Event) -> tuple[Signature, ...]:
        """All signatures that hit *event*, in the order of the file."""
        return tuple(self.signatures[index] for index in self.find(event))

    def find(self, event: Event) -> tuple[int, ...]:
        """The indexes of the signatures that hit *event*, ascending."""
        found: tuple[int, ...] = ()
        for name, match in self.matchers:
            text = _read_field(event, name)
            hits = match(text) if text else ()
            if hits:
                found = tuple(sorted({*found, *hits})) if found else hits
        return found

    def _finder(self, name: str) -> "_Finder":
        wanted = [index for index, s in enumerate(self.signatures) if name in s.fields]
        # compiled when it is needed: many runs see no text of some fields
        open_filter = cache(lambda: compile_filter([self.signatures[i].pattern for i in wanted]))
        return lambda views: tuple([wanted[i] for i in open_filter().Match(views) or ()])


_Finder = Callable[[bytes], tuple[int, ...]]


def _matcher(name: str, find: _Finder) -> Callable[[str], tuple[int, ...]]:
    is_url = name in URL_FIELDS

    def match(text: str) -> tuple[int, ...]:
        return find("\n".join(view(text, is_url=is_url)).encode())

    remembered = lru_cache(maxsize=_CACHED_TEXTS)(match)
    return lambda text: remembered(text) if len(text) <= _CACHED_LENGTH else match(text)


def _anchored(pattern: str) -> str:
    return f"(?m:{pattern})"


def _options() -> Any:  # noqa: ANN401 -- google-re2 publishes no types
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MAX_PATTERN_BYTES
    return options


def _read_field(event: Event, name: str) -> str | None:
    text: str | None = getattr(event, name)
    if name == "user_name" and text is not None and PLAIN_NAME.fullmatch(text):
        return None
    if text is None and name == "url_original" and event.url_path is not None:
        query = event.url_query
        return event.url_path if query is None else f"{event.url_path}?{query}"
    return text
