"""
The compiled half of proofs: texts become the views that signatures are searched for in.

`reduce_text` undoes simple encodings as `decode.view` does, and refuses a text of which it is not
sure, which then is DIRTY. A request has its method, its path, and the views of its target and of
its query; views of paths, referrers and user agents are written apart.
"""

from typing import Final

import numpy as np

from tasks.collect.kernel import ZERO, njit, read_hex
from tasks.detect.numbering_kernel import (
    CLASS,
    CLEAN,
    DIRTY,
    KIND,
    KIND_PATH,
    KIND_REFERRER,
    LENGTH,
    METHOD,
    OFFSET,
    PATH,
    TARGET_END,
    has_room,
    hash_text,
    number_text,
)

MAX_TEXT: Final = 1024
"""Bytes; longer texts are refused."""
_SIMPLE_TEXT = "abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWYZ0123456789-_=?,!:@~()<>[]}|"
_LETTER = 0xE9
"""Stands for any letter beyond ASCII."""
_ODD = -2
_ROUNDS = 4
"""As decode has them."""
VIEWS: Final = 6
"""That a text can have."""
_SIMPLE = np.array(
    [ord(chr(b).lower()) if chr(b) in _SIMPLE_TEXT else 0 for b in range(256)], np.uint8
)
"""Bytes that mean themselves, whatever is before them, in lower case; 0 for the others."""
_PLAIN = _SIMPLE.copy()
_PLAIN[[ord(c) for c in "xX+&./"]] = [ord(c) for c in "xx &./"]
"""The same, and bytes that mean themselves in a URL if there is none of a few before them."""


# tables


@njit()
def reduce_requests(first, seed, requests, paths, methods, method_count, original, query, ends):
    """
    Reduce the targets and queries of new requests from *first* on; number methods and paths.

    A request without a path is not a plain `METHOD /target HTTP/1.1`. ends[row] has the ends in
    both buffers after each request.

    Returns:
        How far it got: the table of paths may be full.
    """
    o, q, row = np.int64(0), np.int64(0), np.int64(0)
    number = np.int64(first)
    arena = requests.arena
    while number < requests.size[0] and has_room(paths, 1, 0):
        record = requests.records[number]
        start = np.int64(record[OFFSET])
        end = start + record[LENGTH]
        method = _read_method(arena, start, end, methods, method_count)
        target = start
        while target < end and arena[target] != 32:
            target += 1
        target += 1
        stop = _target_end(arena, target, end)
        record[CLASS] = DIRTY
        if method >= 0 and stop >= 0:
            mark = target
            while (
                mark < stop and arena[mark] != 63 and 32 < arena[mark] < 127 and arena[mark] != 92
            ):
                mark += 1
            if mark == stop or arena[mark] == 63:
                record[METHOD], record[TARGET_END] = method, stop
                h = hash_text(arena, target, mark - target, seed)
                record[PATH] = number_text(arena, target, mark, KIND_PATH, h, paths)
                new_o, new_q = _reduce_plain(arena, target, stop, original, o), q
                if new_o < 0:
                    new_o = reduce_text(arena, target, stop, True, original, o)
                    if mark + 1 < stop:
                        new_q = reduce_text(arena, mark + 1, stop, True, query, q)
                elif mark + 1 < stop:
                    # what is read byte by byte reads alike from any of them on
                    for read in range(o + mark + 1 - target, new_o):
                        query[new_q] = original[read]
                        new_q += 1
                if new_o >= 0 and new_q >= 0:
                    o, q = new_o, new_q
                    record[CLASS] = CLEAN
        ends[row, 0], ends[row, 1] = o, q
        row += 1
        number += 1
    return number


