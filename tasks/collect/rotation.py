"""
Which stream each file holds: log files grow, are renamed, compressed, copied and emptied.

A stream is known by its content, so a file is opened unless its place, inode, size and time say
that nothing happened to it. Streams go to files in this order, and each to one file only:

1. the file that is in every respect as it was, where it was or renamed;
2. files with the content of the stream: the same inode, then the same path, then a rotated name
   in the same directory (`access.log` and `access.log.2.gz`), then anywhere.

Of the files that are left, in the same directory and with a rotated name,

3. a copy of another file, whole or in the making, is skipped: it is what copytruncate and
   compression leave for a moment, and becomes the stream when the original is gone (the file
   of the plain name is none, even if its first line is that of the one before);
4. a copy that ends before the offset of a stream whose file was emptied in place (its inode
   holds something else) takes the stream over: copytruncate loses what is logged between its
   copy and its truncation, but here it was read in time.

All other files are new streams.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import BinaryIO

from tasks.collect.compression import Content
from tasks.collect.streams import (
    HEAD_BYTES,
    digest_bytes,
    first_line,
    new_stream_id,
    object_version,
)
from tasks.model.errors import ObjectError
from tasks.model.objects import FileStream, LogObject, SkippedObject

_CHUNK_BYTES = 256 * 1024
_TELLING_BYTES = 64
"""Address, time and the beginning of what was asked."""
_DATE = r"[-_.]\d{8}[-_T\d]*"
_AFTER_NAME = re.compile(rf"(?:{_DATE}|\.\d{{1,4}}|\.(?:gz|zst|bz2|old|bak|save|orig|tmp)|~)+$")
_BEFORE_EXTENSION = re.compile(rf"(?:{_DATE}|\.\d{{1,4}})(?=\.[A-Za-z]+$)")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file in the listing."""

    object_key: str
    path: str
    device: int
    inode: int
    size_bytes: int
    modified_ns: int

    @property
    def family(self) -> tuple[str, str]:
        """Equal for files that rotation may have made of one."""
        return family_of(self.object_key)

    def is_still_growing(self) -> bool:
        """Whether it changed since it was listed."""
        status = os.stat(self.path)  # noqa: PTH116 -- the path may not be UTF-8
        return (status.st_size, status.st_mtime_ns) != (self.size_bytes, self.modified_ns)

    def move(self, stream: FileStream) -> FileStream:
        """The stream as it is found in this file."""
        return replace(
            stream,
            object_key=self.object_key,
            inode=self.inode,
            size_bytes=self.size_bytes,
            modified_ns=self.modified_ns,
        )


