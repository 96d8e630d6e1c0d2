"""
Secrets in log lines, blacked out before the line leaves for the model, the web or a chat.

What stays shows what was attacked: the name of a parameter, the shape of the line, and a payload
where a secret would be. A mark has no place for the value, its length or its hash, all of which
can be guessed from.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

_LOGIN_WORDS = (
    r"pass_?w(?:or)?d|passphrase|passwort|kennwort|wachtwoord|contrase(?:n|ñ)a|mot_?de_?passe"
)
_PARTS = (
    rf"{_LOGIN_WORDS}|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential"
    r"|session[_-]?id|sessid|signature|otp"
)
_NAME = re.compile(
    rf"(?:^|\W)(?:[\w.\[-]*(?:{_PARTS})[\w.-]*\]?|(?:pass|pwd)\d{{0,3}}|senha|auth|auth_?code"
    r"|authorization|jwt|sid|sig|bearer|cookie|csrf"
    r"|(?P<number>pin|cvv|cvc|ssn)|(?P<vague>key|code|session))(?:\[\w*\])*$",
    re.IGNORECASE,
)
_FOR_LOGIN = re.compile("pass|pwd|wort|wacht|contra|senha", re.IGNORECASE)
_LOOKS_RANDOM = re.compile(r"(?=.*\d)(?=.*[a-z])[\w./+=-]{8,}", re.IGNORECASE | re.DOTALL)
_LOOKS_COUNTED = re.compile(r"\d[\d-]{2,10}")
# a parameter's name, in whatever encoding, and what separates it from its value
_PARAMETER = re.compile(
    r"(?:%(?:25)?(?:3f|26|2f|20|22|3b|7b)|(?<![\w%-]))"
    r"((?:[\w.\[\]-]|%(?!(?:25)?(?:3[bdf]|2[0267f]|3a|7b))[0-9a-f]{2}){2,128})"
    r"(=|%3d|%253d|\"\s{0,4}:\s{0,4}(?:\[\s{0,4})?\"|\\\"\s?:\s?\\\"|\\x22\s?:\s?\\x22|%22(?:%20)?%3a(?:%20)?%22)",
    re.IGNORECASE,
)
# A value ends where the query, the form, the cookie or the field of the log does.
_PLAIN_VALUE = re.compile(
    r"(?:\\(?![\"x])|\\x(?!22[\s,}:\]])|\\?\"(?![\s,;:}\])]|$)|;(?!\s|[\w-]+=|$)"
    r"|,(?![\w-]+=|\")|[^\s&;,\"\\]){1,2000}"
)
_VALUES = {
    "=": _PLAIN_VALUE,
    "%3d": re.compile(r"(?:(?!%26|%20|%22|%3b|%0a)[^\s&\"\\]){1,2000}", re.IGNORECASE),
    "%253d": re.compile(r"(?:(?!%26|%2526|%2520|%2522)[^\s&\"\\]){1,2000}", re.IGNORECASE),
}
_IN_QUOTES = re.compile(r"\"[^\"\r\n]{1,200}\"(?=[\s,;&]|$)")
_QUOTED_VALUES = {
    "%": re.compile(r"(?:(?!%22)[^\s&\"]){1,2000}", re.IGNORECASE),
    "\\": re.compile(r"(?:(?!\\\"|\\x22)[^\"\r\n]){1,2000}", re.IGNORECASE),
    '"': re.compile(r"(?:\\.|[^\"\\\r\n]){1,2000}"),
}
_MARK = re.compile(r"\[(?:password|secret|token|key|cookie|e-mail|card|private key)\]")
# What the analyst has to see: no visitor's secret reads like that.
_ATTACK = re.compile(
    r"['\"]\s*(?:or|and|union|having|order|group|like|limit|into|\|\||&&|--|#|;|\)|\+|=|<|>)"
    r"|\bunion\b.{0,30}\bselect\b|\b(?:select|insert|update|delete|drop|exec)\b\s.{1,60}"
    r"|\b(?:or|and)\b\s*['\"(\d].{0,20}[=<>]|/\*.*\*/|<\s*[a-z!/?%]|javascript:|\bon[a-z]{3,20}\s*="
    r"|\.\.[/\\]|/etc/|\\windows|\$\(\s*\w|`[^`]{2,}`|\$\{|\{\{|<%|[;|&]\s*(?:cat|ls|id|sh|bash|nc"
    r"|wget|curl|ping|whoami|uname|sleep|echo|python|perl|powershell|cmd|drop|shutdown)\b|://"
    r"|\b(?:sleep|benchmark|pg_sleep|extractvalue|updatexml|concat|char|load_file|eval|exec|system"
    r"|passthru|shell_exec|phpinfo|alert|prompt|confirm)\s*\(|waitfor\s+delay|\x00|[\r\n]",
    re.IGNORECASE | re.DOTALL,
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
    >>> redact("GET /login?user=bob&password='+OR+1=1-- HTTP/1.1").text
    "GET /login?user=bob&password='+OR+1=1-- HTTP/1.1"
    """
    counts: Counter[str] = Counter()
    if len(text) > 2 * _END_CHARACTERS + len(CUT):
        text = text[:_END_CHARACTERS] + CUT + text[-_END_CHARACTERS:]
    redacted = _redact_once(text, counts)
    # what a mark has taken the place of may have kept a secret beside it from being one
    return Redacted(_redact_once(redacted, counts) if counts else redacted, counts)