@njit()
def _read_method(data, start, end, methods, method_count):
    """The number of the method before the first space; -1 if it is not 1 to 8 capital letters."""
    packed, at = ZERO, start
    while at < end and data[at] != 32:
        if not 65 <= data[at] <= 90 or at - start == 8:
            return np.int64(-1)
        packed = (packed << np.uint64(8)) | np.uint64(data[at])
        at += 1
    if at == start or at >= end:
        return np.int64(-1)
    for number in range(method_count[0]):
        if methods[number] == packed:
            return np.int64(number)
    if method_count[0] == methods.size:
        return np.int64(-1)
    methods[method_count[0]] = packed
    method_count[0] += 1
    return np.int64(method_count[0] - 1)


@njit()
def _target_end(data, start, end):
    """Where ` HTTP/1.1` or ` HTTP/2` begins at the end of a request for a path; or -1."""
    if start >= end or data[start] != 47:
        return np.int64(-1)
    for length in (9, 7):
        at = end - length
        if (
            at > start
            and data[at] == 32
            and data[at + 1] == 72
            and data[at + 2] == 84
            and data[at + 3] == 84
            and data[at + 4] == 80
            and data[at + 5] == 47
            and 48 <= data[at + 6] <= 57
            and (length == 7 or (data[at + 7] == 46 and 48 <= data[at + 8] <= 57))
        ):
            return np.int64(at)
    return np.int64(-1)


@njit()
def reduce_paths(first, paths, target, ends):
    """Reduce new paths from *first* on."""
    at = np.int64(0)
    for number in range(first, paths.size[0]):
        record = paths.records[number]
        start = np.int64(record[OFFSET])
        end = start + record[LENGTH]
        done = reduce_text(paths.arena, start, end, True, target, at)
        record[CLASS] = DIRTY if done < 0 else CLEAN
        at = max(at, done)
        ends[number - first] = at


@njit()
def reduce_others(first, others, referrer, agent, ends):
    """Reduce new referrers and user agents from *first* on."""
    r, a = np.int64(0), np.int64(0)
    for number in range(first, others.size[0]):
        record = others.records[number]
        start = np.int64(record[OFFSET])
        end = start + record[LENGTH]
        if record[KIND] == KIND_REFERRER:
            done = reduce_text(others.arena, start, end, True, referrer, r)
            r = max(r, done)
        else:
            done = reduce_text(others.arena, start, end, False, agent, a)
            a = max(a, done)
        record[CLASS] = DIRTY if done < 0 else CLEAN
        ends[number - first, 0], ends[number - first, 1] = r, a


@njit()
def spread_classes(first, count, requests, paths):
    """Requests that are clean but for their path are of the class of their path."""
    for number in range(first, count):
        if requests.records[number, CLASS] == CLEAN:
            requests.records[number, CLASS] = paths.records[requests.records[number, PATH], CLASS]


# a text


@njit()
def reduce_text(source, start, end, is_url, target, at):
    """
    Write all views of a text, as many as VIEWS, in the order of decode.view.

    They are in lower case, each with a line feed after it; a letter beyond ASCII is written as the
    byte 0xE9, whichever it is. Returns the end of what was written, or -1 for a text that
    decode.view has to see.
    """
    if end - start > MAX_TEXT:
        return np.int64(-1)
    first, read = at, start
    while read < end:
        byte = np.int64(_SIMPLE[source[read]])
        read += 1
        if byte:
            target[at] = byte
            at += 1
            continue
        byte = np.int64(source[read - 1])
        if byte == 43 and is_url:
            byte = 32
        elif byte == 37:
            byte, read = _read_percent(source, read, end) if is_url else (np.int64(-1), read)
            if byte == _ODD:
                return _reduce_oddly_sent(source, start, end, target, first)
        elif 65 <= byte <= 90:
            byte += 32
        last = np.int64(target[at - 1]) if at > first else np.int64(0)
        if byte < 32 or byte == 127 or (byte > 127 and byte != _LETTER):
            return np.int64(-1)
        if byte == 92 or (byte == 38 and not is_url):
            return np.int64(-1)
        # &#  &name;  0x2e
        if (
            (byte == 35 and last == 38)
            or (byte == 59 and is_url and _ends_entity(target, first, at))
            or (byte == 120 and read > start + 1 and _is_byte_escape(source, read - 1, end))
        ):
            return np.int64(-1)
        if byte == 32 and last == 32:
            continue
        target[at] = byte
        at += 1
    target[at] = 10
    return _write_views(target, first, at, at + 1, is_url)