Opener = Callable[[FoundFile], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Matched:
    """What the files of a listing are."""

    to_read: tuple[LogObject, ...]
    unchanged: int
    skipped: tuple[SkippedObject, ...]
    seen: tuple[FileStream, ...]
    """Streams without news that moved."""


def family_of(object_key: str) -> tuple[str, str]:
    """
    Directory and name without what rotation and compression put to it.

    >>> family_of("web/access.log.2.gz") == family_of("web/access.log-20260222")
    True
    """
    directory, _, name = object_key.rpartition("/")
    return directory, _BEFORE_EXTENSION.sub("", _AFTER_NAME.sub("", name) or name)


def match_files(
    source: str,
    files: Sequence[FoundFile],
    streams: Iterable[FileStream],
    open_file: Opener,
    taken_ids: Collection[str] = (),
) -> Matched:
    """
    Find the known *streams* in the *files* of a listing, and say what is to be read.

    Args:
        source: Of the files.
        files: The listing.
        streams: Those that may be in it.
        open_file: Opens one of them.
        taken_ids: Of streams that are elsewhere, which no new stream may get.
    """
    return _Matching(source, files, streams, open_file, taken_ids).run()


class _Look(Enum):
    """What a file is to a stream."""

    OTHER = "other"
    SAME = "same"
    LONGER = "longer"
    SHORTER = "shorter"


class _Matching:
    """
    One pass over a listing.

    Every file leaves *_open* once: into *_held*, *_skipped*, *_empty_count* or *_to_read*.
    """

    def __init__(
        self,
        source: str,
        files: Sequence[FoundFile],
        streams: Iterable[FileStream],
        open_file: Opener,
        taken_ids: Collection[str] = (),
    ) -> None:
        self._source = source
        self._open_file = open_file
        self._files = {f.object_key: f for f in files}
        self._inodes = {f.inode: f for f in files}
        self._free = {s.stream_id: s for s in streams}
        self._known_ids = {*self._free, *taken_ids}
        self._open = dict(self._files)
        self._heads: dict[str, bytes] = {}
        self._compressed: set[str] = set()
        self._looks: dict[tuple[str, str], _Look] = {}
        self._family: dict[tuple[str, str], list[tuple[FoundFile, FileStream]]] = defaultdict(list)
        self._unchanged = 0
        self._to_read: list[LogObject] = []
        self._skipped: list[SkippedObject] = []
        self._seen: list[FileStream] = []

    def run(self) -> Matched:
        self._leave_out_second_paths()
        self._match_untouched()
        self._look_into_the_others()
        for is_preferred in (_has_inode, _has_path, _has_family, _is_anywhere):
            self._match_content(is_preferred)
        self._settle_the_rest()
        to_read = sorted(self._to_read, key=lambda o: o.object_key)
        return Matched(tuple(to_read), self._unchanged, tuple(self._skipped), tuple(self._seen))

    def _leave_out_second_paths(self) -> None:
        """A file that two paths lead to is read by the path that it was last read by."""
        places = {(s.object_key, s.inode) for s in self._free.values()}
        by_inode: dict[tuple[int, int], FoundFile] = {}
        for file in sorted(
            self._files.values(),
            key=lambda f: ((f.object_key, f.inode) not in places, f.object_key),
        ):
            first = by_inode.setdefault((file.device, file.inode), file)
            if first is not file:
                self._skip(file, f"the same file as {first.object_key}", is_retried=False)

    def _match_untouched(self) -> None:
        """Files that need not be opened."""
        by_state = defaultdict(list)
        for stream in self._free.values():
            by_state[stream.inode, stream.size_bytes, stream.modified_ns].append(stream)
        for is_preferred in (_has_path, _is_anywhere):
            for file in list(self._open.values()):
                same = by_state[file.inode, file.size_bytes, file.modified_ns]
                for stream in same:
                    if stream.stream_id in self._free and is_preferred(file, stream):
                        self._hold(file, stream, _Look.SAME)
                        break

    def _look_into_the_others(self) -> None:
        for file in list(self._open.values()):
            with self._skipping(file), self._content(file) as content:
                self._heads[file.object_key] = content.read_fully(HEAD_BYTES)
                if content.kind != "plain":
                    self._compressed.add(file.object_key)
            if file.object_key in self._open and not self._heads[file.object_key]:
                del self._open[file.object_key]
                self._unchanged += 1

    def _match_content(self, is_preferred: "_Preference") -> None:
        index = _index_heads(self._free.values())
        for file in list(self._open.values()):
            for stream in self._with_head(file, index):
                if stream.stream_id not in self._free or not is_preferred(file, stream):
                    continue
                look = self._look(file, stream)
                if file.object_key in self._open and look in (_Look.SAME, _Look.LONGER):
                    self._hold(file, stream, look)
                if file.object_key not in self._open:
                    break

    def _settle_the_rest(self) -> None:
        """Copies, what copytruncate left, and new files: the largest first, for copies."""
        index = _index_heads(self._free.values())
        for file in sorted(self._open.values(), key=self._copies_last):
            with self._skipping(file):
                original = self._original_of(file)
                if original is not None:
                    self._skip(file, f"copy of {original.object_key}", is_retried=False)
                elif (stream := self._cut_short(file, index)) is not None:
                    self._take_over(file, stream)
                elif file.object_key in self._open:
                    self._start(file)

    def _copies_last(self, file: FoundFile) -> tuple[bool, int, str]:
        return (file.object_key in self._compressed, -file.size_bytes, file.object_key)

    def _hold(self, file: FoundFile, stream: FileStream, look: _Look) -> None:
        """The stream is in this file."""
        del self._open[file.object_key], self._free[stream.stream_id]
        moved = file.move(stream)
        self._family[file.family].append((file, moved))
        if look is _Look.LONGER:
            is_plain = file.object_key not in self._compressed
            self._read(file, moved, file.size_bytes - (stream.offset if is_plain else 0))
            return
        self._unchanged += 1
        if moved != stream:
            self._seen.append(moved)

    def _take_over(self, file: FoundFile, stream: FileStream) -> None:
        """The reader finds that there is nothing after the offset, and sets it back."""
        del self._open[file.object_key], self._free[stream.stream_id]
        self._read(file, file.move(stream), 0)

    def _start(self, file: FoundFile) -> None:
        """The file is a new stream."""
        del self._open[file.object_key]
        head = first_line(self._heads[file.object_key])
        stream = FileStream(
            stream_id=new_stream_id(self._source, file.object_key, head, self._known_ids),
            object_key=file.object_key,
            inode=file.inode,
            size_bytes=file.size_bytes,
            modified_ns=file.modified_ns,
            head_bytes=len(head),
            head_sha256=digest_bytes(head),
            tail_sha256=digest_bytes(b""),
        )
        self._family[file.family].append((file, stream))
        self._read(file, stream, file.size_bytes)

    def _read(self, file: FoundFile, stream: FileStream, size_bytes: int) -> None:
        self._to_read.append(
            LogObject(
                source=self._source,
                object_key=file.object_key,
                version=object_version(stream),
                size_bytes=size_bytes,
                modified_at=datetime.fromtimestamp(file.modified_ns / 1e9, UTC),
                stream=stream,
            )
        )

    def _skip(self, file: FoundFile, reason: str, *, is_retried: bool = True) -> None:
        del self._open[file.object_key]
        reason = reason.removeprefix(f"'{file.object_key}': ")
        self._skipped.append(SkippedObject(file.object_key, "", reason, is_retried))

    @contextmanager
    def _skipping(self, file: FoundFile) -> Iterator[None]:
        """A file that cannot be looked into costs nobody else anything."""
        try:
            yield
        except ObjectError as error:
            self._skip(file, str(error))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            self._skip(file, f"it could not be read ({reason}); check its file system")

    @contextmanager
    def _content(self, file: FoundFile) -> Iterator[Content]:
        with self._open_file(file) as stored:
            yield Content(stored, f"'{file.object_key}'")

    def _with_head(self, file: FoundFile, index: "_HeadIndex") -> list[FileStream]:
        """Streams that begin like the file, those of which most was read first."""
        head = self._heads[file.object_key]
        streams = [
            stream
            for size, by_digest in index.items()
            if size <= len(head)
            for stream in by_digest.get(digest_bytes(head[:size]), ())
        ]
        return sorted(streams, key=lambda s: (-s.offset, s.stream_id))

    def _look(self, file: FoundFile, stream: FileStream) -> _Look:
        key = (file.object_key, stream.stream_id)
        if key not in self._looks:
            self._looks[key] = _Look.OTHER
            with self._skipping(file), self._content(file) as content:
                self._looks[key] = _compare(content, file, stream)
        return self._looks[key]

    def _original_of(self, file: FoundFile) -> FoundFile | None:
        """Another file with a rotated name that begins with all that is in this one."""
        if file.family == file.object_key.rpartition("/")[::2]:
            return None
        head = first_line(self._heads[file.object_key])
        for other, stream in self._family[file.family]:
            size = min(stream.head_bytes, len(head))
            if stream.head_bytes > size or stream.head_sha256 == digest_bytes(head[:size]):
                with self._content(file) as copy, self._content(other) as original:
                    if _is_prefix(copy, original):
                        return other
        return None

    def _cut_short(self, file: FoundFile, index: "_HeadIndex") -> FileStream | None:
        """The stream that was read from a file, emptied since, while this was copied from it."""
        for stream in self._with_head(file, index):
            emptied = self._inodes.get(stream.inode)
            if (
                stream.stream_id in self._free
                and _has_family(file, stream)
                and emptied is not None
                and emptied is not file
                and emptied.family == file.family
                and self._look(file, stream) is _Look.SHORTER
            ):
                if file.is_still_growing():
                    raise ObjectError("it is still being written; the next run reads it")
                return stream
        return None


_Preference = Callable[[FoundFile, FileStream], bool]
_HeadIndex = dict[int, dict[str, list[FileStream]]]


def _has_inode(file: FoundFile, stream: FileStream) -> bool:
    return file.inode == stream.inode


def _has_path(file: FoundFile, stream: FileStream) -> bool:
    return file.object_key == stream.object_key


def _has_family(file: FoundFile, stream: FileStream) -> bool:
    return file.family == family_of(stream.object_key)


def _is_anywhere(_file: FoundFile, _stream: FileStream) -> bool:
    return True


def _index_heads(streams: Iterable[FileStream]) -> _HeadIndex:
    """By length and digest of the head."""
    index: _HeadIndex = {}
    for stream in streams:
        by_digest = index.setdefault(stream.head_bytes, {})
        by_digest.setdefault(stream.head_sha256, []).append(stream)
    return index


def _compare(content: Content, file: FoundFile, stream: FileStream) -> _Look:
    """What the file is to a stream with the same head."""
    is_plain = content.kind == "plain"
    is_near = file.inode == stream.inode or _has_family(file, stream)
    if stream.unfinished_id is not None and not is_near:
        return _Look.OTHER  # its last line is on record by its length only
    if stream.offset == 0 and file.inode != stream.inode and not _is_telling(file, stream):
        is_same = len(content.read_fully(stream.head_bytes + 1)) == stream.head_bytes
        return _Look.SAME if is_same else _Look.OTHER
    if is_plain and file.size_bytes < stream.offset:
        return _Look.SHORTER
    content.skip(stream.offset - stream.tail_bytes)
    tail = content.read_fully(stream.tail_bytes)
    if len(tail) < stream.tail_bytes:
        return _Look.SHORTER
    if digest_bytes(tail) != stream.tail_sha256:
        return _Look.OTHER
    # An unfinished line after the offset is counted already.
    if is_plain and stream.unfinished_id is not None and file.size_bytes == stream.size_bytes:
        return _Look.SAME
    return _Look.LONGER if content.read(1) else _Look.SAME


def _is_telling(file: FoundFile, stream: FileStream) -> bool:
    """Whether the beginning of one line, which is all that is known, can hardly be another's."""
    return stream.head_bytes >= _TELLING_BYTES and _has_family(file, stream)


def _is_prefix(copy: Content, original: Content) -> bool:
    """Whether all of *copy* that can be read is the beginning of *original*."""
    while True:
        try:
            chunk = copy.read(_CHUNK_BYTES)
        except ObjectError:  # compression that is still being written
            return True
        if not chunk:
            return True
        if original.read_fully(len(chunk)) != chunk:
            return False
