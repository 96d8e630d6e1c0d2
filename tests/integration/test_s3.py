"""Buckets, through the real client: against a local AWS, and against servers that fail."""

import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

from tasks.collect import s3
from tasks.collect.source import open_source
from tasks.model.errors import ConfigurationError, TransientError
from tasks.model.objects import KnownObject, Location
from tests.ledgers import MemoryLedger, read, scan

LINE = b'192.0.2.7 - - [22/Feb/2026:22:10:01 +0000] "GET / HTTP/1.1" 200 1 "-" "curl"\n'
ODD_KEYS = [
    "logs/with space.log", "logs/a+b.log", "logs/50%25.log", "logs/%2F.log", "logs/журнал.log",
    "logs/a//b", "logs//", "logs/'\"<>&.log", "logs/~.log", "logs/😀.gz", "logs/.hidden",
    "logs/a?b=c#d.log",
]  # fmt: skip

pytestmark = pytest.mark.usefixtures("aws_credentials")


@pytest.fixture
def bucket(moto_s3):
    """An empty bucket of the local AWS."""
    return boto3.resource("s3", endpoint_url=moto_s3.meta.endpoint_url).create_bucket(
        Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )


def source_of(bucket, prefix: str = "logs/", pattern: str = "**/*"):
    return open_source(Location(f"s3://{bucket.name}/{prefix}", pattern))


def test_many_pages(bucket):
    """Every key of several pages is read once, and a later run reads only what is new."""
    for number in range(1005):
        bucket.put_object(Key=f"logs/{number:05}.log", Body=LINE)
    ledger = MemoryLedger()
    source = source_of(bucket)
    plan, results = scan(source, ledger)

    assert (plan.listed, len(plan.to_read)) == (1005, 1005)
    assert ledger.look_ups == [1000, 5]
    assert not [r.error for r in results if r.error]
    assert len(ledger.lines) == 1005

    bucket.put_object(Key="logs/00000-earlier.log", Body=LINE)
    plan, _ = scan(source, ledger)
    assert [o.object_key for o in plan.to_read] == ["logs/00000-earlier.log"]
    assert plan.unchanged == 1005


def test_odd_keys(bucket):
    """Any key that a bucket allows can be listed and read."""
    for key in ODD_KEYS:
        bucket.put_object(Key=key, Body=gzip.compress(LINE))
    ledger = MemoryLedger()
    plan, results = scan(source_of(bucket), ledger)

    assert sorted(o.object_key for o in plan.to_read) == sorted(ODD_KEYS)
    assert not [r.error for r in results if r.error]
    assert len(ledger.lines) == len(ODD_KEYS)


def test_prefix_and_pattern(bucket):
    """Only keys below the prefix that match the pattern are listed; the bucket is the identity."""
    for key in ("logs/a.log", "logs/b/c.log", "logs/b.txt", "other/d.log"):
        bucket.put_object(Key=key, Body=LINE)
    plan = source_of(bucket, pattern="**/*.log").plan(MemoryLedger())

    assert [o.object_key for o in plan.to_read] == ["logs/a.log", "logs/b/c.log"]
    assert plan.source == f"s3://{bucket.name}"
    assert source_of(bucket, "").plan(MemoryLedger()).listed == 4


def test_folder_marker(bucket):
    """The empty object that consoles make for a folder is done, with no lines."""
    bucket.put_object(Key="logs/", Body=b"")
    _, (result,) = scan(source_of(bucket), MemoryLedger())

    assert result.error is None
    assert result.extents[0].lines == 0


def test_new_version(bucket):
    """An object that was overwritten is a new version of it."""
    bucket.put_object(Key="logs/a.log", Body=LINE)
    ledger = MemoryLedger()
    scan(source_of(bucket), ledger)
    bucket.put_object(Key="logs/a.log", Body=LINE + LINE)

    assert len(source_of(bucket).plan(ledger).to_read) == 1


def test_states(bucket):
    """What was set aside is not read, and what failed before is tried again."""
    for name in ("bad", "failed"):
        bucket.put_object(Key=f"logs/{name}.log", Body=LINE)
    ledger = MemoryLedger()
    bad, failed = source_of(bucket).plan(ledger).to_read
    ledger.failed[bad.object_key, bad.version] = KnownObject("quarantined", 5)
    ledger.failed[failed.object_key, failed.version] = KnownObject("skipped", 2)
    plan = source_of(bucket).plan(ledger)

    assert plan.quarantined == 1
    assert [(o.object_key, o.attempts) for o in plan.to_read] == [("logs/failed.log", 2)]


def test_changes_between_listing_and_reading(bucket):
    """An object that was overwritten or deleted since it was listed is left for the next run."""
    for key in ("logs/deleted", "logs/overwritten"):
        bucket.put_object(Key=key, Body=LINE)
    source = source_of(bucket)
    deleted, overwritten = source.plan(MemoryLedger()).to_read
    bucket.Object("logs/deleted").delete()
    bucket.put_object(Key="logs/overwritten", Body=LINE + LINE)

    assert "was gone" in (read(source, deleted)[0].error or "")
    assert "was overwritten" in (read(source, overwritten)[0].error or "")