@njit()
def _reduce_plain(source, start, end, target, at):
    """As reduce_text, a URL of which nothing is encoded and nobody has another view, or -1."""
    if end - start > MAX_TEXT:
        return np.int64(-1)
    last = np.uint8(0)
    for read in range(start, end):
        byte = _PLAIN[source[read]]
        # //  /.  two spaces  0x2e
        if (
            byte == 0 or (last == 47 and (byte == 47 or byte == 46))
            or (byte == 32 and last == 32) or (byte == 120 and last == 48)
        ):  # fmt: skip
            return np.int64(-1)
        target[at] = last = byte
        at += 1
    target[at] = 10
    return np.int64(at + 1)


@njit(inline="always")
def _read_percent(source, read, end):
    """
    Read what is percent-encoded, its `%` being read: the byte or _LETTER, and the end.

    (_ODD, 0) for `%`, `.` and NUL, which browsers do not encode so, and a `%` that encodes nothing.
    (-1, 0) for what decode reads another way or has another view of: other control characters,
    backslashes, and BC and BE in UTF-8.
    """
    if read + 2 > end or read_hex(source[read]) < 0 or read_hex(source[read + 1]) < 0:
        return np.int64(_ODD), np.int64(0)
    byte = read_hex(source[read]) * 16 + read_hex(source[read + 1])
    if byte == 37 or byte == 46 or byte == 0:
        return np.int64(_ODD), np.int64(0)
    if 32 <= byte <= 126 and byte != 92:
        return byte + (32 if 65 <= byte <= 90 else 0), read + 2
    # U+00C0 to U+00FF, Cyrillic, and most of CJK: letters that no normalisation makes ASCII
    is_short = byte == 0xC3 or byte == 0xD0 or byte == 0xD1
    if not is_short and not (0xE4 <= byte <= 0xE9 or byte == 0xEB or byte == 0xEC):
        return np.int64(-1), np.int64(0)
    read += 2
    for _ in range(1 if is_short else 2):
        if read + 3 > end or source[read] != 37:
            return np.int64(-1), np.int64(0)
        more = read_hex(source[read + 1]) * 16 + read_hex(source[read + 2])
        if (
            read_hex(source[read + 1]) < 0
            or read_hex(source[read + 2]) < 0
            or not 0x80 <= more <= 0xBF
        ):
            return np.int64(-1), np.int64(0)
        if more == 0xBC or more == 0xBE:
            return np.int64(-1), np.int64(0)
        read += 3
    return np.int64(_LETTER), read


@njit()
def _reduce_oddly_sent(source, start, end, target, at):
    """As reduce_text, a URL encoded more than once, or in which `.`, NUL or nothing is encoded."""
    first = at
    for read in range(start, end):
        byte = source[read]
        if byte < 32 or byte > 126:
            return np.int64(-1)
        target[at] = byte + 32 if 65 <= byte <= 90 else (32 if byte == 43 else byte)
        at += 1
    is_odd = False
    for read in range(first, at - 2):
        if target[read] == 37:
            high, low = target[read + 1], target[read + 2]
            is_odd = is_odd or (high == 50 and (low == 53 or low == 101)) or (high == low == 48)
    written = _decode_percent(target, first, at)
    if written < 0:
        return np.int64(-1)
    target[written] = 10
    at = written + 1
    if is_odd:
        at = _write_as_sent(source, start, end, target, at)
    return _write_views(target, first, written, at, True)


