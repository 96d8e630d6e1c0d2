"""How a text is hidden from whoever looks for its words, by the names that the cases use."""

import base64
import codecs
import html
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, unquote_plus

LOOK_ALIKES = str.maketrans("aceopxyijsABCEHKMOPTX", "асеорхуіјѕАВСЕНКМОРТХ")
LEET = str.maketrans("aeiots", "431075")


def _each(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "".join(map(change, text))


def _shift(letter: str, small_a: int) -> str:
    return (
        chr(small_a + ord(letter.lower()) - ord("a"))
        if letter.isascii() and letter.isalpha()
        else letter
    )


DISGUISES: dict[str, Callable[[str], str]] = {
    "percent": _each(lambda c: f"%{ord(c):02x}"),
    "percent-twice": lambda text: quote("".join(f"%{ord(c):02x}" for c in text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "html": _each(lambda c: f"&#{ord(c)};"),
    "unicode": _each(lambda c: f"\\u{ord(c):04x}"),
    "hex": _each(lambda c: f"\\x{ord(c):02x}"),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "leet": lambda text: text.lower().translate(LEET),
    "homoglyphs": lambda text: text.translate(LOOK_ALIKES),
    "zero-width": _each(lambda c: c + "\u200b"),
    "tags": _each(lambda c: chr(0xE0000 + ord(c))),
    "bidi": lambda text: f"\u202e{text[::-1]}\u202c",
    "full-width": _each(lambda c: chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c),
    "reversed": lambda text: text[::-1],
    "spaced": " ".join,
    "dotted": ".".join,
    "combining": _each(lambda c: c + "\u0336"),
    "mathematical": _each(lambda c: _shift(c, 0x1D41A)),
    "emoji": _each(lambda c: _shift(c, 0x1F1E6)),
}

_PLAIN = str.maketrans(
    "асеорхуіјѕАВСЕНКМОРТХ", "aceopxyijsABCEHKMOPTX",
) | {0xE0000 + n: n for n in range(32, 127)} | {0x1F1E6 + n: 97 + n for n in range(26)}  # fmt: skip
_UNLEET = str.maketrans("431075", "aeiots")


def see_through(text: str) -> set[str]:
    """Everything that *text* says to a reader who gives it every benefit: all disguises undone."""
    seen = {text}
    fresh = seen
    for _ in range(3):
        fresh = {read for known in fresh for read in _read(known)} - seen
        seen |= fresh
    return seen


def _read(text: str) -> set[str]:
    bare = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    shown = "".join(c for c in bare if unicodedata.category(c) not in ("Cf", "Mn", "Me"))
    found = {
        unquote_plus(text),
        html.unescape(text),
        re.sub(
            r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})",
            lambda found: chr(int(found[1] or found[2], 16)),
            text,
        ),
        text.replace("\\\\", "\\").replace("[.]", "."),
        shown,
    }
    if len(text) < 1500:
        found |= {codecs.encode(text, "rot13"), text[::-1], text.lower().translate(_UNLEET)}
        found.add(re.sub(r"(?<=\b\w)[ .](?=\w\b)", "", text))
    for token in re.findall(r"[A-Za-z0-9+/]{12,}={0,2}", text):
        try:
            found.add(base64.b64decode(token, validate=True).decode())
        except ValueError:
            continue
    return found
