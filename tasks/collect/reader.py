"""Reading one log object: every line is counted, every event is handed to a sink."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from io import BytesIO
from math import ceil
from typing import Protocol, Self, runtime_checkable

from tasks.collect.compression import Content, Limits
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import ChooseFormat, FormatChoice, LineParser
from tasks.collect.formats.rewriting import Rewrite
from tasks.collect.formats.w3c import DIRECTIVE, FieldsSearch
from tasks.collect.lines import MAX_LINE_BYTES, Block, LineReader, split_lines
from tasks.collect.source import Source
from tasks.collect.streams import HEAD_BYTES, digest_bytes, extent_version, first_line
from tasks.model.errors import ObjectError, OversizedError
from tasks.model.events import Event, Unparsed
from tasks.model.objects import (
    EventRange,
    Extent,
    FileStream,
    LogObject,
    ObjectResult,
    UnparsedSample,
)

Sink = Callable[[Event, int, bytes], None]
"""Is given an event, the 1-based number of its line, and the line without its line feed."""
NEVER = 1 << 62
"""A second that no event reaches."""


@dataclass(frozen=True, slots=True)
class BlockCount:
    """What a BlockSink made of a block of lines."""

    lines: int
    """All lines of the block."""
    refused: Sequence[tuple[int, bytes]]
    """Number and bytes of the lines that have to be parsed one by one, in order."""
    first: int
    """Earliest event that was counted, in seconds since the epoch."""
    last: int
    """Latest event that was counted; -1 when there was none."""

    @classmethod
    def nothing(cls, block: Block, lines_before: int) -> Self:
        """Every line of *block* is refused."""
        lines = split_lines(bytes(block))
        return cls(len(lines), tuple(enumerate(lines, start=lines_before + 1)), NEVER, -1)


@runtime_checkable
class BlockSink(Protocol):
    """A Sink that may count some lines of a block by itself, as if they had been parsed."""

    def __call__(self, event: Event, line_number: int, line: bytes, /) -> None:
        """Take one event, as any Sink."""
        ...

    def count_block(
        self,
        block: Block,
        rewrite: Rewrite,
        lines_before: int,
        since: int,
        until: int,
    ) -> BlockCount:
        """
        Count those lines of *block* that it is sure of, and refuse the others.

        Args:
            block: Complete lines, each with its line feed, which are there until the next ones
                are read. PADDING bytes after a memoryview can be read.
            rewrite: Makes access lines of *block*, where its lines have another format.
            lines_before: How many lines of the extent's object come before them.
            since: Events before this second are dropped.
            until: Events from this second on are dropped.
        """
        ...


SinkFor = Callable[[bool], Sink | BlockSink]
"""Gives the sink of an extent; the argument says whether it is an unfinished last line."""

_SAMPLES = 3
_SEARCHED_BYTES = 1024 * 1024
_SAMPLE_CHARACTERS = 200
_TEXT = bytes(c for c in range(256) if c >= 0x20 or chr(c) in "\t\n\v\f\r\x1b")
_BINARY_SHARE = 0.05
"""
Of the first bytes; half of what chance, compressed or encrypted, would have. What attackers put
into a log stands between lines that are understood.
"""
_LEAST_BINARY = 256
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How text of Windows begins whose lines no format can understand."""
_TOO_LONG = Unparsed(f"it is longer than {MAX_LINE_BYTES:,} bytes")


def read_extents(
    source: Source,
    log_object: LogObject,
    zone: tzinfo,
    sink_for: SinkFor,
    event_range: EventRange | None = None,
    limits: Limits | None = None,
    *,
    choose_format: ChooseFormat | None = None,
) -> ObjectResult:
    """
    Read what is new in *log_object*, with every event in the sink of its extent.

    With `error` in the result the object was not read to its end: whatever its sinks were given
    must be dropped. A file without news gives no extents.

    Args:
        source: Where the object was planned.
        log_object: As planned; a file is read from `stream.offset` to the size seen then.
        zone: Of syslog times that name none.
        sink_for: Asked once per extent, for the complete lines first.
        event_range: None for all events. Lines count as read in any case.
        limits: What is larger stops being read there; None for none.
        choose_format: Says for a key how the object is read; None for detection.

    Raises:
        TransientError: The source cannot be read now.
    """
    try:
        with source.open(log_object) as stored:
            content = Content(stored, f"'{log_object.object_key}'", limits)
            choice = choose_format(log_object.object_key) if choose_format else FormatChoice()
            reading = _Reading(log_object, zone, sink_for, event_range, choice)
            return reading.read(content)
    except ObjectError as error:
        is_final = isinstance(error, OversizedError)
        return ObjectResult(log_object, error=str(error), is_final=is_final)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"'{log_object.object_key}' could not be read ({reason}): check its file system."
        return ObjectResult(log_object, error=message)