@njit()
def _decode_percent(target, first, end):
    """The end of target[first:end] once it is decoded and its spaces are single; or -1."""
    for _ in range(_ROUNDS):
        read, at = first, first
        while read < end:
            byte = np.int64(target[read])
            high = read_hex(target[read + 1]) if byte == 37 and read + 2 < end else np.int64(-1)
            low = read_hex(target[read + 2]) if high >= 0 else np.int64(-1)
            if low >= 0:
                byte = high * 16 + low
                byte += 32 if 65 <= byte <= 90 else 0
                read += 2
            last = np.int64(target[at - 1]) if at > first else np.int64(0)
            # control characters, backslashes, letters beyond ASCII, &#  &name;  %u  0x2e
            if (
                (byte < 32 and byte != 0) or byte == 92 or byte > 126
                or (byte == 35 and last == 38) or (byte == 117 and last == 37)
                or (byte == 59 and _ends_entity(target, first, at))
                or (byte == 120 and read > first and _is_byte_escape(target, read, end))
            ):  # fmt: skip
                return np.int64(-1)
            target[at] = byte
            at += 1
            read += 1
        if at == end:
            break
        end = at
    at = first
    for read in range(first, end):
        if target[read] != 32 or at == first or target[at - 1] != 32:
            target[at] = target[read]
            at += 1
    return np.int64(at)


@njit()
def _is_byte_escape(text, at, end):
    """Whether the `x` at this position is that of `0x2e`, `0x2f` or `0x5c`."""
    if text[at - 1] != 48 or at + 2 >= end:
        return False
    high, low = text[at + 1], text[at + 2] | 32
    return (high == 50 and (low == 101 or low == 102)) or (high == 53 and low == 99)


@njit()
def _ends_entity(text, first, at):
    """Whether a `;` at this position would end `&name;`."""
    begin = at
    while begin > first and (48 <= text[begin - 1] <= 57 or 97 <= text[begin - 1] <= 122):
        begin -= 1
    return begin > first and begin < at and text[begin - 1] == 38


# its views


@njit()
def _write_views(target, first, end, at, is_url):
    """Write what other readers make of target[first:end]: SQL without NUL, a shell, and paths."""
    is_quoted = has_braces = is_path = has_nul = False
    for read in range(first, end):
        byte, after = target[read], target[read + 1]
        if _SIMPLE[byte]:
            continue
        if byte == 120 and read > first and _is_byte_escape(target, read, end):
            return np.int64(-1)
        if byte == 47:
            if after == 42:
                return np.int64(-1)
            is_path = is_path or after == 47 or after == 46
        elif byte == 36:
            if after == 64 or after == 42 or _is_field_separator(target, read + 1, end):
                return np.int64(-1)  # $@  $*  $ifs  ${ifs  ${@
            is_quoted = is_quoted or after == 123 or after == 105
        elif byte == 34 or byte == 39 or byte == 94 or byte == 96:
            is_quoted = True
        elif byte == 123:
            has_braces = True
        elif byte == 59:
            is_path = True
        elif byte == 0:
            has_nul = is_path = True
    if has_nul:
        at = _write_without_nul(target, first, end, at)
        if at < 0:
            return np.int64(-1)
    if is_quoted or (has_braces and _lists_in_braces(target, first, end)):
        at = _write_for_shell(target, first, end, at)
    if is_path and is_url:
        at = _write_as_path(target, first, end, at)
    return np.int64(at)


@njit()
def _write_as_sent(source, start, end, target, at):
    """Write what was sent, but `&`, `#` and `;` decoded; a backslash is refused before."""
    first, read = at, start
    while read < end:
        byte = np.int64(source[read])
        if byte == 37 and read + 2 < end:
            high, low = np.int64(source[read + 1]), np.int64(source[read + 2])
            if high == 50 and (low == 51 or low == 54):
                byte, read = low - 16, read + 2  # %23  %26
            elif high == 51 and low | 32 == 98:
                byte, read = np.int64(59), read + 2  # %3b
        byte += 32 if 65 <= byte <= 90 else 0
        read += 1
        if byte != 32 or at == first or target[at - 1] != 32:
            target[at] = byte
            at += 1
    target[at] = 10
    return np.int64(at + 1)


