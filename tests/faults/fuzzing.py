"""
Coverage-guided fuzzing (Atheris, libFuzzer): `python -m tests.faults.fuzzing TARGET DIRECTORY SECONDS`.

Each target holds what it is given against what is promised of any bytes. What breaks a promise, or
takes longer than ten seconds, is kept in DIRECTORY.
"""

import bz2
import gzip
import io
import sys
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import atheris
import zstandard

with atheris.instrument_imports(include=["tasks.collect", "tasks.detect", "tasks.model"]):
    from tasks.collect.compression import Content, Limits, sniff
    from tasks.collect.formats.clock import ObjectClock
    from tasks.collect.formats.log_format import compile_apache, compile_nginx
    from tasks.collect.formats.parser import AUTO, BUILT_IN, W3C, Format, FormatChoice, LineParser
    from tasks.collect.lines import split_lines
    from tasks.collect.reader import read_extents
    from tasks.detect.decode import FIELD_LIMIT, view
    from tasks.detect.rules import load_rules
    from tasks.detect.signatures import TEXT_FIELDS
    from tasks.detect.tally_builder import TallyBuilder
    from tasks.model.errors import ObjectError
    from tasks.model.events import Event, EventCategory, Unparsed
    from tasks.model.objects import LogObject

from tasks.detect import engine
from tests.counting import built
from tests.data.make_logs import __file__ as make_logs_file
from tests.unseen import SETS, read_unseen

LOGS = Path(make_logs_file).parent / "logs"
WRITTEN = datetime(2026, 2, 23, tzinfo=UTC)
DECLARED = (
    compile_nginx('$remote_addr - [$time_local] "$request" $status "$http_x_forwarded_for"').parse,
    compile_apache('%h %l %u %t "%r" %>s %b').parse,
)
FORMATS: tuple[Format | str, ...] = (AUTO, AUTO, *sorted(BUILT_IN), W3C, *DECLARED)
RULES = load_rules()
SAMPLES = rb"""
192.0.2.7 - bob [22/Feb/2026:22:10:01 +0300] "GET /a?b=c HTTP/1.1" 200 1 "https://example.com/" "x"
example.com:443 192.0.2.7 - - [22/Feb/2026:22:10:01 +0300] "GET / HTTP/1.1" 200 1
2026/02/22 22:10:01 [error] 1#1: *1 open() failed, client: 192.0.2.7, server: _, request: "GET / HTTP/1.1"
[Sun Feb 22 22:10:01.123456 2026] [core:error] [pid 1] [client 192.0.2.7:5] AH00126: Invalid URI
Feb 22 22:18:33 web-01 sshd[1]: Failed password for invalid user admin from 192.0.2.7 port 22 ssh2
Feb 22 22:18:33 web-01 sshd[1]: message repeated 3 times: [ Failed password for root from 192.0.2.7 port 22 ssh2]
<38>1 2026-02-22T22:18:33Z web-01 sshd 1 - - Accepted publickey for git from 192.0.2.7 port 22 ssh2
{"MESSAGE":"Invalid user a from 192.0.2.7 port 22","SYSLOG_IDENTIFIER":"sshd","__REALTIME_TIMESTAMP":"1771798201000000"}
{"remote_addr":"192.0.2.7","time_local":"22/Feb/2026:22:10:01 +0300","request":"GET / HTTP/1.1","status":200}
{"level":"info","ts":1771798201.5,"request":{"remote_ip":"192.0.2.7","method":"GET","host":"a","uri":"/x","headers":{"User-Agent":["x"]}},"status":200}
{"ClientHost":"192.0.2.7","StartUTC":"2026-02-22T22:10:01Z","RequestMethod":"GET","RequestPath":"/","DownstreamStatus":200}
{"timestamp":1771798201000,"action":"BLOCK","httpRequest":{"clientIp":"192.0.2.7","uri":"/","args":"a=b","httpMethod":"GET","headers":[{"name":"User-Agent","value":"x"}]}}
https 2026-02-22T22:10:01.1Z app/a/b 192.0.2.7:28 10.0.0.1:80 0.1 0.1 0.1 200 200 1 2 "GET https://a:443/?b HTTP/1.1" "x" - - arn "Root=1" "a" "b" 0 2026-02-22T22:10:01Z "forward" "-" "-" "-" "-" "-" "-"
0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef bucket [22/Feb/2026:22:10:01 +0000] 192.0.2.7 - ID REST.GET.OBJECT k "GET /k HTTP/1.1" 200 - 1 1 1 1 "-" "x" -
#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status cs(User-Agent)
2026-02-22 22:10:01 192.0.2.7 GET /a b=c 200 x+y
Feb 22 22:10:01 lb haproxy[1]: 192.0.2.7:5 [22/Feb/2026:22:10:01.655] fe be/s 1/1/1/1/1 200 1 - - ---- 1/1/1/1/1 0/0 {x} "GET / HTTP/1.1"
[22/Feb/2026:22:10:01 +0000] - 200 200 - GET https a "/" [Client 192.0.2.7] [Length 1] [Gzip -] [Sent-to 1] "x" "-"
[2026-02-22 22:10:01.4] [2026-02-22T22:10:01.499Z] "GET / HTTP/1.1" 200 - 0 1 1 - "192.0.2.7" "x" "id" "a" "-"
"""


@contextmanager
def _opened(data: bytes):
    yield io.BytesIO(data)


