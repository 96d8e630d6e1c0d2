"""Log objects: what is listed, what is read, and what the ledger remembers of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal


def digest(*parts: str | int) -> str:
    """SHA-256, hex, of *parts*; no two different sequences of parts give the same text."""
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Location:
    """Where log objects are, as the user says it."""

    uri: str
    """A directory, or `s3://bucket/prefix`."""
    pattern: str = "**/*"
    """Glob over paths below the directory or keys below the prefix."""
    aws_credentials_block: str | None = None
    """Name of a prefect-aws AwsCredentials block; None for the standard AWS chain."""


@dataclass(frozen=True, slots=True)
class EventRange:
    """Event times that count in a backfill, half-open: [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class FileStream:
    """
    The content of one file that may grow and be renamed, up to *offset*.

    A stream is recognised by content: the digest of its head and the digest of the bytes just
    before *offset*. All offsets count decompressed bytes, so `access.log` and the
    `access.log.2.gz` it became are one stream.
    """

    stream_id: str
    """Hex digest; never used twice, also not by another content at the same path."""
    object_key: str
    """Where the stream was last seen, relative to the source."""
    inode: int
    size_bytes: int
    """Size on disk when last seen (compressed, if compressed)."""
    modified_ns: int
    offset: int = 0
    """End of the last complete line that is committed."""
    line_count: int = 0
    """Complete lines before *offset*."""
    head_bytes: int = 0
    head_sha256: str = ""
    """Digest of the first *head_bytes* bytes."""
    tail_bytes: int = 0
    tail_sha256: str = ""
    """Digest of the *tail_bytes* bytes that end at *offset*."""
    unfinished_id: str | None = None
    """Ledger id of the last line without a newline that was counted after *offset*, if any."""


@dataclass(frozen=True, slots=True)
class LogObject:
    """One version of an S3 object or file that is to be read in this run."""

    source: str
    """Identity of the source in the ledger: `s3://bucket` or a directory's `file://` URI."""
    object_key: str
    """The S3 key, or the path relative to the directory with `/` separators."""
    version: str
    """S3 version id or etag; for a file, its stream and the offset that reading starts at."""
    size_bytes: int
    """Bytes still to read, as stored (compressed, if compressed)."""
    modified_at: datetime
    """UTC. The year of year-less syslog lines comes from it."""
    stream: FileStream | None = None
    """For files: the stream as it will be continued (offset 0: a new one). None for S3."""
    attempts: int = 0
    """Runs that failed on this version before."""


@dataclass(frozen=True, slots=True)
class KnownObject:
    """What the ledger says of one object version."""

    state: Literal["done", "quarantined", "skipped"]
    attempts: int
    """Runs that tried to read it."""
    size_bytes: int | None = None
    """Bytes that there were to read when it was last tried, as stored; None: as many as now."""


@dataclass(frozen=True, slots=True)
class QuarantinedObject:
    """An object version that was set aside, as the ledger has it."""

    namespace: str
    source: str
    object_key: str
    version: str
    size_bytes: int
    """As stored."""
    reason: str
    attempts: int
    since: datetime


@dataclass(frozen=True, slots=True)
class SkippedObject:
    """A listed object that is not read in this run, and why."""

    object_key: str
    version: str
    reason: str
    is_retried: bool = True
    """False where nothing is missing without it, such as a copy of a file that is read."""
    since: datetime | None = None
    """UTC. When a run could not read it for the first time, where that is on record."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What one listing of a source means for this run.

    Every listed object is in exactly one place:
    `listed = len(to_read) + unchanged + len(skipped) + quarantined`.
    """

    source: str
    listed: int
    unchanged: int
    to_read: tuple[LogObject, ...]
    skipped: tuple[SkippedObject, ...] = ()
    quarantined: int = 0
    """Listed again, but set aside by an earlier run."""
    seen: tuple[FileStream, ...] = ()
    """Streams with nothing new whose path, size, inode or time changed: bookkeeping only."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Log objects that one mapped task reads together."""

    number: int
    """1-based, in the order of this run; for people."""
    objects: tuple[LogObject, ...]

    @property
    def id(self) -> str:
        """The same for the same object versions, whatever the run."""
        return digest(*sorted(f"{o.source}\n{o.object_key}\n{o.version}" for o in self.objects))

    @property
    def size_bytes(self) -> int:
        """Stored bytes to read."""
        return sum(o.size_bytes for o in self.objects)


@dataclass(frozen=True, slots=True)
class UnparsedSample:
    """One line that no format understood."""

    line_number: int
    reason: str
    line: str
    """Cut to 200 characters; bytes that are not UTF-8 are written as \\xNN."""


@dataclass(frozen=True, slots=True)
class Extent:
    """
    A range of lines of one object version that was read: one row of the ledger.

    An S3 object is one extent. Reading a file gives one for its complete lines and, if its last
    line has no newline yet, a second one for that line alone, which the continuation replaces.
    """

    object_key: str
    version: str
    """S3 version id or etag; for a file `<stream>:<start>-<end>` in decompressed bytes."""
    size_bytes: int
    """Decompressed bytes in this range."""
    lines: int
    lines_unparsed: int
    first_event_at: datetime | None
    last_event_at: datetime | None
    unparsed: tuple[UnparsedSample, ...] = ()
    """At most three."""
    is_unfinished: bool = False


@dataclass(frozen=True, slots=True)
class ObjectResult:
    """What reading one object came to: extents and the stream afterwards, or an error."""

    log_object: LogObject
    extents: tuple[Extent, ...] = ()
    stream: FileStream | None = None
    error: str | None = None
    """One sentence; the object counts as skipped in this run and is tried again."""
    is_final: bool = False
    """With *error*: trying again changes nothing, so the object is set aside at once."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one mapped task did, for the run's coverage; the counts themselves are committed."""

    batch_number: int
    done: int
    unchanged: int
    """Objects that another run committed first."""
    skipped: tuple[SkippedObject, ...]
    quarantined: tuple[SkippedObject, ...]
    lines: int
    lines_unparsed: int
    size_bytes: int
    """Decompressed bytes read."""
    unparsed: tuple[tuple[str, UnparsedSample], ...] = ()
    """(object_key, sample), at most ten."""
    hardly_understood: tuple[str, ...] = ()
    """Keys of objects of which no format understood most lines."""
    slowed_by: str = ""
    """Why many lines were counted one by one; empty where they were not."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """P1 for one run: what was listed and what became of it."""

    listed: int = 0
    done: int = 0
    unchanged: int = 0
    quarantined: int = 0
    skipped: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing that was listed is unaccounted for."""
        return self.listed == self.done + self.unchanged + self.quarantined + self.skipped

    def __str__(self) -> str:
        """Return the equation as people read it."""
        sign = "=" if self.holds else "!="
        return (
            f"{self.listed} listed {sign} {self.done} done + {self.unchanged} unchanged"
            f" + {self.quarantined} quarantined + {self.skipped} skipped"
        )


def cover(plan: Plan, results: Sequence[BatchResult]) -> Coverage:
    """The coverage of a run from its plan and what its batches did."""
    return Coverage(
        listed=plan.listed,
        done=sum(r.done for r in results),
        unchanged=plan.unchanged + sum(r.unchanged for r in results),
        quarantined=plan.quarantined + sum(len(r.quarantined) for r in results),
        skipped=len(plan.skipped) + sum(len(r.skipped) for r in results),
    )