@njit()
def _write_without_nul(target, first, end, at):
    """Write target[first:end] as SQL reads it; -1 where that has a comment."""
    begin = at
    for read in range(first, end):
        byte = target[read]
        last = target[at - 1] if at > begin else np.uint8(0)
        if (byte == 42 and last == 47) or (byte == 47 and last == 42):
            return np.int64(-1)
        if byte and (byte != 32 or last != 32):
            target[at] = byte
            at += 1
    target[at] = 10
    return np.int64(at + 1)


@njit()
def _is_field_separator(text, at, end):
    """Whether there is `ifs`, `{ifs`, `{@` or `{*`."""
    if at < end and text[at] == 123:
        at += 1
        if at < end and (text[at] == 64 or text[at] == 42):
            return True
    return at + 2 < end and text[at] == 105 and text[at + 1] == 102 and text[at + 2] == 115


@njit()
def _lists_in_braces(text, first, end):
    """Whether there is `{`, 1 to 200 other characters than braces, and a comma."""
    opened = np.int64(-1)
    for at in range(first, end):
        if text[at] == 123:
            opened = at
        elif text[at] == 125:
            opened = np.int64(-1)
        elif text[at] == 44 and opened >= 0 and 2 <= at - opened <= 201:
            return True
    return False


@njit()
def _write_for_shell(target, first, end, at):
    """Write target[first:end] without quotes, `^` and braces."""
    begin = at
    for read in range(first, end):
        byte = target[read]
        if byte != 34 and byte != 39 and byte != 94 and byte != 96:
            target[at] = byte
            at += 1
    written, opened = at, np.int64(-1)
    for read in range(begin, written):
        if target[read] == 123:
            opened = read
        elif target[read] == 125:
            if opened >= 0 and 2 <= read - opened <= 201:
                target[opened] = target[read] = 32
                for inner in range(opened, read):
                    if target[inner] == 44:
                        target[inner] = 32
            opened = np.int64(-1)
    at = begin
    for read in range(begin, written):
        if target[read] != 32 or at == begin or target[at - 1] != 32:
            target[at] = target[read]
            at += 1
    target[at] = 10
    return at + 1


@njit()
def _write_as_path(target, first, end, at):
    """Write target[first:end] without parameters, `/./` and `//`; with `..`, resolved, too."""
    begin, read = at, first
    while read < end:
        if target[read] == 0:
            read += 1
            continue
        if target[read] == 59:
            stop = read + 1
            while stop < end and target[stop] != 47 and target[stop] != 63 and target[stop] != 59:
                stop += 1
            if stop == end or target[stop] == 47:
                read = stop
                continue
        target[at] = target[read]
        at += 1
        read += 1
    written, at, read = at, begin, begin
    while read < written:
        byte = target[read]
        target[at] = byte
        at += 1
        read += 1
        if byte == 47:
            while read < written:
                if target[read] == 47:
                    read += 1
                elif target[read] == 46 and read + 1 < written and target[read + 1] == 47:
                    read += 2
                else:
                    break
    target[at] = 10
    written, at = at, at + 1
    # parts between slashes; `..` takes the one before it away, but for the first
    parts, read = 0, begin
    while read <= written:
        stop = read
        while stop < written and target[stop] != 47:
            stop += 1
        if stop - read == 2 and target[read] == 46 and target[read + 1] == 46:
            if parts > 1:
                at -= 1
                while target[at] != 47:
                    at -= 1
                parts -= 1
        else:
            if parts > 0:
                target[at] = 47
                at += 1
            for inner in range(read, stop):
                target[at] = target[inner]
                at += 1
            parts += 1
        read = stop + 1
    target[at] = 10
    return at + 1