class _Reading:
    """One pass over one object."""

    def __init__(
        self,
        log_object: LogObject,
        zone: tzinfo,
        sink_for: SinkFor,
        event_range: EventRange | None,
        choice: FormatChoice,
    ) -> None:
        self._log_object = log_object
        self._parser = LineParser(ObjectClock(log_object.modified_at, zone), choice)
        self._sink_for = sink_for
        self._range = _seconds(event_range)

    def read(self, content: Content) -> ObjectResult:
        stream = self._log_object.stream
        if stream is None:
            return self._read_immutable(content)
        if not self._log_object.size_bytes:
            return self._set_back(content, stream)
        return self._read_stream(content, stream)

    def _read_immutable(self, content: Content) -> ObjectResult:
        head = content.read_fully(HEAD_BYTES)
        lines = LineReader(_read_after(head, content.read))
        count = self._count(lines, line_number=0)
        if lines.unfinished:
            count.add([lines.unfinished.removesuffix(b"\r")])
        log_object = self._log_object
        extent = count.close(log_object.object_key, log_object.version, lines.end)
        return self._unless_binary(ObjectResult(log_object, (extent,)), head, count)

    def _read_stream(self, content: Content, stream: FileStream) -> ObjectResult:
        head, tail, read = self._find_place(content, stream)
        key = self._log_object.object_key
        lines = LineReader(read, stream.offset, tail)
        count = self._count(lines, stream.line_count)
        counts, extents = [count], []
        if lines.offset > stream.offset:
            version = extent_version(stream, stream.offset, lines.offset)
            size = lines.offset - stream.offset
            extents.append(count.close(key, version, size))
        if lines.end > lines.offset:
            last = _Count(
                self._parser, partial(self._sink_for, True), self._range, count.line_number
            )
            last.add([lines.unfinished.removesuffix(b"\r")])
            counts.append(last)
            version = extent_version(stream, lines.offset, lines.end)
            extent = last.close(key, version, lines.end - lines.offset)
            extents.append(replace(extent, is_unfinished=True))
        after = replace(
            stream,
            offset=lines.offset,
            line_count=count.line_number,
            head_bytes=len(first_line(head)),
            head_sha256=digest_bytes(first_line(head)),
            tail_bytes=len(lines.tail),
            tail_sha256=digest_bytes(lines.tail),
            unfinished_id=None,
        )
        result = ObjectResult(self._log_object, tuple(extents), after)
        return result if stream.offset else self._unless_binary(result, head, *counts)

    def _unless_binary(self, result: ObjectResult, head: bytes, *counts: "_Count") -> ObjectResult:
        """What is no text and holds no line of a log, such as wtmp, is nothing to count."""
        if head.startswith(_UTF_16) and head.count(0) * 4 > len(head):
            error = (
                f"'{self._log_object.object_key}' is UTF-16: have it written as UTF-8, and take it"
                " out of quarantine."
            )
            return ObjectResult(self._log_object, error=error, is_final=True)
        strange = len(head.translate(None, _TEXT))
        if (
            any(count.is_understood for count in counts)
            or len(head) < _LEAST_BINARY
            or strange < len(head) * _BINARY_SHARE
        ):
            return result
        error = (
            f"'{self._log_object.object_key}' is binary and holds no line of a log: leave it out"
            " with the pattern."
        )
        return ObjectResult(self._log_object, error=error, is_final=True)

    def _set_back(self, content: Content, stream: FileStream) -> ObjectResult:
        """The stream ends where this copy of it ends; all of it was counted before."""
        head = content.read_fully(HEAD_BYTES)
        lines = LineReader(_read_after(head, content.read))
        line_count = sum(bytes(block).count(b"\n") for block in lines.blocks())
        self._check(digest_bytes(head[: stream.head_bytes]) == stream.head_sha256)
        self._check(lines.end < stream.offset)
        after = replace(
            stream,
            offset=lines.end,
            line_count=line_count,
            tail_bytes=len(lines.last),
            tail_sha256=digest_bytes(lines.last),
            unfinished_id=None,
        )
        return ObjectResult(self._log_object, stream=after)

    def _count(self, lines: LineReader, line_number: int) -> "_Count":
        count = _Count(self._parser, partial(self._sink_for, False), self._range, line_number)
        for block in lines.blocks():
            count.add_block(block)
        return count

    def _find_place(
        self, content: Content, stream: FileStream
    ) -> tuple[bytes, bytes, Callable[[int], bytes]]:
        """
        The first bytes, those before the offset, and how to read on from there.

        Raises:
            ObjectError: It is no longer the content that was planned.
        """
        head = content.read_fully(HEAD_BYTES)
        window, start = head, 0
        tail_start = stream.offset - stream.tail_bytes
        search = FieldsSearch() if DIRECTIVE in head else None
        if search:
            search.add(head[: stream.offset])
        if tail_start > len(head):
            _skip(content, tail_start - len(head), search)
            window, start = b"", tail_start
        more = content.read_fully(stream.offset - start - len(window))
        window += more
        tail = window[tail_start - start : stream.offset - start]
        self._check(digest_bytes(head[: stream.head_bytes]) == stream.head_sha256)
        self._check(digest_bytes(tail) == stream.tail_sha256)
        if search:
            search.add(more)
            self._parser.read_directive(search.line)
        return head, tail, _read_after(window[stream.offset - start :], content.read)

    def _check(self, is_as_planned: bool) -> None:
        if not is_as_planned:
            raise ObjectError(
                f"'{self._log_object.object_key}' changed while it was read; the next run reads "
                "it again."
            )