class _Shelf:
    """A source with one object."""

    uri = "file:///shelf"

    def __init__(self, data: bytes) -> None:
        self.open = lambda _: _opened(data)

    def plan(self, ledger):
        raise NotImplementedError


def read_object(data: bytes) -> None:
    """Every line of an object of any bytes is an event, is ignored, or is counted as unparsed."""
    choice, content = _choose(data)
    with_events: set[int] = set()

    def sink(event: Event, number: int, line: bytes) -> None:
        with_events.add(number)
        _check_event(event)

    written = LogObject("s", "k", "v", len(content), WRITTEN)
    result = read_extents(
        _Shelf(content), written, UTC, lambda _: sink, choose_format=lambda _: choice
    )
    if result.error is not None or sniff(content[:16]) != "plain":
        return
    (extent,) = result.extents
    lines = split_lines(content + b"\n") if not content.endswith(b"\n") else split_lines(content)
    lines = lines if content else []
    parser = LineParser(ObjectClock(WRITTEN), choice)
    parsed = [parser.parse(line) for line in lines]
    assert extent.lines == len(lines)
    assert extent.lines_unparsed == sum(isinstance(p, Unparsed) for p in parsed)
    assert with_events == {
        n for n, p in enumerate(parsed, start=1) if not isinstance(p, Unparsed) and p
    }


def parse_lines(data: bytes) -> None:
    """What a line says in any format does not depend on the lines before it."""
    choice, content = _choose(data)
    together = LineParser(ObjectClock(WRITTEN), choice)
    for line in split_lines(content + b"\n"):
        parsed = together.parse(line)
        if b"#Fields" not in content:
            assert parsed == LineParser(ObjectClock(WRITTEN), choice).parse(line)
        if isinstance(parsed, Unparsed):
            assert parsed.reason
        else:
            for event in parsed:
                _check_event(event)


def decode_text(data: bytes) -> None:
    """Any text has bounded views in valid Unicode without line feeds, and is searched."""
    text = data.decode("utf-8", "surrogateescape")
    for is_url in (True, False):
        for reading in (*view(text, is_url=is_url), *view(data, is_url=is_url)):
            reading.encode()
            assert len(reading) <= FIELD_LIMIT
            assert "\n" not in reading
    path, _, query = text.partition("?")
    found = RULES.signature_set.find(
        Event(
            timestamp=0,
            source_ip="192.0.2.1",
            category=EventCategory.WEB,
            url_original=text,
            url_path=path,
            url_query=query,
            http_request_referrer=text,
            user_agent_original=text,
        )
    )
    assert list(found) == sorted(set(found))


def count_lines(data: bytes) -> None:
    """The engine counts as the exact path does, from the first byte on."""
    vars(engine)["_COLD_BYTES"] = 0
    fast, exact = (_count(data, is_compiled=compiled) for compiled in (True, False))
    assert fast == exact


def unpack(data: bytes) -> None:
    """Anything compressed, cut or damaged is read in bounded pieces, or refused in a sentence."""
    try:
        content = Content(io.BytesIO(data), "'k'", Limits(max_bytes=1 << 20, max_ratio=50))
        while piece := content.read(4096):
            assert len(piece) <= 4096
    except ObjectError as error:
        message = str(error)
    else:
        message = "'k'"
    assert "'k'" in message


def _count(data: bytes, *, is_compiled: bool):
    builder = TallyBuilder(RULES, is_compiled=is_compiled)
    written = LogObject("s", "k", "v", len(data), WRITTEN)
    result = read_extents(_Shelf(data), written, UTC, lambda _: builder.sink(0))
    return result, built(builder).to_payloads()


def _choose(data: bytes) -> tuple[FormatChoice, bytes]:
    """How it is to be read, which the first byte says, and the rest."""
    number = data[0] if data else 0
    return FormatChoice(formats=(FORMATS[number % len(FORMATS)],)), data[1:]


def _check_event(event: Event) -> None:
    assert 0 <= event.timestamp < 1 << 32
    texts = (getattr(event, name) for name in (*TEXT_FIELDS, "event_reason"))
    assert all(text is None or text.encode() is not None for text in texts)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (read_object, parse_lines, decode_text, count_lines, unpack)
}


def _seeds(target: str) -> list[bytes]:
    """What mutations begin with."""
    packed = [path.read_bytes() for path in sorted(LOGS.rglob("*.gz"))]
    requests = [case.line.encode() for number in SETS for case in read_unseen("attacks", number)]
    lines = [*SAMPLES.strip().splitlines(), *requests[::4]]
    if target == "unpack":
        whole = b"\n".join(lines)
        return [
            *packed,
            gzip.compress(whole),
            bz2.compress(whole),
            zstandard.compress(whole),
            whole,
        ]
    if target == "decode_text":
        return [line.split(b'"')[1] for line in requests if line.count(b'"') > 1]
    blocks = [*lines, b"\n".join(lines), b"\n".join(reversed(lines))]
    return (
        blocks if target == "count_lines" else [bytes([n % 32]) + b for n, b in enumerate(blocks)]
    )


def main() -> None:
    """Fuzz one target for so many seconds."""
    target, directory, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    corpus = directory / "corpus"
    corpus.mkdir(parents=True)
    for number, seed in enumerate(_seeds(target)):
        (corpus / f"{number:04}").write_bytes(seed)
    TARGETS[target](SAMPLES)  # what is loaded or compiled once is no slow input
    limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096", f"-max_total_time={seconds}"]
    options = [f"-artifact_prefix={directory}/", "-print_final_stats=1", "-use_value_profile=0"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
