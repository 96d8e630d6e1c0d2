r"""
Lines of other formats by their fields, as tables that `rewriting_kernel` follows.

A shape is written from left to right, as the line is:

- `{STATUS:digits}` is a field that the kernel keeps in a slot, `{digits}` one that it does not. It
  is one of FIELDS, or a picture as below; in `{any }`, there is no blank.
- `(one|other)` is the first of these that begins as the line goes on, which is then the only one;
  the last one can be nothing.
- `$` is the end of the line, and `{=OF_REQUEST}` that of the shape: how the line is rewritten.
- All else is a picture, of at most 32 characters: `#` is a digit, `^` a capital letter, `~` a small
  one, and any other character, or one after a backslash, itself.

Whatever has a shape has the format: shapes are narrower than the expressions of `text`, `haproxy`,
`syslog`, `container` and `w3c`, which define the formats.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_letters, digits, hexdigits
from typing import Any, Final

import numpy as np

_LONGEST: Final = 1 << 30
_WIDTH: Final = 32
"""Bytes of a picture that are looked at at once."""
_END: Final = 10
"""What ends the last field of a line."""
_PRINTED: Final = "".join(map(chr, range(33, 127)))
_BEYOND: Final = "".join(map(chr, range(128, 256)))
_ALL: Final = "".join(map(chr, range(256)))
_ADDRESS: Final = hexdigits + ".:"
_MARKS: Final = {"#": "09", "^": "AZ", "~": "az"}
"""The first and the last of what they are."""
_TOKEN: Final = re.compile(
    r"\\(?P<itself>.)|\{=(?P<mode>\w+)\}|(?P<mark>[^{])"
    r"|\{(?:(?P<slot>[A-Z]+):)?(?P<field>[^}]+?)(?P<other>[ \t]?)\}",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Field:
    """Part of a line."""

    op: str
    """
    RUN: bytes of *letters*. UNTIL: printable bytes but for *other*, the first one of *letters*.
    PICTURE: bytes from the first to the last of *pictured*.
    """
    letters: str = ""
    pictured: Sequence[str] = ()
    least: int = 1
    most: int = _LONGEST
    other: str = '"'
    kind: str = "PLAIN"
    """How it is written, and of ACCEPT, how the line is."""
    slot: str | None = None
    stop: int | None = None
    """What comes after it, and belongs to no other field."""


_Part = _Field | list[list["_Part"]]


def _run(letters: str, least: int = 1, most: int = _LONGEST, kind: str = "PLAIN") -> _Field:
    return _Field("RUN", letters, (), least, most, kind=kind)


def _until(other: str = '"', least: int = 0, start: str = _ALL, kind: str = "PLAIN") -> _Field:
    return _Field("UNTIL", start, (), least, other=other, kind=kind)


_NAMED = "".join(c for c in _PRINTED if c not in '"[')
FIELDS: Final = {
    "digits": _run(digits), "letters": _run(ascii_letters), "none": _run(""),
    "word": _until(least=1), "any": _until(), "text": _until("\\"), "encoded": _until("#"),
    "plus": _until(kind="PLUS"), "percent": _until(kind="PERCENT"),
    "path": _until(least=1, start="/"), "line": _until("\n", least=1, start=hexdigits),
    "object": _run("{", 1, 1),
    "address": _run(_ADDRESS), "peer": _run(_ADDRESS, kind="PEER"),
    "peer_in_brackets": _run(_ADDRESS + "[]", kind="PEER"),
    "second": _run(digits, 9, 10), "instant": _run(digits, 11, 19),
    # of load balancers
    "balancer": _run(ascii_letters + digits + "_/-"), "decimal": _run(digits + "-."),
    "authority": _run("".join(c for c in _PRINTED if c not in '"\\/?')),
    # of S3: a bucket is no address
    "owner": _run(digits + "abcdef", 64, 64), "dotted": _run(digits + ".", 0),
    "name": _run(ascii_letters + "_-"), "bucket": _run(ascii_letters + digits + "_.-", 0),
    # of syslog and HAProxy
    "priority": _run(digits, 1, 3), "host": _run(_NAMED.replace(":", "")),
    "named": _run(_NAMED), "backend": _run(_NAMED.replace("/", "")), "state": _run(_NAMED, 4, 4),
    "timers": _run(digits + "-+/"), "counts": _run(digits + "+/"), "queues": _run(digits + "/"),
    "captured": _run("".join(c for c in _PRINTED if c not in '{}"') + " " + _BEYOND, 0),
}  # fmt: skip

_DAY = "{DAY:##/^~~/####:##:##:##}"
_ZONE = "{ZONE:+####}|{ZONE:-####}"
_ZONE_WITH_COLON = "{ZONE:+##:##}|{ZONE:-##:##}"
TIME: Final = (
    "(({DATE:####-##-##}T|{DATE:####-##-##} ){CLOCK:##:##:##}(.{digits}|,{digits}|)"
    f"({_ZONE_WITH_COLON}|Z|{_ZONE}| (UTC|Z|{_ZONE_WITH_COLON}|{_ZONE}))$"
    # as a number, one with many nines is rounded up
    "|{SECONDS:second}$|{SECONDS:second}.(999999{none}|{digits}$)|{SECONDS:instant}$"
    f"|{_DAY} ({_ZONE})$){{=OF_TIME}}"
)
"""A time in JSON; see `ObjectClock.read_time`."""
OBJECT: Final = (
    "####-##-##T##:##:##(.{digits}|)(Z|+##:##|-##:##) (stdout|stderr) F {LINE:object}{=OF_LINE}"
)
"""An object of JSON in what a runtime has put around it; see `container`."""
_LOAD_BALANCER = (
    "(https|http|h2|grpcs|wss|ws) {DATE:####-##-##}T{CLOCK:##:##:##}.{digits}Z {balancer} "
    "{CLIENT:peer_in_brackets} {word} {decimal} {decimal} {decimal} {STATUS:digits} {word} "
    '{digits} {digits} "{METHOD:letters} {letters}://{authority}{TARGET:path} HTTP/#(.#|)" '
    r'"{AGENT:text}" {word} {word} {word} "{text}" "{text}" {=OF_TARGET}'
)
_BUCKET = (
    "{owner} {dotted}{name}{bucket} [" + _DAY + " (" + _ZONE + ")] {CLIENT:address} {USER:word} "
    '{word} {word} {word} "{REQUEST:text}" {STATUS:digits} {word} ({digits}|-) {word} {word} '
    '{word} ("{REFERRER:text}"|-) ("{AGENT:text}"|-) {=OF_REQUEST}'
)
_HAPROXY = (
    "{CLIENT:peer} [%s.###] {named} {backend}/{named} {timers} {STATUS:digits} (+|){digits} "
    r"{named} {named} {state} {counts} {queues} (\{{captured}\} |)(\{{captured}\} |)"
    '"{REQUEST:encoded}"{=OF_REQUEST}'
)
_PROGRAM = (
    r"({host} |)(haproxy(\[{digits}]|): %s"
    r"|(nginx|httpd|apache2|apache)(\[{digits}]|): {LINE:line}${=OF_LINE})"
)


def lines(*, is_utc: bool) -> str:
    """
    Lines of AWS's load balancers, S3 and HAProxy, and those that containers and syslog wrap.

    Args:
        is_utc: Whether times without an offset are UTC; HAProxy's own, which is taken where the
            line says no other, has none.
    """
    own = _HAPROXY.replace("%s", _DAY if is_utc else "{none}", 1)
    elsewhere = _HAPROXY.replace("%s", _DAY.replace("DAY:", ""), 1)
    day = r"^~~ (## | # |# )##:##:##(.{digits}|) " + _PROGRAM.replace("%s", own)
    program = _PROGRAM.replace("%s", elsewhere)
    time = "{DATE:####-##-##}T{CLOCK:##:##:##}(.{digits}|)"
    wrapped = "(stdout|stderr) F {LINE:line}${=OF_LINE}"
    zoned = f"(({_ZONE_WITH_COLON}|Z) ({wrapped}|{program})|({_ZONE}) {program})"
    return (
        f"(<{{priority}}>({time}({_ZONE_WITH_COLON}|Z|{_ZONE}) {program}|{day})"
        f"|{time}{zoned}|{day}|{_LOAD_BALANCER}|{_BUCKET}|{own})"
    )


def words(slots: Sequence[str | None]) -> str:
    """Lines of W3C that have a date, a time, and these after them."""
    said = []
    for separator, encoded in ((" ", "plus"), ("\t", "percent")):
        kinds = {"REFERRER": encoded, "AGENT": encoded}
        own = [f"{{{slot}:{kinds.get(slot, 'any')}}}" if slot else "{any}" for slot in slots]
        own[-1:] = [f"{last[:-1]}{separator}}}$" for last in own[-1:]]
        said.append(separator.join(["", "{CLOCK:##:##:##}(.{digits}|)", *own]))
    return f"{{DATE:####-##-##}}({'|'.join(said)}){{=OF_PATH}}"


def make_table(kernel: Any, shape: str) -> Any:  # noqa: ANN401 -- the kernel, and its Shape
    """What the kernel follows to read lines of this shape."""
    tokens = _TOKEN.finditer(shape)
    table = _Table(kernel)
    ((parts),) = _read_branches(tokens)
    return table.finish(table.add(parts, 0, 0))


def _read_branches(tokens: Iterator[re.Match[str]]) -> list[list[_Part]]:
    """What stands between brackets, or in a whole shape, which is the only branch there."""
    branches: list[list[_Part]] = [[]]
    for token in tokens:
        parts = branches[-1]
        mark, name = token["mark"], token["field"]
        if mark == "(":
            parts.append(_read_branches(tokens))
        elif mark == ")":
            break
        elif mark == "|":
            branches.append([])
        elif token["mode"]:
            parts.append(_Field("ACCEPT", kind=token["mode"]))
        elif name:
            said = FIELDS.get(name) or _draw([_MARKS.get(letter, letter) for letter in name])
            parts.append(replace(said, slot=token["slot"], other=said.other + token["other"]))
        else:
            _append(parts, token["itself"] or _MARKS.get(mark, mark), is_end=mark == "$")
    return branches


def _draw(pictured: Sequence[str]) -> _Field:
    return _Field("PICTURE", "", pictured, len(pictured), len(pictured))


def _append(parts: list[_Part], letter: str, *, is_end: bool) -> None:
    """Go on with a byte, which ends the field before it, or belongs to the picture before it."""
    last = parts[-1] if parts else None
    if isinstance(last, _Field) and last.stop is None and last.op != "ACCEPT":
        if last.op == "PICTURE" and last.slot is None and not is_end:
            parts[-1] = _draw([*last.pictured, letter])
            return
        if len(letter) == 1:
            parts[-1] = replace(last, stop=_END if is_end else ord(letter))
            return
    parts.append(replace(_draw(()), stop=_END) if is_end else _draw([letter]))


@dataclass(slots=True)
class _Table:
    """The rows of a shape, from its end to its start; the first one stands for no shape at all."""

    kernel: Any
    rows: list[list[int]] = field(default_factory=lambda: [[]])
    classes: dict[str, int] = field(default_factory=dict)
    pictures: list[Sequence[str]] = field(default_factory=list)

    def add(self, parts: Sequence[_Part], after: int, otherwise: int) -> int:
        """The row with which *parts* begin: *otherwise* is where to go on if that does not fit."""
        for number, part in reversed(list(enumerate(parts))):
            failed = 0 if number else otherwise
            if isinstance(part, _Field):
                after = self._add_field(part, after, failed)
                continue
            for branch in reversed(part):
                failed = self.add(branch, after, failed)
            after = failed
        return after

    def _add_field(self, part: _Field, after: int, otherwise: int) -> int:
        k = self.kernel
        if part.op == "PICTURE":
            of = 2 * _WIDTH * len(self.pictures)
            self.pictures.append(part.pictured)
        else:
            of = self.classes.setdefault(part.letters, 256 * len(self.classes))
        stop = -1 if part.stop is None else part.stop
        second, first = map(ord, part.other.ljust(2, chr(max(stop, 0))))
        slot = -1 if part.slot is None else getattr(k, part.slot)
        self.rows.append([
            getattr(k, part.op), of, part.least, part.most, stop, first, second, slot,
            getattr(k, part.kind), after, otherwise,
        ])  # fmt: skip
        return len(self.rows) - 1

    def finish(self, start: int) -> Any:  # noqa: ANN401 -- kernel.Shape
        """The table that begins with the row *start*."""
        classes = np.zeros((len(self.classes), 256), np.bool_)
        for number, letters in enumerate(self.classes):
            classes[number, list(letters.encode("latin-1"))] = True
        ranges = np.zeros((len(self.pictures), 2, _WIDTH), np.uint8)
        ranges[:, 1] = 255
        for number, pictured in enumerate(self.pictures):
            for at, letters in enumerate(pictured):
                ranges[number, :, at] = ord(letters[0]), ord(letters[-1]) - ord(letters[0])
        self.rows[0] = [0] * len(self.rows[start])
        rows = np.array(self.rows, np.int64)
        return self.kernel.Shape(rows, start, classes.ravel(), ranges.ravel())
