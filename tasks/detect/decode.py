"""Attackers' text as the attacked application would see it; what to make of it is in signatures."""

import html
import re
import unicodedata
from urllib.parse import unquote_to_bytes

FIELD_LIMIT = 8192
"""Characters of a field that are looked at: half from its head, half from its tail."""
ROUNDS = 4
"""Applications behind proxies decode twice; attackers hope for a third time."""

# everything that decoding or normalising could change, apart from the case
_CHANGEABLE = re.compile(r"[%+\\\x00-\x1f\x7f-\U0010ffff]|&(?:#|\w{2,32};)|  |0[xX]")
_ENTITY = re.compile(r"&(?:#x[0-9a-f]{1,8};?|#[0-9]{1,9};?|[a-z][a-z0-9]{1,31};)", re.IGNORECASE)
_UNICODE_ESCAPE = re.compile(r"(?:%u|\\u)([0-9a-f]{4})|\\u\{0{0,4}([0-9a-f]{1,4})\}", re.IGNORECASE)
_BYTE_ESCAPE = re.compile(r"(?:\\x|0x(?=2e|2f|5c))([0-9a-f]{2})", re.IGNORECASE)
# lenient decoders take the low six bits of whatever follows C0 or C1 (%c0%af, %c0%2f, %c1%9c)
_OVERLONG = re.compile(
    rb"[\xc0\xc1][\x00-\xff]|(?:\xe0|\xf0\x80|\xf8\x80\x80|\xfc\x80\x80\x80)[\x80\x81][\x80-\xbf]",
    re.DOTALL,
)
# and so do decoders that take any letter for a hexadecimal digit (%c0%qf, %c1%8s)
_LENIENT_HEX = re.compile(r"(%c[01])%([0-9a-z])([0-9a-z])", re.IGNORECASE)
# what Windows makes of these when it needs a character of its own
_BEST_FIT = str.maketrans(
    {"\u2215": "/", "\u2044": "/", "\u2216": "\\", "\uefc8": "/", "\uf025": "/"}
)
_STRAY_BYTES = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}
_LINE_BREAK = re.compile(r"[\r\n]+")
_WHITESPACE = re.compile(r"[\s\x01-\x1f\x7f\x80-\x9f]+")
# most texts have none of what a step looks for: to see that is cheaper than the step
_ESCAPE_HINT = re.compile(r"\\|%u|0x", re.IGNORECASE)
_ODD_HINT = re.compile(r"%(?:2[5e6]|5c|c0|c1|[ef]0%80|u00|00|bc|be)|&|\\[xu]|\xbc", re.IGNORECASE)

# encodings that browsers do not choose
_ESCAPES = {"%26": "&", "%23": "#", "%3b": ";", "%5c": "\\"}
_ESCAPED_ESCAPE = re.compile("|".join(_ESCAPES))
_ODDLY_SENT = re.compile(
    r"%(?:25|2e|c0|c1|[ef]0%80|u00|00|bc|be)|&(?:#|lt;)|\\[xu][0-9a-f]{2}|\xbc"
)
_SQL_CONDITIONAL = re.compile(r"/\*!\d{0,6}")
_SQL_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_SHELL_HINT = re.compile(r"['\"\\^`]|\$[@*{i]|\{[^{}]{1,200},")
_SHELL_SPACE = re.compile(r"\$\{ifs[^{}]{0,32}\}|\$ifs(?:\$\d)?")
_SHELL_BRACES = re.compile(r"\{([^{}]{1,200})\}")
_SHELL_NOISE = re.compile(r"['\"\\^`]|\$[@*]|\$\{[@*]\}")
_PATH_HINT = re.compile(r"\\|//|/\.|;|\x00")
_PATH_PARAMETER = re.compile(r";[^/?;]*(?=/|$)")
_PATH_NOISE = re.compile(r"/(?:\.?/)+")
_UP = re.compile(r"(?:^|/)\.\.(?=/|$)")


def decode(text: str | bytes, *, is_url: bool = False) -> str:
    r"""
    *text* with every encoding undone, lower-cased, with single spaces for runs of white space.

    Undone are plus as space (in a URL) and, up to ROUNDS times: percent-encoding (also overlong
    UTF-8 and `%uXXXX`), HTML entities, `\xNN` and `\uNNNN`, and what Unicode calls compatible
    (full-width letters). Bytes that are not UTF-8 are read as Latin-1. NUL stays; other control
    characters are white space. Never raises, and has no lone surrogates. At most FIELD_LIMIT
    characters.

    >>> decode("%252e%252e%c0%afETC/passwd")
    '../etc/passwd'
    >>> decode("1'+union/**/%u0053elect", is_url=True)
    "1' union/**/select"
    """
    return _space(_undo(text, is_url=is_url))


