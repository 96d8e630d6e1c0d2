"""Compression is known by content, read in bounded memory, and never ends silently."""

import bz2
import gzip
import io
import tracemalloc

import pytest
import zstandard

from tasks.collect.compression import RATIO_FROM_BYTES, Content, Limits
from tasks.model.errors import ObjectError, OversizedError

DATA = b"".join(b"line %06d of some log, with some text\n" % i for i in range(20_000))
HALF = len(DATA) // 2
PACKED = {
    "plain": DATA,
    "gzip": gzip.compress(DATA),
    "zstd": zstandard.compress(DATA),
    "bz2": bz2.compress(DATA),
}


def read_all(stored: bytes) -> bytes:
    content = Content(io.BytesIO(stored), "'access.log'")
    return b"".join(iter(lambda: content.read(65_536), b""))


@pytest.mark.parametrize("kind", PACKED)
def test_kinds(kind):
    """What was compressed comes back, whatever its name would have said."""
    assert Content(io.BytesIO(PACKED[kind]), "x").kind == kind
    assert read_all(PACKED[kind]) == DATA


@pytest.mark.parametrize(
    "compress", [gzip.compress, zstandard.compress, bz2.compress], ids=["gzip", "zstd", "bz2"]
)
def test_several_members(compress):
    """Streams that were appended to each other are one content."""
    assert read_all(compress(DATA[:HALF]) + compress(b"") + compress(DATA[HALF:])) == DATA


def test_gzip_with_zero_padding():
    """Tape and block devices pad with zeros, which are not data."""
    assert read_all(PACKED["gzip"] + b"\0" * 4096) == DATA


def test_zstd_skippable_frame():
    """Frames for other programs are passed over."""
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"

    assert read_all(skippable + PACKED["zstd"] + skippable) == DATA


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bz2"])
@pytest.mark.parametrize("missing", [1, 5, 1000])
def test_cut_off(kind, missing):
    """Compressed data that ends too early is an error, not a short content."""
    with pytest.raises(ObjectError, match="ends too early"):
        read_all(PACKED[kind][:-missing])


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bz2"])
def test_damaged(kind):
    """Compressed data that was changed is an error."""
    middle = len(PACKED[kind]) // 2
    damaged = PACKED[kind][:middle] + bytes(64) + PACKED[kind][middle + 64 :]

    with pytest.raises(ObjectError, match=r"is damaged|ends too early"):
        read_all(damaged)


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"PK\x03\x04", "zip"), (b"\xfd7zXZ\x00", "xz"), (b"7z\xbc\xaf\x27\x1c", "7z")],
)
def test_unsupported(start, name):
    """Archives are refused by name instead of being read as text."""
    with pytest.raises(ObjectError, match=name):
        Content(io.BytesIO(start + bytes(100)), "'access.log'")


@pytest.mark.parametrize("text", [b"", b"x", b"BZh9 is no bzip2", b"\x1f\x8b", b"(\xb5"])
def test_text_that_looks_compressed(text):
    """A few equal bytes do not make text a compressed file."""
    assert read_all(text) == text


@pytest.mark.parametrize(
    "compress", [gzip.compress, zstandard.compress, bz2.compress], ids=["gzip", "zstd", "bz2"]
)
def test_bombs(compress):
    """Memory does not grow with what comes out."""
    bomb = compress(bytes(64 * 1024 * 1024)) * 4
    content = Content(io.BytesIO(bomb), "x")
    tracemalloc.start()
    size = sum(len(data) for data in iter(lambda: content.read(65_536), b""))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size == 256 * 1024 * 1024
    assert peak < 80 * 1024 * 1024


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("size", [0, 5, 16, 17, 300_000])
def test_skip(kind, size):
    """What was passed over is not read."""
    content = Content(io.BytesIO(PACKED[kind]), "x")
    content.skip(size)

    assert content.read_fully(50) == DATA[size : size + 50]


def read_limited(stored: bytes, **limits: int) -> int:
    content = Content(io.BytesIO(stored), "'access.log'", Limits(**limits))
    return sum(map(len, iter(lambda: content.read(65_536), b"")))


@pytest.mark.parametrize("kind", PACKED)
def test_too_many_bytes(kind):
    """Reading stops at the configured size, whatever the compression, and the message says so."""
    assert read_limited(PACKED[kind], max_bytes=len(DATA)) == len(DATA)
    with pytest.raises(OversizedError, match="MIDDLEWATCH_MAX_OBJECT_BYTES"):
        read_limited(PACKED[kind], max_bytes=len(DATA) - 1)


@pytest.mark.parametrize(
    "compress", [gzip.compress, zstandard.compress, bz2.compress], ids=["gzip", "zstd", "bz2"]
)
def test_bomb(compress):
    """What grows beyond the configured ratio is given up long before its end."""
    bomb = compress(bytes(RATIO_FROM_BYTES)) * 8
    content = Content(io.BytesIO(bomb), "'bomb'", Limits(max_ratio=250))

    with pytest.raises(OversizedError, match="MIDDLEWATCH_MAX_COMPRESSION_RATIO"):
        content.skip(4 * RATIO_FROM_BYTES)


def test_small_bomb():
    """Well compressed is no bomb below the size that harms anybody."""
    assert read_limited(gzip.compress(bytes(1 << 20)), max_ratio=2) == 1 << 20
