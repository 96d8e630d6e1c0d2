"""
Secrets in log lines, blacked out before the line leaves for the model, the web or a chat.

What stays shows what was attacked: the name of a parameter, the shape of the line. A mark has no
place for the value, its length or its hash, all of which can be guessed from.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

_NAMES = (
    r"(?:[\w.\[\]-]{0,64}(?:passw(?:or)?d|passwd|passphrase|secret|token|api[_-]?key|apikey"
    r"|access[_-]?key|private[_-]?key|credential|session[_-]?id|sessid|signature|otp)"
    r"[\w.\[\]-]{0,64}|pass|pwd|auth|authorization|jwt|sid|sig|bearer|cookie|csrf)"
)
# A value ends where a query, a form, a cookie or a line of a log does; one that holds the
# characters of an attack is what the analyst has to see, and no secret of a visitor.
_VALUE = r"[^\s&;,\"'<>(){}\[\]|`$*\\]{1,2000}"
_SEPARATOR = r"(?:=|%3d|\":\s?\"|%22%3a%22)"
_ATTACK = re.compile(
    r"%27|%22|%3c|%28|%60|%24%7b|\.\./|%2e%2e|--|/\*|\+or\+|union|select", re.IGNORECASE
)


_END_CHARACTERS = 8000
"""Of a longer text only both ends may leave: patterns over a megabyte of bait take long."""
CUT = " [...] "


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text that may leave."""

    text: str
    counts: Counter[str] = field(default_factory=Counter)
    """What was blacked out, by kind."""


def redact(text: str) -> Redacted:
    """
    *text* with every secret in it replaced by a mark that says what was there.

    Applied twice it is applied once. A text of more than 16,000 characters loses its middle.

    >>> redact("GET /login?user=bob&password=hunter2 HTTP/1.1").text
    'GET /login?user=bob&password=[password] HTTP/1.1'
    """
    counts: Counter[str] = Counter()
    if len(text) > 2 * _END_CHARACTERS + len(CUT):
        text = text[:_END_CHARACTERS] + CUT + text[-_END_CHARACTERS:]
    for pattern, kind, replace in _RULES:
        text = pattern.sub(_counting(replace, kind, counts), text)
    return Redacted(text, counts)


def _counting(
    replace: Callable[[re.Match[str]], str], kind: str, counts: Counter[str]
) -> Callable[[re.Match[str]], str]:
    def replace_and_count(match: re.Match[str]) -> str:
        replaced = replace(match)
        if replaced != match[0]:
            counts[kind] += 1
        return replaced

    return replace_and_count


def _mark(kind: str) -> Callable[[re.Match[str]], str]:
    return lambda _match: f"[{kind}]"


def _keep_start(kind: str) -> Callable[[re.Match[str]], str]:
    """The first group stays, the rest goes."""
    return lambda match: f"{match[1]}[{kind}]"


def _redact_parameter(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    if _ATTACK.search(value):
        return match[0]
    kind = "password" if re.search(r"pass|pwd", name, re.IGNORECASE) else "secret"
    return f"{name}[{kind}]"


_RULES: tuple[tuple[re.Pattern[str], str, Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,10000}", re.DOTALL),
        "private key",
        _mark("private key"),
    ),
    (
        re.compile(r"eyJ[\w-]{8,2000}\.[\w-]{4,4000}(?:\.[\w-]{0,2000})?"),
        "token",
        _mark("token"),
    ),
    (
        re.compile(
            r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{20,255}|github_pat_\w{20,255}"
            r"|glpat-[\w-]{20,100}|xox[abposr]-[\w-]{10,250}|sk-[\w-]{20,200}|sk_live_\w{10,200}"
            r"|AIza[\w-]{35}|tvly-[\w-]{8,100})|(?<!\d)\d{8,10}:AA[\w-]{30,40}"
        ),
        "key",
        _mark("key"),
    ),
    (
        re.compile(r"(\b(?:bearer|basic|digest)(?:\s|%20|\+))[\w.~+/=-]{6,4000}", re.IGNORECASE),
        "token",
        _keep_start("token"),
    ),
    (
        re.compile(r"(://[^\s/:@?#]{1,200}:)[^\s/@?#]{1,200}(?=@)"),
        "password",
        _keep_start("password"),
    ),
    (
        re.compile(r"((?:set-)?cookie:\s?)[^\"\r\n]{1,4000}", re.IGNORECASE),
        "cookie",
        _keep_start("cookie"),
    ),
    (
        re.compile(rf"((?<![\w]){_NAMES}{_SEPARATOR})(?!\[)({_VALUE})", re.IGNORECASE),
        "secret",
        _redact_parameter,
    ),
    (
        re.compile(r"[\w.!#$+-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}\b", re.IGNORECASE),
        "e-mail address",
        _mark("e-mail"),
    ),
)