def _redact_once(text: str, counts: Counter[str]) -> str:
    for pattern, kind, replace in _RULES:
        text = pattern.sub(_counting(replace, kind, counts), text)
    return _redact_parameters(text, counts)


def _redact_parameters(text: str, counts: Counter[str]) -> str:
    """Every `name=value` whose name is that of a secret; a value may hold parameters of its own."""
    kept, at = [], 0
    for found in _PARAMETER.finditer(text):
        if found.start(2) < at:
            continue
        name = _decode(found[1])
        known = _NAME.search(name)
        value = _read_value(text, found) if known else ""
        if not (known and value) or _MARK.match(value) or _is_evidence(value):
            continue
        if known["vague"] and not _LOOKS_RANDOM.fullmatch(_decode(value)):
            continue
        if known["number"] and not _LOOKS_COUNTED.fullmatch(value):
            continue
        kind = "password" if _FOR_LOGIN.search(name) else "secret"
        counts["secret"] += 1
        kept += [text[at : found.end()], f"[{kind}]"]
        at = found.end() + len(value)
    return "".join([*kept, text[at:]])


def _read_value(text: str, found: re.Match[str]) -> str:
    separator = found[2].lower()
    if separator == "=" and (quoted := _IN_QUOTES.match(text, found.end())):
        return quoted[0]
    pattern = _VALUES.get(separator) or _QUOTED_VALUES[separator[0]]
    value = pattern.match(text, found.end())
    return value[0] if value else ""


def _is_evidence(value: str) -> bool:
    return _ATTACK.search(_decode(value)) is not None


def _decode(text: str) -> str:
    return unquote_plus(unquote_plus(text))


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


def _redact_card(match: re.Match[str]) -> str:
    digits = [int(c) for c in match[2] if c.isdigit()]
    doubled = (2 * d - 9 * (d > 4) for d in digits[-2::-2])
    return f"{match[1]}[card]" if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else match[0]


_RULES: tuple[tuple[re.Pattern[str], str, Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(
            r"([=:/\"]|%3d)((?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|65\d\d)"
            r"(?:(?:[ +-]|%20)?\d{4}){3}|3[47]\d\d(?:[ +-]|%20)?\d{6}(?:[ +-]|%20)?\d{5})(?!\d)",
            re.IGNORECASE,
        ),
        "card",
        _redact_card,
    ),
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
            r"|glpat-[\w-]{20,100}|xox[abeposr]-[\w-]{10,250}|sk-[\w-]{20,200}|[rs]k_live_\w{10,200}"
            r"|[rs]k_test_\w{10,200}|whsec_\w{16,100}|npm_\w{30,60}|pypi-[\w-]{50,250}|hf_\w{30,60}"
            r"|SG\.[\w-]{16,40}\.[\w-]{20,80}|ya29\.[\w-]{20,500}|shp(?:at|ca|pa|ss)_\w{30,60}"
            r"|dop_v1_\w{40,80}|AIza[\w-]{35}|tvly-[\w-]{8,100})|(?<!\d)\d{8,10}:AA[\w-]{30,40}"
        ),
        "key",
        _mark("key"),
    ),
    (
        re.compile(r"(\b(?:bearer|basic|digest)(?:\s|%20|\+))[\w.~+/=%-]{6,4000}", re.IGNORECASE),
        "token",
        _keep_start("token"),
    ),
    (
        re.compile(r"(://[^\s/:@?#\"]{1,200}:)(?!\[password\]@)[^\s/?#\"]{1,300}(?=@)"),
        "password",
        _keep_start("password"),
    ),
    (
        re.compile(
            r"(%3a%2f%2f[^\s%/&\"]{1,200}%3a)(?!\[password\])[^\s&\"]{1,200}?(?=%40)", re.IGNORECASE
        ),
        "password",
        _keep_start("password"),
    ),
    (
        re.compile(r"((?:set-)?cookie:(?!\s?\[cookie\])\s?)[^\"\r\n]{1,4000}", re.IGNORECASE),
        "cookie",
        _keep_start("cookie"),
    ),
    (
        re.compile(
            rf"(\b(?:{_LOGIN_WORDS}|pwd|secret|(?:x-)?(?:api|access|auth)[_-]?(?:key|token)|token)"
            r"\s?:(?!\s?\[)\s?)[^\s,;&\"]{3,200}",
            re.IGNORECASE,
        ),
        "secret",
        _keep_start("secret"),
    ),
    (
        re.compile(
            r"(?:[\w.!#$+-]|%2[be]|%5f|%[67][0-9a-f]){1,64}(?:@|%40|%2540)"
            r"(?:[\w-]{1,63}(?:\.|%2e|%252e)){1,8}[a-z]{2,24}\b",
            re.IGNORECASE,
        ),
        "e-mail address",
        _mark("e-mail"),
    ),
)
