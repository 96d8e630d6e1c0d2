"""
Log files below a directory, on a local or a mounted file system.

Files and directories whose names begin with a dot are not listed: editors and rsync keep
unfinished copies there. Symlinks to files inside the source are followed, others are not.

Directories may be inside each other: what was read through one of them is known to the others.
"""

import io
import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks.collect.pattern import Pattern
from tasks.collect.rotation import FoundFile, match_files
from tasks.collect.source import Ledger, recall
from tasks.model.errors import ConfigurationError, ObjectError
from tasks.model.objects import FileStream, LogObject, Plan, SkippedObject

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_COMPARED_BYTES = 4096
_NOT_PRINTABLE = re.compile(r"[\\\x00-\x1f\x7f\udc80-\udcff]")
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2}))")


class Directory:
    """A directory and everything below it."""

    def __init__(self, location: str, pattern: Pattern) -> None:
        """*location* is a path or a `file://` URI."""
        path = _path_of_uri(location) if location.startswith("file://") else location
        self._root = os.path.realpath(Path(path).expanduser())
        self._pattern = pattern
        self.uri = Path(self._root).as_uri()

    def plan(self, ledger: Ledger) -> Plan:
        """
        List all files, and find the streams that the ledger knows in them.

        Raises:
            ConfigurationError: There is no such directory, or it cannot be listed.
        """
        listing = _list(self._root, self._pattern)
        known = self._known_streams(ledger)
        inodes = {file.inode for file in listing.files}
        streams = [s for s, _ in known.values() if not self._is_elsewhere(s, inodes)]
        matched = match_files(self.uri, listing.files, streams, _open_found, known)
        remembered = recall(ledger, self.uri, matched.to_read)
        skipped = (*listing.skipped, *matched.skipped)
        return Plan(
            source=self.uri,
            listed=len(listing.files) + len(listing.skipped),
            unchanged=matched.unchanged + remembered.unchanged,
            to_read=remembered.to_read,
            skipped=tuple(sorted(skipped, key=lambda s: s.object_key)),
            quarantined=remembered.quarantined,
            seen=tuple(_rebase(s, self._root, known[s.stream_id][1]) for s in matched.seen),
        )

    def _known_streams(self, ledger: Ledger) -> dict[str, tuple[FileStream, str]]:
        """As seen from here, with the directory that each was last read from."""
        known = {s.stream_id: (s, self._root) for s in ledger.file_streams(self.uri)}
        for uri in ledger.file_sources():
            root = _path_of_uri(uri)
            if _is_inside(root, self._root) or _is_inside(self._root, root):
                for stream in ledger.file_streams(uri):
                    known[stream.stream_id] = (_rebase(stream, root, self._root), root)
        return known

    def _is_elsewhere(self, stream: FileStream, listed: Collection[int]) -> bool:
        """Its file is where it was, but not in this listing: no other file has its lines."""
        path = os.path.join(self._root, path_of(stream.object_key))  # noqa: PTH118 -- as above
        try:
            return stream.inode not in listed and os.lstat(path).st_ino == stream.inode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # nobody knows
            return True

    def open(self, log_object: LogObject) -> AbstractContextManager[BinaryIO]:
        """What the file held when it was planned; what was appended since is not part of it."""
        stream = log_object.stream
        if stream is None:
            raise ObjectError(
                f"'{log_object.object_key}' was not planned as a file; plan the source again."
            )
        path = os.path.realpath(os.path.join(self._root, path_of(log_object.object_key)))  # noqa: PTH118 -- Path would normalise what the file system tells apart
        if not _is_inside(path, self._root):
            raise ObjectError(
                f"'{log_object.object_key}' now points outside of the source; remove the symlink."
            )
        return _open_file(path, log_object.object_key, stream.inode, stream.size_bytes)


def object_key_of(path: str) -> str:
    r"""
    A relative path as a key: printable, and different for different paths.

    Backslashes, control characters and bytes that are not UTF-8 are written as \\ and \xNN.

    >>> object_key_of("web-01/access.log")
    'web-01/access.log'
    """
    return _NOT_PRINTABLE.sub(
        lambda m: "\\\\" if m[0] == "\\" else f"\\x{ord(m[0]) & 0xFF:02x}", path
    )


def path_of(object_key: str) -> str:
    """The relative path that *object_key* stands for."""
    return _ESCAPED.sub(lambda m: os.fsdecode(bytes.fromhex(m[1])) if m[1] else "\\", object_key)


def _path_of_uri(uri: str) -> str:
    return url2pathname(urlsplit(uri).path)


def _rebase(stream: FileStream, root: str, new_root: str) -> FileStream:
    """The stream with the key that its file has when *new_root* is read instead of *root*."""
    if root == new_root:
        return stream
    path = os.path.join(root, path_of(stream.object_key))  # noqa: PTH118 -- as above
    return replace(stream, object_key=object_key_of(os.path.relpath(path, new_root)))


