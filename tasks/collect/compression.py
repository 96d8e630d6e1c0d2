"""Decompression by what the bytes are, never by what the name says, in bounded memory."""

import bz2
import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

import zstandard
from isal import igzip, isal_zlib

from tasks.model.errors import ObjectError, OversizedError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SNIFFED_BYTES = 16
_BUFFER_BYTES = 256 * 1024
_ZSTD_PIECE_BYTES = 1024
"""4 stored bytes can be a block of 128 KiB, so a piece makes 32 MiB at most."""
_ZSTD_MAX_WINDOW_BYTES = 128 * 1024 * 1024
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
"""The first block, or the end of an empty stream; `BZh9` alone could be text."""
_UNSUPPORTED = {
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
}
_BROKEN: tuple[type[Exception], ...] = (  # type: ignore[assignment]  # isal declares an instance
    EOFError,
    gzip.BadGzipFile,
    isal_zlib.error,
    zlib.error,
    zstandard.ZstdError,
)


class _Chunks(Protocol):
    """A stream that gives what it has, before it says what is wrong with the rest."""

    def read1(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may come out of one stored object before it counts as a bomb."""

    max_bytes: int = 1 << 62
    """Decompressed."""
    max_ratio: int = 1 << 62
    """Decompressed bytes per stored byte; not asked below RATIO_FROM_BYTES."""


RATIO_FROM_BYTES = 64 * 1024 * 1024
"""What decompresses to less than this harms nobody, whatever its ratio."""


class Content:
    """The decompressed bytes of one stored object, forward only."""

    def __init__(self, stored: BinaryIO, name: str, limits: Limits | None = None) -> None:
        """
        Find out what the bytes of *stored* are; *name* is for messages.

        Raises:
            ObjectError: They are an archive or a compression that is not read here.
        """
        start = _read_fully(stored, _SNIFFED_BYTES)
        kind = sniff(start)
        if kind not in _OPENERS:
            raise ObjectError(f"{name} is {kind}; store it as plain text, gzip, zstd or bz2.")
        self._name = name
        self._limits = limits or Limits()
        self._given = 0
        self._raw = _Rejoined(start, stored)
        self._stream = _OPENERS[kind](self._raw)
        self.kind = kind
        """`plain`, `gzip`, `zstd` or `bz2`."""

    def read(self, size: int) -> bytes:
        """
        Between one and *size* bytes; none at the end.

        Raises:
            ObjectError: The compressed data is cut off or damaged.
            OversizedError: It is more than the limits allow.
        """
        try:
            data = self._stream.read1(size)
        except _BROKEN as error:
            raise self._broken(error) from error
        except OSError as error:
            if self.kind == "bz2" and error.errno is None:  # how bz2 says that data is damaged
                raise self._broken(error) from error
            raise
        self._given += len(data)
        self._check_limits()
        return data

    def _check_limits(self) -> None:
        limits, given = self._limits, self._given
        if given > limits.max_bytes:
            raise OversizedError(
                f"{self._name} holds more than {limits.max_bytes:,} bytes: see what it is, raise "
                "MIDDLEWATCH_MAX_OBJECT_BYTES if it is a log, and take it out of quarantine."
            )
        is_bomb = given > max(RATIO_FROM_BYTES, limits.max_ratio * self._raw.consumed)
        if self.kind != "plain" and is_bomb:
            raise OversizedError(
                f"{self._name} decompresses to more than {limits.max_ratio:,} times its size: see "
                "what it is, raise MIDDLEWATCH_MAX_COMPRESSION_RATIO if it is a log, and take it "
                "out of quarantine."
            )

    def read_fully(self, size: int) -> bytes:
        """*size* bytes, or what there is before the end."""
        data = b""
        while len(data) < size and (more := self.read(size - len(data))):
            data += more
        return data

    def skip(self, size: int) -> None:
        """*size* bytes are passed over, or all that there are."""
        if self.kind == "plain":
            self._raw.skip(size)
            return
        while size and (data := self.read(min(size, _BUFFER_BYTES))):
            size -= len(data)

    def _broken(self, error: Exception) -> ObjectError:
        what = "ends too early" if isinstance(error, EOFError) else "is damaged"
        return ObjectError(
            f"The {self.kind} data of {self._name} {what}: check that it was written completely; "
            "the next run tries again."
        )


def sniff(start: bytes) -> str:
    """What begins like that: `plain`, `gzip`, `zstd`, `bz2`, or a sort that is not supported."""
    if start[:3] == b"\x1f\x8b\x08":
        return "gzip"
    if start[:4] == b"\x28\xb5\x2f\xfd" or _is_skippable_zstd_frame(start):
        return "zstd"
    if start[:3] == b"BZh" and start[4:10] in _BZ2_BLOCKS:
        return "bz2"
    return next((kind for magic, kind in _UNSUPPORTED.items() if start.startswith(magic)), "plain")


def _is_skippable_zstd_frame(start: bytes) -> bool:
    return start[1:4] == b"\x2a\x4d\x18" and 0x50 <= start[0] <= 0x5F


class _Rejoined(io.RawIOBase):
    """The bytes that were read ahead, and then the rest."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start = start
        self._rest = rest
        self.consumed = 0
        """Stored bytes that were asked for; the buffer of a decompressor may be ahead of it."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        data = self._start[: len(view)] or self._rest.read(len(view))
        self._start = self._start[len(data) :]
        view[: len(data)] = data
        self.consumed += len(data)
        return len(data)

    def read1(self, size: int, /) -> bytes:
        if self._start:
            return self.read(size) or b""
        data = self._rest.read(size)
        self.consumed += len(data)
        return data

    def skip(self, size: int) -> None:
        """Pass over *size* bytes, or all that there are."""
        size, self._start = size - len(self._start[:size]), self._start[size:]
        if self._rest.seekable():
            self._rest.seek(size, io.SEEK_CUR)
            return
        while size and (data := self._rest.read(min(size, _BUFFER_BYTES))):
            size -= len(data)


class _Zstd:
    """
    All frames of a zstd stream.

    zstandard's own stream reader ends silently where the data is cut off.
    """

    def __init__(self, stored: io.BufferedReader) -> None:
        self._stored = stored
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._left_over = b""
        self._ready = io.BytesIO()

    def read1(self, size: int, /) -> bytes:
        while not (data := self._ready.read(size)):
            if not self._decompress_piece():
                return b""
        return data

    def _decompress_piece(self) -> bool:
        piece = self._left_over or self._stored.read(_ZSTD_PIECE_BYTES)
        if not piece:
            if self._frame is not None:
                raise EOFError
            return False
        if self._frame is None:
            self._frame = self._context.decompressobj()
        self._ready = io.BytesIO(self._frame.decompress(piece))
        self._left_over = b""
        if self._frame.eof:
            self._left_over = self._frame.unused_data
            self._frame = None
        return True


def _read_fully(stored: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := stored.read(size - len(data))):
        data += more
    return data


_OPENERS: dict[str, Callable[[_Rejoined], _Chunks]] = {
    "plain": lambda stored: stored,
    "gzip": lambda stored: igzip.IGzipFile(  # type: ignore[no-untyped-call]
        fileobj=io.BufferedReader(stored, _BUFFER_BYTES)
    ),
    "zstd": lambda stored: _Zstd(io.BufferedReader(stored, _BUFFER_BYTES)),
    "bz2": lambda stored: bz2.BZ2File(io.BufferedReader(stored, _BUFFER_BYTES)),
}