def test_missing_bucket(bucket):
    """A bucket that does not exist is one sentence for the user."""
    with pytest.raises(ConfigurationError, match="no such bucket"):
        open_source(Location("s3://no-such-bucket-here/logs")).plan(MemoryLedger())


def test_no_bucket_name():
    """A location without a bucket is refused when it is given."""
    with pytest.raises(ConfigurationError, match="names no bucket"):
        open_source(Location("s3:///logs"))


def test_no_credentials(bucket, monkeypatch):
    """Without credentials the user is told what to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        source_of(bucket).plan(MemoryLedger())


@contextmanager
def failing_store(status: int, code: str, body: bytes | None = None) -> Iterator[str]:
    """A store that lists one object, and answers every read with this failure."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "list-type" in self.path and body is not None:
                self.answer(200, LISTING)
            elif body is not None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) + 1000))
                self.end_headers()
                self.wfile.write(body)
            else:
                self.answer(status, f"<Error><Code>{code}</Code></Error>".encode())

        def answer(self, number: int, content: bytes) -> None:
            self.send_response(number)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LISTING = b"""<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated><Contents>
<Key>logs/a.log</Key><LastModified>2026-02-22T22:10:01.000Z</LastModified>
<ETag>"abc"</ETag><Size>80</Size></Contents></ListBucketResult>"""


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "AccessDenied", "grant s3:ListBucket"),
        (403, "InvalidAccessKeyId", "refuses the credentials"),
        (403, "SignatureDoesNotMatch", "refuses the credentials"),
        (400, "ExpiredToken", "refuses the credentials"),
    ],
)
def test_refusals(status, code, sentence, monkeypatch):
    """What the user has to change is said in a sentence with what to do."""
    with failing_store(status, code) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(ConfigurationError, match=sentence):
            open_source(Location("s3://bucket/logs")).plan(MemoryLedger())


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
def test_overload(status, code, monkeypatch):
    """What passes by itself is tried again later."""
    monkeypatch.setattr(s3, "_ATTEMPTS", 1)
    with failing_store(status, code) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(TransientError):
            open_source(Location("s3://bucket/logs")).plan(MemoryLedger())


@pytest.mark.parametrize("page", [b"", b"<html><body>Please log in</body></html>", b"<p>Sorry<br>"])
def test_a_page_that_is_no_listing_is_not_an_empty_bucket(page, monkeypatch):
    """A proxy's page with status 200 would read like "nothing new" for ever."""
    monkeypatch.setattr(sys.modules[__name__], "LISTING", page)
    with failing_store(200, "", LINE) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(TransientError, match="cannot be listed now"):
            open_source(Location("s3://bucket/logs")).plan(MemoryLedger())


def test_dropped_body(monkeypatch):
    """A body that ends too early is not a short object."""
    with failing_store(200, "", LINE) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        source = open_source(Location("s3://bucket/logs"))
        (log_object,) = source.plan(MemoryLedger()).to_read
        with pytest.raises(TransientError, match="connection was lost"):
            read(source, log_object)


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (403, "AccessDenied", "grant s3:GetObject"),
        (403, "InvalidObjectState", "Glacier"),
        (400, "KMS.DisabledException", "check the object"),
    ],
)
def test_refused_objects(status, code, sentence, monkeypatch):
    """One object that may not be read is its own error; the others go on."""
    with failing_store(200, "", LINE) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        (log_object,) = open_source(Location("s3://bucket/logs")).plan(MemoryLedger()).to_read
    with failing_store(status, code) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        result, _ = read(open_source(Location("s3://bucket/logs")), log_object)

    assert sentence in (result.error or "")


def test_a_key_cannot_be_a_control_sequence_in_an_error(monkeypatch):
    """Prefect shows the error as it is, in states, logs and tracebacks."""
    with failing_store(200, "", LINE) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        source = open_source(Location("s3://bucket/logs"))
        (log_object,) = source.plan(MemoryLedger()).to_read
        hostile = replace(log_object, object_key="logs/a\x1b[31m\nFAKE\u202e.log")
        with pytest.raises(TransientError) as caught:
            read(source, hostile)

    assert r"s3://bucket/logs/a\x1b[31m FAKE\u202e.log" in str(caught.value)


def test_an_endpoint_that_does_not_answer_is_asked_again_by_the_next_run(monkeypatch):
    """A network that is down says nothing about the configuration."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(s3, "_ATTEMPTS", 1)
    source = open_source(Location("s3://logs/web"))

    with pytest.raises(TransientError, match=r"endpoint does not answer.*AWS_ENDPOINT_URL_S3"):
        source.plan(MemoryLedger())