def view(text: str | bytes, *, is_url: bool = False) -> tuple[str, ...]:
    r"""
    *text* decoded, and then, where they differ from that, as other readers would see it.

    The views are: decoded; for a URL with encodings that no browser chooses, as it was sent; with
    `\r` for line breaks; as SQL, without comments and NULs; as a shell, without quoting, with
    `${IFS}` and braces as spaces; and for a URL as a path with `/` only, without `/./`, `//` and
    `;parameters`, and that with its `..` resolved. None of them holds `\n`.
    """
    text = _bound(_read(text))
    undone = _undo(text, is_url=is_url)
    decoded = _space(undone)
    views = [decoded]
    if is_url and _ODD_HINT.search(text) and _ODDLY_SENT.search(sent := _as_sent(text)):
        views.append(sent)
    if "\n" in undone or "\r" in undone:
        views.append(
            "\r".join(_WHITESPACE.sub(" ", li).strip() for li in _LINE_BREAK.split(undone))
        )
    if "/*" in decoded or "\x00" in decoded:
        views.append(_read_as_sql(decoded))
    if _SHELL_HINT.search(decoded):
        views.append(_read_as_shell(decoded))
    if is_url and _PATH_HINT.search(decoded):
        path = _read_as_path(decoded)
        views += [path, _resolve(path)]
    return tuple(dict.fromkeys(views)) if len(views) > 1 else (decoded,)


def _undo(text: str | bytes, *, is_url: bool) -> str:
    text = _bound(_read(text))
    if not _CHANGEABLE.search(text):
        return text.lower()
    if is_url:
        text = text.replace("+", " ")
    for _ in range(ROUNDS):
        decoded = _decode_once(text)
        if decoded == text:
            break
        text = decoded
    return _bound(text.lower())


def _read(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")


def _bound(text: str) -> str:
    if len(text) <= FIELD_LIMIT:
        return text
    half = FIELD_LIMIT // 2
    return text[:half] + text[-half:]


def _space(text: str) -> str:
    """*text* with single spaces for runs of white space and control characters."""
    if text.isprintable() and "  " not in text:
        return text
    return _WHITESPACE.sub(" ", text)


def _as_sent(text: str) -> str:
    sent = _ESCAPED_ESCAPE.sub(lambda found: _ESCAPES[found[0]], text.lower())
    return _space(sent if sent.isascii() else sent.encode("utf-8", "replace").decode())


def _decode_once(text: str) -> str:
    if "&" in text:
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    if _ESCAPE_HINT.search(text):
        text = _UNICODE_ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
        text = _BYTE_ESCAPE.sub(r"%\1", text)
    if "%" in text:
        text = _LENIENT_HEX.sub(_read_lenient_hex, text)
    elif text.isascii():
        return text
    data = unquote_to_bytes(_encode(text))
    if data.isascii():
        return data.decode("ascii")
    text = _OVERLONG.sub(_shorten, data).decode("utf-8", "surrogateescape")
    text = text.translate(_STRAY_BYTES)
    return _bound(unicodedata.normalize("NFKC", text).translate(_BEST_FIT))


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _read_lenient_hex(found: re.Match[str]) -> str:
    value = int(found[2], 36) * 16 + int(found[3], 36) & 0xFF
    return f"{found[1]}%{value:02x}"


def _shorten(found: re.Match[bytes]) -> bytes:
    sequence = found[0]
    return bytes([(sequence[-2] & 1) << 6 | sequence[-1] & 0x3F])


def _read_as_sql(text: str) -> str:
    text = _SQL_CONDITIONAL.sub(" ", text.replace("\x00", ""))
    text = _SQL_COMMENT.sub(" ", text).replace("*/", " ")
    return _space(text)


def _read_as_shell(text: str) -> str:
    if "$" in text:
        text = _SHELL_SPACE.sub(" ", text)
    text = _SHELL_NOISE.sub("", text)
    if "{" in text:
        text = _SHELL_BRACES.sub(lambda found: f" {found[1].replace(',', ' ')} ", text)
    return _space(text)


def _read_as_path(text: str) -> str:
    text = _PATH_PARAMETER.sub("", text.replace("\\", "/").replace("\x00", ""))
    return _PATH_NOISE.sub("/", text)


def _resolve(path: str) -> str:
    """
    The file that *path* names: each `..` takes the part before it away.

    >>> _resolve("/static/../../.env")
    '/.env'
    """
    if ".." not in path or not _UP.search(path):
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part != "..":
            parts.append(part)
        elif len(parts) > 1:
            parts.pop()
    return "/".join(parts)
