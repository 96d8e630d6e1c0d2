"""
The model's prose, before people read it.

What a model writes, a log line or a web page may have told it to write. So no phrase of an attacker
is looked for here: a text is held against what none may do, whoever asked for it. It names no
address but the suspect's and leads nowhere, repeats neither the prompt nor a secret, and does not
talk down what the rules found.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import unquote_plus

from tasks.model.incidents import Incident, Severity
from tasks.model.redaction import redact
from tasks.model.text import cut, make_visible
from tasks.triage.confidential import Confidential, fold

MASK = "[another address]"
_READ = 20_000
"""Characters of a text that are looked at; more than a model can write."""
_LONG_TOKEN = 40
"""Characters without a blank that no word has."""
_ENCODED = re.compile(r"[a-z0-9+/=_]{25,}")
"""Longer than words are, and without what joins words."""

_MARKUP = r"[\s*_~`'\"\\()\[\]<>{}|]{0,4}"
_IPV4 = re.compile(
    rf"(?<![\d.])\d{{1,3}}(?:(?:{_MARKUP}[.-]{_MARKUP}|[,/\u00b7\u2027\u066b])\d{{1,3}}){{3,}}"
    r"(?!\d|\.\d)"
)
_NETWORK = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}/\d{1,2}\b|\b\d{1,3}(?:\.\d{1,3}){1,2}(?:\.[*x])+(?!\w)"
    r"|[\da-f]+:[\da-f:]*/\d{1,3}\b|\b0x[\da-f]{8}\b"
)
"""More than one address, or one that is spelled as a number."""
_DIGIT = "zero|one|two|three|four|five|six|seven|eight|nine|ten|dot|point"
_NUMBER = (
    "(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six"
    "|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred)"
)
_IN_WORDS = rf"{_NUMBER}(?:(?: and |[ -]){_NUMBER}){{0,4}}"
_LIKE_DIGITS = "oil\u043e\u0437\u0456"
_SPELLED = re.compile(
    r"\b0[xo][\da-f]{1,11}(?:\.0?[xo]?[\da-f]+)*\b|\b\d{1,3}(?:\.\d{1,3}){0,2}\.\d{4,8}\b"
    r"|\b(?:1[7-9]|[2-9]\d)\d{6}\b|\b[1-9]\d{8,9}\b|\b(?=\d*[a-f])[\da-f]{14,}\b"
    r"|\b[\da-f]{2}(?: [\da-f]{2}){6,}\b"
    r"|(?<![\d.,:/-])\d{1,3}(\s?[^\w\s,.]{1,2}\s?|\s|_)\d{1,3}(?:\1\d{1,3}){2}(?![\d:/-])"
    r"|\b\d{1,3}(\.{2,3}| [a-z]{2,8} )\d{1,3}(?:\2\d{1,3}){2}\b|\b[01]{8}(?:\.[01]{8}){3}\b"
    rf"|(?<![\w.])(?=[\d.]*[{_LIKE_DIGITS}])(?=\D{{0,12}}\d)[\d{_LIKE_DIGITS}]{{1,3}}"
    rf"(?:\.[\d{_LIKE_DIGITS}]{{1,3}}){{3}}(?!\w)"
    rf"|\b{_IN_WORDS}(?:(?: ?[,.;:/] ?| (?:dot|point) ){_IN_WORDS}){{3}}\b"
    rf"|(?:\b(?:{_DIGIT})\W+){{3}}(?:{_DIGIT})\b|\bas\d{{3,}}\b|\basn\W{{0,3}}\d+"
)
"""Numbers and words that may be an address, or the system that it is in."""
_TAG = re.compile(r"<[^<>]{0,200}>")
_IPV6 = re.compile(
    r"(?<![\w:.])(?=[\da-f]*:[\da-f:]*:)[\da-f:]{3,39}(?:\.\d{1,3}){0,3}(?![\w:])", re.IGNORECASE
)
_LINK = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://\S*|\bhxxps?:\S*|\b(?:mailto|javascript|tg):\S+|\bwww\.\S+"
    r"|[\w.+-]+@[\w-]+\.[\w.-]+|\]\([^)]*\)|(?<![\w/])@\w{4,}"
)
_HOST = re.compile(
    r"(?<![\w./\\-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+([a-z]{2,24})(?![\w-]|\.\w)"
)
_FILE_ENDINGS = {
    "asp", "aspx", "bak", "bash", "bat", "bz2", "cfg", "cgi", "class", "cnf", "conf", "config",
    "css", "csv", "db", "dll", "do", "env", "exe", "git", "gz", "htaccess", "htm", "html",
    "htpasswd", "inc", "ini", "jar", "java", "jpg", "js", "json", "jsp", "key", "local", "lock",
    "log", "md", "mysql", "old", "pem", "phar", "php", "phtml", "pl", "png", "pub", "py", "rb",
    "rtf", "save", "service", "sh", "so", "sql", "sqlite", "svg", "svn", "swp", "tar", "tgz",
    "tmp", "toml", "ts", "txt", "vbs", "war", "wsdl", "xml", "yaml", "yml", "zip",
}  # fmt: skip
_HTTP = re.compile(r"\bhttp(s?)(?=://)", re.IGNORECASE)
"""Defanged, as analysts write links of attackers: nobody follows one by mistake."""
_EDGES = "\"'`.,;:!?()[]<>*_"
_RATING = re.compile(
    r"\b(informational|info|none|low|medium|high)(?:[- ](?:level|risk|priority))?[- ]severity\b"
    r"|\bseverity\b(?:\s+(?:level|rating|is|was|of|to|as|at|should|be|remains?|set|only|just))*"
    r"[\s:=\"'*_`-]{0,4}\b(informational|info|none|low|medium|high)\b"
)
_SEVERITIES = {"info": "informational", "none": "informational"}
_CONDITION = re.compile(r"\b(?:if|unless|whether|in case)\b[^.,;:!?]*")
_CLEARING = re.compile(
    r"\b(?:is|was|are|were|be|as|just|only|merely|purely|entirely|completely|an?|this|our|your)\s+"
    r"(?:(?!not\b|no\b|never\b)\w+\s+){0,3}(?:benign|harmless|authori[sz]ed|approved|trusted|safe"
    r"|false[ -](?:positives?|alarms?))\b"
    r"|\b(?:is|was|are|were)\s+(?:(?!not\b|no\b|never\b)\w+\s+){0,3}(?:legitimate|expected)\b"
    r"|\b(?:not|never|n['’]t)\s+(?:\w+\s+)?(?:malicious|an?\s+(?:\w+\s+)?(?:attack|threat|incident))\b"
    r"|\ball clear\b|\broutine (?:traffic|test|check|maintenance)"
)
_IDLE = re.compile(
    r"\bno(?: \w+)? (?:action|response|follow-?up|steps?|reaction)\b|\bno need\b|\bdo nothing\b"
    r"|\bnothing(?: \w+){0,2} (?:to do|to worry|needed|necessary|required|done)\b"
    r"|\bno[^.;]{0,15}(?:needed|necessary|required)\b"
    r"|\b(?:allow|white|safe|permit)-?\s?list|\bun-?block|\b(?:ignore|disregard|dismiss|suppress"
    r"|mute|silence|exempt|trust)\b.{0,20}\b(?:it|this|these|them|alerts?|incidents?|findings?"
    r"|address|ip|clients?|host|source|traffic|activity)\b"
    r"|\b(?:not|never|n['’]t)\s+(?:be\s+|need to\s+)?(?:block|worr|alert|act\b|escalat)"
    r"|\b(?:clos|archiv|resolv)(?:e|ed|ing) (?:it\b|(?:this|the) (?:incident|alert|case|ticket))"
    r"|\b(?:go )?back to sleep\b|\bno risk\b"
)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads what the model wrote of one incident."""

    incident: Incident
    sources: tuple[str, ...]
    """What the model was shown and may quote, by *sources_of*."""
    confidential: Confidential

    def read_description(self, text: str, units: int, *, may_clear: bool = False) -> str | None:
        """
        *text* as people may read it, cut to *units*; None if they may not.

        Args:
            text: What the model wrote.
            units: UTF-16 code units.
            may_clear: It may say that the suspect did no harm.
        """
        text = text[:_READ]
        folded = fold(text)
        masked = self._mask(text)
        if masked is None or self._leads_away(folded) or self.confidential.is_in(text):
            return None
        if _is_foreign_script(text) or self._talks_down(folded, may_clear=may_clear):
            return None
        return cut(make_visible(_HTTP.sub(r"hxxp\1", redact(masked).text)), units) or None

    def read_advice(self, text: str, units: int) -> str | None:
        """The same of an action: it also leads nowhere with a quote, and is not to do nothing."""
        folded = fold(text[:_READ])
        is_elsewhere = any(self._foreign_addresses(folded)) or any(_links(folded))
        if is_elsewhere or self.advises_nothing(text):
            return None
        return self.read_description(text, units)

    def advises_nothing(self, text: str) -> bool:
        """Whether *text* tells people to do nothing, or to look away."""
        return _IDLE.search(_CONDITION.sub("", fold(text[:_READ]))) is not None

    def _mask(self, text: str) -> str | None:
        """
        *text* with the addresses of others hidden where it quotes a payload that was shown.

        None where it names one of its own accord, which would accuse somebody.
        """
        masked = " ".join(self._mask_word(word) for word in text.split())
        return None if any(self._foreign_addresses(fold(masked))) else masked

    def _mask_word(self, word: str) -> str:
        core = word.strip(_EDGES)
        is_payload = any(sign in core for sign in "/@=") and self._is_quoted(core)
        if is_payload and any(self._foreign_addresses(core.lower())):
            return _IPV6.sub(MASK, _IPV4.sub(MASK, word))
        return word

    def _foreign_addresses(self, folded: str) -> Iterator[str]:
        known = (self.incident.source_ip.lower(), *self.sources)
        for form in {folded, html.unescape(unquote_plus(_TAG.sub("", folded)))}:
            yield from (text for text in _find_addresses(form) if not self._is_own(text))
            for found in (*_NETWORK.finditer(form), *_SPELLED.finditer(form)):
                if not any(found[0] in text for text in known):
                    yield found[0]

    def _is_own(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if address.is_loopback or address.is_unspecified or address.is_link_local:
            return True  # nobody is accused by these
        own = (self.incident.source_ip, self.incident.activity.most_active_address)
        return any(address in ip_network(known, strict=False) for known in own if known)

    def _leads_away(self, folded: str) -> bool:
        tokens = [word for word in folded.split() if len(word) > _LONG_TOKEN]
        opaque = [*_links(folded), *tokens, *_ENCODED.findall(folded)]
        return not all(map(self._is_quoted, opaque))

    def _is_quoted(self, text: str) -> bool:
        core = text.strip(_EDGES).lower()
        return bool(core) and any(core in source for source in self.sources)

    def _talks_down(self, folded: str, *, may_clear: bool) -> bool:
        told = _CONDITION.sub("", folded)
        if not may_clear and self.incident.has_signature_evidence and _CLEARING.search(told):
            return True
        names = (found[1] or found[2] for found in _RATING.finditer(folded))
        said = (Severity(_SEVERITIES.get(name, name)) for name in names)
        return any(severity.rank < self.incident.severity.rank for severity in said)


def sources_of(texts: Iterable[str]) -> tuple[str, ...]:
    """*texts* as they may be quoted: as they are, and decoded."""
    return tuple(form.lower() for text in texts for form in {text, unquote_plus(text)})


def _links(folded: str) -> Iterator[str]:
    yield from (found[0] for found in _LINK.finditer(folded))
    yield from (found[0] for found in _HOST.finditer(folded) if found[1] not in _FILE_ENDINGS)


def _find_addresses(folded: str) -> Iterator[str]:
    for found in _IPV4.finditer(folded):
        octets = [int(number) for number in re.findall(r"\d+", found[0])]
        # 0.0 at the end is a version of a program, and no host
        is_version = octets[1:] == [0, 0, 0] or folded[found.start() - 1 : found.start()] == "/"
        if octets[2:] != [0, 0] or not is_version:
            yield ".".join(map(str, octets))
    for found in _IPV6.finditer(folded):
        try:
            yield str(ip_address(found[0].rstrip(":") if found[0][-2:] != "::" else found[0]))
        except ValueError:
            continue


def _is_foreign_script(text: str) -> bool:
    """Whether much of it is in letters that the reader of an English text may not know."""
    letters = [c for c in text if c.isalpha()]
    foreign = sum("LATIN" not in unicodedata.name(c, "") for c in letters)
    return foreign > len(letters) // 4