@dataclass(slots=True)
class _Listing:
    files: list[FoundFile]
    skipped: list[SkippedObject]

    def skip(self, path: str, reason: str, *, is_retried: bool = False) -> None:
        self.skipped.append(SkippedObject(object_key_of(path), "", reason, is_retried))


def _list(root: str, pattern: Pattern) -> _Listing:
    listing = _Listing([], [])
    links: list[tuple[str, str]] = []
    directories = [""]
    while directories:
        directory = directories.pop()
        try:
            entries = sorted(_scan(root, directory), key=lambda e: e.name)
        except OSError as error:
            if not directory:
                raise _not_listable(root, error) from None
            listing.skip(f"{directory}/", _denied(error), is_retried=True)
            continue
        for entry in entries:
            path = f"{directory}/{entry.name}" if directory else entry.name
            if entry.is_dir(follow_symlinks=False):
                directories.append(path)
            elif not pattern.matches(path):
                continue
            elif entry.is_symlink():
                links.append((path, entry.path))
            else:
                _add_file(listing, path, entry.path)
    for path, link in links:
        _add_link(listing, root, path, link)
    listing.files.sort(key=lambda f: f.object_key)
    return listing


def _scan(root: str, directory: str) -> list[os.DirEntry[str]]:
    with os.scandir(os.path.join(root, directory)) as entries:  # noqa: PTH118 -- as above
        return [entry for entry in entries if not entry.name.startswith(".")]


def _add_file(listing: _Listing, path: str, absolute: str) -> None:
    try:
        status = os.lstat(absolute)
    except FileNotFoundError:
        return  # gone since it was listed, so it is not part of the listing
    except OSError as error:
        listing.skip(path, _denied(error), is_retried=True)
        return
    if not stat.S_ISREG(status.st_mode):
        listing.skip(path, "not a regular file")
        return
    listing.files.append(
        FoundFile(
            object_key=object_key_of(path),
            path=absolute,
            device=status.st_dev,
            inode=status.st_ino,
            size_bytes=status.st_size,
            modified_ns=status.st_mtime_ns,
        )
    )


def _add_link(listing: _Listing, root: str, path: str, link: str) -> None:
    target = os.path.realpath(link)
    if not _is_inside(target, root):
        listing.skip(path, "a symlink that leads out of the source; read its target as a source")
    elif os.path.isdir(target):  # noqa: PTH112 -- as above
        listing.skip(path, "a symlink to a directory; what is in there is read where it is")
    elif not os.path.lexists(target):
        listing.skip(path, "a symlink to nothing")
    else:
        _add_file(listing, path, target)


def _is_inside(path: str, root: str) -> bool:
    return path.startswith(root.rstrip("/") + "/")


def _denied(error: OSError) -> str:
    what = (error.strerror or type(error).__name__).lower()
    return f"it cannot be opened ({what}); let the user of this process read it"


def _not_listable(root: str, error: OSError) -> ConfigurationError:
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"There is no directory '{root}': check the source.")
    if isinstance(error, NotADirectoryError):
        return ConfigurationError(
            f"'{root}' is a file: give its directory as the source, and its name as the pattern."
        )
    what = (error.strerror or type(error).__name__).lower()
    return ConfigurationError(
        f"The directory '{root}' cannot be listed ({what}): let the user of this process read it."
    )


def _open_found(file: FoundFile) -> AbstractContextManager[BinaryIO]:
    return _open_file(file.path, file.object_key, file.inode, file.size_bytes)


@contextmanager
def _open_file(path: str, name: str, inode: int, size_bytes: int) -> Iterator[BinaryIO]:
    """
    The first *size_bytes* of the file, if it is still that file.

    Raises:
        ObjectError: It is gone, denied or another one; on leaving, what was read was overwritten.
    """
    # Without O_NONBLOCK, opening a FIFO that took the file's place would wait for ever.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ObjectError(f"'{name}' was gone before it could be read.") from None
    except OSError as error:
        raise ObjectError(f"'{name}': {_denied(error)}.") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_ino != inode:
            raise _changed(name)
        ends = _read_ends(descriptor, size_bytes, name)
        yield cast("BinaryIO", _FilePart(descriptor, size_bytes))
        if _read_ends(descriptor, size_bytes, name) != ends:
            raise _changed(name)
    finally:
        os.close(descriptor)


def _read_ends(descriptor: int, size_bytes: int, name: str) -> tuple[bytes, bytes]:
    """The first and the last bytes of what is read: a log that only grows keeps them."""
    if os.fstat(descriptor).st_size < size_bytes:
        raise _changed(name)
    last = max(0, size_bytes - _COMPARED_BYTES)
    return (
        os.pread(descriptor, min(size_bytes, _COMPARED_BYTES), 0),
        os.pread(descriptor, size_bytes - last, last),
    )


def _changed(name: str) -> ObjectError:
    return ObjectError(f"'{name}' changed while it was read; the next run reads it again.")


class _FilePart(io.RawIOBase):
    """The first bytes of an open file."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        size = min(len(view), max(0, self._size_bytes - self._position))
        count = os.preadv(self._descriptor, [view[:size]], self._position)
        self._position += count
        return count
