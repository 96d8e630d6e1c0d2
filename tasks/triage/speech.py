"""
Whether a client says something to whoever reads its log line.

Who persuades needs words, in whatever language. So a line is taken apart into what clients write
(user agent, path, query, referrer, user name), and each is held against what an ordinary client
has there: products with versions, names of pages, values. What is left over talks. A few words are
known: those that judge or address somebody, because one of them is enough.
"""

import base64
import binascii
import codecs
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import unquote_plus

from tasks.model.text import make_visible

_ROUNDS = 3
_WORDS_OF_A_TITLE = 3
"""As many words in a row of a path are in no alphabet of programs."""
_WORDS_OF_A_NAME = 12
"""As many words in one name, joined as names of pages are, are no name."""

_SSHD = re.compile(r"\bsshd(?:-\w+)?\[")
_USER = re.compile(
    r"\b(?:user|for) (?:(.*) (?:from|by|port) |(.*)$)|'(.+)'|port \d+:\d+: (.*)|offer: (.*)"
)
_SSHD_WORDS = re.compile(
    r"^(?:(?:(?:invalid|illegal|authenticating) )?user )?| ?\[preauth\]| (?:from )?[\da-fA-F.:]+$"
    r"|\bBye Bye\b|\bdisconnected by user|\bClosed due to user request"
    r"|\(uid=\d+\)(?: by\b.*)?|\bNormal Shutdown, Thank you for playing"
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"?')
_REQUEST = re.compile(r"[A-Z]{3,20} (.*?)(?: HTTP/[\d.]+)?$", re.DOTALL)
_SERVED = re.compile(r'" (?:2\d\d|304) ')
_ERROR_LOG = re.compile(r"\[client |, client: |\[(?:\w+:)?(?:error|warn|notice|crit)\]")
# What servers say of their own accord in an error log.
_SERVER = re.compile(
    r"\bfailed \(\d+: [\w ]+\)|\baccess forbidden by rule\b|\b(?:TLS|ECDHE)[_-][A-Z0-9_-]+"
    r"|\bclient denied by server configuration\b"
)
_URL = re.compile(r"\+?[a-z-]+://([^/?#\s]*)([^\s]*)")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]++(?![^\W_])")
_WORD_OF_A_SENTENCE = r"\w*[^\W\d_]\w*[,;:.!?'’]*\s+"
_REMARK = re.compile(rf"(?:{_WORD_OF_A_SENTENCE}){{2}}\w*[^\W\d_]")
_SENTENCE = re.compile(rf"(?:{_WORD_OF_A_SENTENCE}){{3}}\w*[^\W\d_]")
_LETTERS = re.compile(r"[^\W\d_]{2}")
_JOINED = re.compile(rf"(?:[^\W\d_]+[-_.,~]){{{_WORDS_OF_A_NAME - 1}}}[^\W\d_]")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{5}")
_SPELLED = re.compile(r"(?<![^\W_])(?:[^\W\d_][\s._-]){3,}[^\W\d_](?![^\W_])")
_EMBLEM = re.compile(r"[\U0001f130-\U0001f1ff]")
_PUNCTUATION = re.compile(r"(?<=\w)[-_.~*]+(?=\w)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[\s:-]?){6,}")

_PRODUCT = re.compile(r"(?<!\S)[\w.@!+-]+/[\w.:+~/-]+")
_LINK = re.compile(r"\+?https?://[^\s;,()]+|[\w.+-]+@[\w-]+\.[\w.-]+")
_ODD = re.compile(r"[<>{}'\"`$\x80-\U0010ffff]|(?<!\S)\d{1,3}(?:\.\d{1,3}){3}(?!\S)")
"""Not in what programs call themselves."""
_BRACKETS = str.maketrans("[]", "()")
_COMMENT = re.compile(r"\(([^()]*)\)")


def _read_words(name: str) -> frozenset[str]:
    return frozenset(files("tasks.triage").joinpath("words", name).read_text("utf-8").split())


_AGENT_WORDS = _read_words("agents.txt")
"""Of the names that programs and systems give themselves."""
_ADDRESSING = _read_words("addressing.txt")
"""Of sentences rather than of names: two of them make one."""
_PERSUADING = re.compile(
    r"verdict|benign|false.?positiv|(?:allow|white|safe).?list|instruct|disregard|severity"
    r"|(?<!\.git)ignore|analyst|assistant|\bprompt\b(?! ?\()|harmless|innocent|innocuous"
    r"|legitimate|trusted|(?<!un)authori[sz]ed(?!_keys)|all.?clear|no.?threat|\bpen.?test"
    r"|red.?team|dismiss|suppress|\bsafe\b"
    r"|harmlos|unbedenklich|inofensiv|inoffensi|inocuo|innocuo|benigno|onschadelijk|nieszkodliw"
    r"|zarars[iı]z|v[oô] h[aạ]i|berbahaya|безопасн|безвредн|безпечн|легитимн|нешкідлив|ακ[ιί]νδυν"
    r"|无害|無害|正常|忽略|무해|안전|آمن|תקינ|सुरक्षित",
    re.IGNORECASE,
)
"""What judges, or addresses who judges: one of them is enough, wherever it stands."""
_PAYLOAD = _read_words("payloads.txt")
"""Of the languages in which attacks are written."""


