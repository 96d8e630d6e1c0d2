"""
Proving that no signature hits: all patterns of a field as one, over many texts at once.

The patterns are made wider than they are, so that their automaton is small and fast. What they find
is looked at signature by signature; of everything else it is known that nothing hits it.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import re2

from tasks.detect.rules import RuleSet
from tasks.detect.signatures import compile_filter

Text = npt.NDArray[np.uint8]
Ends = npt.NDArray[np.int64]
_Signed = list[tuple[int, str]]
"""Indexes and patterns of signatures."""

SIGNED: Final = frozenset(
    ("url_original", "url_path", "url_query", "http_request_referrer", "user_agent_original")
)
"""What signatures may look at in a regular line; and at user names."""

_PATTERN_BYTES: Final = 10 * 1024**2
"""Where its states take more, RE2 makes them anew again and again, a hundred times as slowly."""
_TOGETHER: Final = 7
"""
Signatures that are searched for as one: fewer mean more searches, more mean more states, which are
made while texts are read that are all different.
"""
_NOT_FOR_MANY = re.compile(
    r"[^\x00-\x7f]|\\x\{|\\x[89a-fA-F]|\\[pPC]|\\[Az]|\(\?[a-zA-Z]*-[a-zA-Z]*m|\\Q|\[:\^"
)
"""Letters beyond ASCII, the two ends of all that is searched, and what _COUNTED cannot read."""
_COUNTED = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\{(?P<least>\d+),(?P<most>\d*)\}"
    r"|(?P<letter>[^\x00-\x7f\u017f\u212a])",
    re.DOTALL,
)
"""
Escapes and classes are passed over: what looks like a count there is none. So are the long s and
the sign of Kelvin, which match letters of ASCII where case does not matter.
"""
_EXACT_COUNT: Final = 3
_ANYWHERE: Final = re2._Anchor.UNANCHORED  # noqa: SLF001 -- the module has no other name for it


@lru_cache(maxsize=4)
def prover_of(rules: RuleSet) -> "Prover":
    """The prover of *rules*, compiled once."""
    return Prover(rules)


class Prover:
    """
    Finds texts that a signature may hit: all patterns of a field as one, over many texts at once.

    Texts are in Latin-1, one byte for any letter beyond ASCII, and end with a line feed.
    """

    def __init__(self, rules: RuleSet) -> None:
        signed: dict[frozenset[str], _Signed] = defaultdict(list)
        for index, signature in enumerate(rules.signatures):
            signed[SIGNED.intersection(signature.fields)].append((index, signature.pattern))
        # what most look at: states that were made for one field serve the others, too
        shared = max(signed, key=lambda fields: len(signed[fields]), default=frozenset[str]())
        groups = list(_group(signed.pop(shared, [])))
        self._groups = {
            name: [
                *(groups if name in shared else ()),
                *_group([each for fields, own in signed.items() if name in fields for each in own]),
            ]
            for name in sorted(SIGNED)
        }

    def hits(self, name: str, views: "Views") -> Iterator[tuple[int, list[int] | None]]:
        """
        The texts of field *name* that a signature may hit, and the indexes of those that do.

        These are None for a text with letters beyond ASCII: decode.view has to see it.
        """
        for number, groups in self.find(name, views).items():
            text = views.text(number)
            # without such letters, what the kernel wrote is what decode.view says
            is_known = text.isascii()
            yield number, [hit for g in groups for hit in g.match(text)] if is_known else None

    def find(self, name: str, views: "Views") -> "dict[int, list[_Group]]":
        """The texts of field *name* that a signature may hit, by position, and which may."""
        found: dict[int, list[_Group]] = defaultdict(list)
        for group in self._groups[name]:
            for number in views.search(group.pattern):
                found[number].append(group)
        return found


@dataclass(frozen=True, slots=True)
class _Group:
    """Signatures that are searched for as one."""

    pattern: Any
    """Matches where one of them does, and more."""
    match: Callable[[bytes], list[int]]
    """The indexes of those that hit a text with these views, joined."""


def _group(signed: _Signed) -> Iterator[_Group]:
    count = -(-len(signed) // _TOGETHER)
    # the next are often alike, and their states would multiply
    for some in (signed[number::count] for number in range(count)):
        indexes, patterns = zip(*some, strict=True)
        yield _Group(_compile_wide(patterns), _matching(patterns, indexes))


def _compile_wide(patterns: Sequence[str]) -> Any:  # noqa: ANN401 -- google-re2 publishes no types
    wide = [widen(pattern) for pattern in patterns]
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.never_nl = True
    options.max_mem = _PATTERN_BYTES
    options.encoding = re2.Options.Encoding.LATIN1
    if any(_NOT_FOR_MANY.search(p.replace("\\\\", "")) for p in wide):
        return re2.compile(b"(?s).", options)
    return re2.compile("|".join(f"(?m:{p})" for p in wide).encode(), options)


def _matching(patterns: Sequence[str], indexes: Sequence[int]) -> Callable[[bytes], list[int]]:
    # compiled when it is needed: most texts are clean
    open_filter = cache(lambda: compile_filter(patterns))
    return lambda views: [indexes[i] for i in open_filter().Match(views) or ()]


class Views:
    """The views of many texts of one field, each view with its line feed."""

    def __init__(self, buffer: Text, ends: Ends) -> None:
        """The views of each text are in *buffer* from the end of those before it to their own."""
        self._ends = ends.tolist()
        self._views = buffer[: self._ends[-1] if self._ends else 0].data

    def text(self, number: int) -> bytes:
        """The views of one text, joined."""
        start = self._ends[number - 1] if number else 0
        return bytes(self._views[start : max(start, self._ends[number] - 1)])

    def search(self, pattern: Any) -> Iterator[int]:  # noqa: ANN401 -- google-re2 publishes no types
        """The positions of the texts with a match."""
        # not pattern.search, which makes objects for twice as long as it searches
        search = pattern._regexp.Match  # noqa: SLF001
        views, ends = self._views, self._ends
        number = at = 0
        while at < len(views):
            ((start, _),) = search(_ANYWHERE, views, at, len(views))
            if start < 0:
                return
            number = bisect_right(ends, start, number)
            yield number
            at = ends[number]


def widen(pattern: str) -> str:
    r"""
    *pattern* with counted repetitions made endless, and any letter beyond ASCII for each.

    It matches what *pattern* does, and more.

    The automaton of all patterns has to remember how far each count has come; without counts it
    is small and fast.

    >>> widen(r"=[^&{0,9}]{0,40}x{3}\{1,2}")
    '=[^&{0,9}]*x{3}\\{1,2}'
    """
    return _COUNTED.sub(_widen, pattern)


def _widen(found: re.Match[str]) -> str:
    if found["letter"]:
        return r"[^\x00-\x7f]"
    least, most = found["least"], found["most"]
    if least is None or (most and int(most) <= _EXACT_COUNT):
        return found[0]
    return "*" if int(least) == 0 else "+"