class _Count:
    """Counts the lines of one extent and feeds its sink, which is asked for when there is one."""

    def __init__(
        self,
        parser: LineParser,
        open_sink: Callable[[], Sink | BlockSink],
        seconds: tuple[int, int],
        line_number: int,
    ) -> None:
        self._parse = parser.parse
        self._parser = parser
        self._takes_access_first = parser.takes_access_first
        self._open_sink = cache(open_sink)
        self._from, self._until = seconds
        self._before = line_number
        self.line_number = line_number
        self.is_understood = False
        """Whether any line holds an event; comments and empty lines are in any file."""
        self._lines_unparsed = 0
        self._samples: list[UnparsedSample] = []
        self._first = NEVER
        self._last = -1

    def add_block(self, block: memoryview) -> None:
        """Complete lines with their line feeds."""
        sink = self._open_sink()
        if not isinstance(sink, BlockSink) or not self._takes_access_first:
            self.add(split_lines(bytes(block)))
            return
        if directives := self._parser.end_of_directives(block):
            self.add(split_lines(bytes(block[:directives])))
            block = block[directives:]
        if not block:
            return
        counted = sink.count_block(
            block, self._parser.rewrite, self.line_number, self._from, self._until
        )
        self._first = min(self._first, counted.first)
        self._last = max(self._last, counted.last)
        self._add_each(counted.refused)
        self.is_understood |= counted.lines > len(counted.refused)
        self.line_number += counted.lines

    def add(self, lines: list[bytes]) -> None:
        self._add_each(enumerate(lines, start=self.line_number + 1))
        self.line_number += len(lines)

    def _add_each(self, lines: Iterable[tuple[int, bytes]]) -> None:
        parse, sink = self._parse, self._open_sink()
        for number, line in lines:
            parsed = parse(line) if len(line) <= MAX_LINE_BYTES else _TOO_LONG
            if isinstance(parsed, Unparsed):
                self._add_unparsed(number, line, parsed)
                continue
            self.is_understood = self.is_understood or bool(parsed)
            for event in parsed:
                timestamp = event.timestamp
                if self._from <= timestamp < self._until:
                    self._first = min(self._first, timestamp)
                    self._last = max(self._last, timestamp)
                    sink(event, number, line)

    def close(self, object_key: str, version: str, size_bytes: int) -> Extent:
        """What was read, as the ledger records it."""
        self._open_sink()  # an empty object is an extent, too
        has_events = self._last >= 0
        return Extent(
            object_key=object_key,
            version=version,
            size_bytes=size_bytes,
            lines=self.line_number - self._before,
            lines_unparsed=self._lines_unparsed,
            first_event_at=datetime.fromtimestamp(self._first, UTC) if has_events else None,
            last_event_at=datetime.fromtimestamp(self._last, UTC) if has_events else None,
            unparsed=tuple(self._samples),
        )

    def _add_unparsed(self, number: int, line: bytes, unparsed: Unparsed) -> None:
        self._lines_unparsed += 1
        if len(self._samples) < _SAMPLES:
            text = line[:_SAMPLE_CHARACTERS].decode("utf-8", "backslashreplace")
            sample = UnparsedSample(number, unparsed.reason, text[:_SAMPLE_CHARACTERS])
            self._samples.append(sample)


def _skip(content: Content, size: int, search: FieldsSearch | None) -> None:
    """Go on by *size* bytes, which are read where a `#Fields:` line is searched for."""
    while search and size > 0 and (data := content.read(min(size, _SEARCHED_BYTES))):
        search.add(data)
        size -= len(data)
    content.skip(size)


def _read_after(ahead: bytes, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Read *ahead* first, then what *read* gives."""
    pending = BytesIO(ahead)
    return lambda size: pending.read(size) or read(size)


def _seconds(event_range: EventRange | None) -> tuple[int, int]:
    if event_range is None:
        return 0, NEVER
    return ceil(event_range.start.timestamp()), ceil(event_range.end.timestamp())