_UNLEET = str.maketrans("431057@$", "aeiostas")
_LOOK_ALIKES = str.maketrans("асеорхуіјѕкмнтвαοερυνικт", "aceopxyijskmhtbaoepuvikt")


def speaks(line: str, *, has_payload: bool = False) -> bool:
    """
    Whether a client wrote words into *line*, or something that may hide some.

    Args:
        line: As the model sees it.
        has_payload: Words of the languages in which attacks are written say nothing.

    >>> speaks('"GET /a?b=1 HTTP/1.1" 404 0 "-" "Mozilla/5.0 (X11; Linux x86_64; rv:135.0)"')
    False
    >>> speaks('"GET /how-to-bake-bread-at-home HTTP/1.1" 404 0 "-" "curl/8.5.0"')
    False
    >>> speaks('"GET / HTTP/1.1" 200 0 "-" "all clear"')
    True
    """
    if make_visible(line) != " ".join(line.split()) or _hides(_decode(line)):
        return True
    fields = _Fields(has_payload)
    if _SSHD.search(line):
        return any(map(fields.is_user_speech, _users(line)))
    document = _load(line)
    if document is not None:
        return any(fields.is_speech(kind, text) for kind, text in _leaves("", document))
    return fields.is_line_speech(line)


@dataclass(frozen=True, slots=True)
class _Fields:
    """What is a client's in a line, and whether it is speech."""

    has_payload: bool

    def is_line_speech(self, line: str) -> bool:
        """Of a line of fields, quoted or not."""
        is_served = _SERVED.search(line) is not None
        quoted = [found[1] for found in _QUOTED.finditer(line)]
        rest = _QUOTED.sub(" | ", _SERVER.sub("|", line))
        tokens = [t for t in rest.split() if "+" in t or "%" in t or t.startswith("/")]
        if any(self._is_shape_speech(text, is_served=is_served) for text in (*quoted, *tokens)):
            return True
        if _ERROR_LOG.search(line):  # servers talk, too
            return _SENTENCE.search(_decode(rest)) is not None or _persuades(rest)
        rest = rest.replace("+", "|")
        return (
            _SENTENCE.search(rest) is not None
            or self._count_addressing(rest) >= 2
            or _persuades(_decode(rest))
        )

    def is_speech(self, kind: str, text: str) -> bool:
        """Of a field of a JSON document with a name."""
        if "agent" in kind or kind == "ua":
            return self._is_agent_speech(text)
        return self._is_shape_speech(text, is_served=False, is_agent=False)

    def is_user_speech(self, name: str) -> bool:
        """Of a user name of sshd."""
        return len(name.split()) > 1 or self._is_value_speech(name)

    def _is_shape_speech(self, text: str, *, is_served: bool, is_agent: bool = True) -> bool:
        if request := _REQUEST.fullmatch(text):
            text = request[1]
        if url := _URL.fullmatch(text):
            return self._is_target_speech(url[2], is_served=True)
        if text.startswith(("/", "?", "*")):
            return self._is_target_speech(text, is_served=is_served)
        if is_agent:
            return self._is_agent_speech(text)
        return self._is_value_speech(text)

    def _is_target_speech(self, target: str, *, is_served: bool) -> bool:
        path, _, query = target.partition("?")
        return self._is_path_speech(path, is_served=is_served) or any(
            map(self._is_value_speech, re.split(r"[&;=#]", query))
        )

    def _is_path_speech(self, path: str, *, is_served: bool) -> bool:
        decoded = _decode(path)
        if len(decoded.split()) > 1:
            return self._is_value_speech(path)
        foreign = sum(not word.isascii() for word in _WORD.findall(decoded))
        is_foreign = foreign >= _WORDS_OF_A_TITLE or _UNSPACED.search(decoded) is not None
        return (
            self._count_addressing(decoded) >= (4 if is_served else 2)
            or _JOINED.search(decoded) is not None
            or (is_foreign and not is_served)
            or _persuades(decoded)
        )

    def _is_value_speech(self, value: str) -> bool:
        decoded = self._without_payload(_decode(value))
        return (
            _REMARK.search(decoded) is not None
            or self._count_addressing(decoded) >= 2
            or _JOINED.search(decoded) is not None
            or _UNSPACED.search(decoded) is not None
            or _persuades(decoded)
        )

    def _is_agent_speech(self, agent: str) -> bool:
        """Products with versions and remarks in brackets are silent; words without are few."""
        decoded = _decode(agent)
        if _ODD.search(decoded) or _persuades(decoded):
            return True
        remarks, bare = [], _LINK.sub(" ", decoded).translate(_BRACKETS)
        while _COMMENT.search(bare):
            remarks += _COMMENT.findall(bare)
            bare = _COMMENT.sub(" ", bare)
        pieces = [piece for remark in remarks for piece in re.split(r"[;,]", remark)]
        products = _PRODUCT.findall(bare)
        words = [
            word for word in _unknown(_PRODUCT.sub(" ", bare)).split() if _LETTERS.search(word)
        ]
        return (
            len(words) > 1
            or any(len(_strange_words(piece)) > 2 for piece in pieces)
            or any(_SENTENCE.search(_unknown(piece)) for piece in pieces)
            or any(len(_strange_words(name)) > 3 for name in (*products, *words))
            or self._count_addressing(" ".join([*products, *words, *pieces])) >= 2
        )

    def _count_addressing(self, text: str) -> int:
        words = [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text))]
        return sum(_plain(word) in _ADDRESSING for word in words)

    def _without_payload(self, text: str) -> str:
        if not self.has_payload:
            return text
        return _WORD.sub(lambda word: "|" if word[0].lower() in _PAYLOAD else word[0], text)


