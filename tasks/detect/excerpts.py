"""Excerpts: how a line is kept as evidence, with what is worth seeing in it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from tasks.detect.decode import FIELD_LIMIT
from tasks.detect.signatures import TEXT_FIELDS
from tasks.model.events import Event

LINE_CHARACTERS: Final = 2000
"""Longer lines are cut."""
_HEAD, _TAIL = 1400, 500
_HEAD_BEFORE_FOCUS, _TAIL_AFTER_FOCUS = 800, 300
_FOCUS_CHARACTERS: Final = 600


def excerpt(line: bytes, focus: bytes | None = None) -> str:
    r"""
    *line* as text of at most LINE_CHARACTERS, with *focus* in it if that is somewhere inside.

    Bytes that are not UTF-8 are written as `\xNN`; what is left out is shown as `[...]`.
    """
    if len(line) <= LINE_CHARACTERS:
        return _shorten(_text(line))
    at = line.find(focus) if focus else -1
    if focus is None or at < 0:
        return _shorten(f"{_text(line[:_HEAD])} [...] {_text(line[-_TAIL:])}")
    head = line[: min(at, _HEAD_BEFORE_FOCUS)]
    tail = line[max(at + len(focus), len(line) - _TAIL_AFTER_FOCUS) :]
    return _shorten(f"{_text(head)} [...] {_text(focus)} [...] {_text(tail)}")


def find_focus(event: Event, match: Callable[[Event], Sequence[object]]) -> bytes | None:
    """The first piece of a long field of *event* that signatures hit by itself, if any."""
    nothing: dict[str, Any] = dict.fromkeys(TEXT_FIELDS)
    for name in TEXT_FIELDS:
        for piece in _pieces(getattr(event, name) or ""):
            if match(replace(event, **{**nothing, name: piece})):
                return piece.encode("utf-8", "surrogateescape")
    return None


def _pieces(text: str) -> Iterator[str]:
    """Of a long *text* the parts that signatures see, in pieces that overlap by half."""
    if len(text) <= _FOCUS_CHARACTERS:
        return
    ends = {0: text[:FIELD_LIMIT], max(len(text) - FIELD_LIMIT, 0): text[-FIELD_LIMIT:]}
    for end in ends.values():
        for start in range(0, len(end), _FOCUS_CHARACTERS // 2):
            yield end[start : start + _FOCUS_CHARACTERS]


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")


def _shorten(text: str) -> str:
    if len(text) <= LINE_CHARACTERS:
        return text
    return f"{text[:_HEAD]} [...] {text[-_TAIL:]}"
