"""
Text that others wrote (log lines, the model's prose, web titles), made fit to be looked at.

Escaping for HTML, markdown or a terminal is the business of the sink; this comes before it.
"""

import re
import unicodedata

_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Default_Ignorable_Code_Point outside category Cf, and blanks that are letters or symbols:
# drawn as nothing, so they can hide text or split a word. Source: Unicode DerivedCoreProperties.
_HIDDEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U000e0000-\U000e0fff]"
)
_PLAIN = re.compile(r"[ -~]*")


def make_visible(text: str) -> str:
    r"""
    *text* in one line, with everything in it that a reader would not see written as an escape.

    White space becomes single blanks. Control, bidi, zero-width, tag and unassigned characters
    and lone surrogates become `\xNN`, `\uNNNN` or `\UNNNNNNNN`; the result encodes to UTF-8.

    >>> make_visible("a\tb\x1b[31m\u202egnp.exe")
    'a b\\x1b[31m\\u202egnp.exe'
    """
    line = " ".join(text.split())
    if _PLAIN.fullmatch(line):
        return line
    return "".join(_escape(c) if _is_hidden(c) else c for c in line)


def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in _HIDDEN_CATEGORIES
        or _HIDDEN.match(character) is not None
    )


def _escape(character: str) -> str:
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def count_units(text: str) -> int:
    """UTF-16 code units of *text*: what Telegram and JavaScript call its length."""
    return len(text) + sum(c > "\uffff" for c in text)


def cut(text: str, units: int) -> str:
    """
    At most *units* UTF-16 code units of *text*; what is cut away shows as "…".

    >>> cut("SELECT password", 8)
    'SELECT …'
    """
    if count_units(text) <= units:
        return text
    kept, room = 0, units - 1
    for character in text:
        room -= count_units(character)
        if room < 0:
            break
        kept += 1
    return text[:kept] + "…" if units > 0 else ""