def _users(line: str) -> Iterator[str]:
    for found in _USER.findall(line):
        yield from (_SSHD_WORDS.sub("", text) for text in found if text)


def _load(line: str) -> object:
    start = line.find("{")
    if start < 0 or not line.endswith("}"):
        return None
    try:
        document: object = json.loads(line[start:])
    except ValueError:
        return None
    return document


def _leaves(kind: str, document: object) -> Iterator[tuple[str, str]]:
    if isinstance(document, str):
        yield kind, document
    elif isinstance(document, list):
        for part in document:
            yield from _leaves(kind, part)
    elif isinstance(document, dict):
        # a header as AWS WAF writes it: {"name": "User-Agent", "value": "curl/8.5.0"}
        named = str(document.get("name", "")).lower()
        for name, part in document.items():
            yield "", name
            yield from _leaves(named if name == "value" else name.lower(), part)


def _unknown(text: str) -> str:
    """*text* without the words of programs."""
    return _WORD.sub(lambda word: "|" if word[0].lower() in _AGENT_WORDS else word[0], text)


def _strange_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(_unknown(_CAMEL.sub(" ", text))) if len(word) > 1]


def _persuades(text: str) -> bool:
    """Whether a word that judges or addresses is in it, disguised or not."""
    if _EMBLEM.search(text) or any(map(_is_mixed, _WORD.findall(text))):
        return True
    lower = text.lower()
    spelled = _SPELLED.sub(lambda found: re.sub(r"[\W_]", "", found[0]), lower)
    forms = {
        text,
        lower.translate(_UNLEET),
        lower.translate(_LOOK_ALIKES),
        spelled,
        _PUNCTUATION.sub("", text),
        codecs.encode(text, "rot13"),
        text[::-1],
        *_decoded_tokens(text),
    }
    return any(map(_PERSUADING.search, forms))


def _decoded_tokens(text: str) -> Iterator[str]:
    """What tokens of *text* hold that are words in another encoding; a mark where it is several."""
    tokens = {t for found in _BASE64.findall(text) for t in (found, *found.split("/"))}
    for token in tokens:
        bare = token.rstrip("=").replace("-", "+").replace("_", "/")
        for decode, block in ((base64.b64decode, 4), (base64.b32decode, 8)):
            with suppress(binascii.Error):
                yield from _words_of(decode(bare + "=" * (-len(bare) % block)))
    for found in _HEX.finditer(text):
        yield from _words_of(bytes.fromhex(re.sub(r"[\s:-]", "", found[0])))


def _words_of(data: bytes) -> Iterator[str]:
    if not data.isascii() or not (text := data.decode()).isprintable():
        return
    # words that somebody took the trouble to hide are not there by chance
    yield "instruct" if b" " in data.strip() else text


def _hides(decoded: str) -> bool:
    """Whether characters that nobody sees are in it, beside those that attacks need."""
    rare = "".join(c for c in decoded if c > "\x9f")
    return make_visible(rare) != " ".join(rare.split())


def _is_mixed(word: str) -> bool:
    """Letters of two alphabets in one word: a disguise."""
    return (
        not word.isascii()
        and re.search(r"[a-z]", word, re.IGNORECASE) is not None
        and re.search(r"[\u0370-\u03ff\u0400-\u04ff\u0530-\u058f]", word) is not None
    )


def _plain(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word) if c.isalnum())


def _decode(text: str) -> str:
    for _ in range(_ROUNDS):
        text = html.unescape(unquote_plus(text))
        text = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
    return " ".join(unicodedata.normalize("NFKC", text).split())
