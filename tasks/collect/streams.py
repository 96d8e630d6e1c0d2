"""How the content of a file is recognised wherever it moves, and how its parts are named."""

from collections.abc import Collection
from hashlib import sha256

from tasks.model.objects import FileStream, digest

HEAD_BYTES = 4096
TAIL_BYTES = 4096
_ID_CHARACTERS = 16


def digest_bytes(data: bytes) -> str:
    """SHA-256, hex."""
    return sha256(data).hexdigest()


def first_line(start: bytes) -> bytes:
    """
    The head of a stream: its first line with the line feed, HEAD_BYTES at most.

    While the first line has no line feed, this is all there is of it.
    """
    start = start[:HEAD_BYTES]
    return start[: start.find(b"\n") + 1] or start


def new_stream_id(source: str, object_key: str, head: bytes, known: Collection[str]) -> str:
    """
    Two runs that discover the same file give it the same id; other content never gets it.

    The number at the end is for a file that was emptied and begins with the same line again.
    """
    generation = 0
    while (stream_id := digest(source, object_key, digest_bytes(head), generation)) in known:
        generation += 1
    return stream_id


def object_version(stream: FileStream) -> str:
    """What is read of a file: its stream from the offset on."""
    return f"{stream.stream_id[:_ID_CHARACTERS]}:{stream.offset}"


def extent_version(stream: FileStream, start: int, end: int) -> str:
    """A range of a stream, in decompressed bytes."""
    return f"{stream.stream_id[:_ID_CHARACTERS]}:{start}-{end}"
