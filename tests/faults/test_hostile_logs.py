"""Logs that are written to break who reads them: huge, endless, full of control characters."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.model.runs import RunState
from tests import scans
from tests.benchmarks.detect import ours, spend
from tests.scans import address, attack, scan

ROOT = Path(__file__).parents[2]
TEN_MB = 10 * 1024 * 1024
INJECTION = b"1+UNION+ALL+SELECT+1,user,password+FROM+users--"
HOSTILE = {
    "NUL": b"a\x00b\\x00c",
    "lone surrogates": b"\xed\xa0\x80\xed\xbf\xbf%ed%a0%80",
    "broken UTF-8": b"\xff\xfe\xc3\x28\xf0\x9f\x98",
    "ANSI escapes": b"\x1b[2J\x1b[31m\x1b]0;owned\x07\x1b]8;;http://evil.example\x1b\\\\x1b[1A",
    "HTML": b"</pre></code><b><script>alert(1)</script><a href='https://evil.example'>x</a>&lt;&amp",
    "Markdown": b"```\n[x](https://evil.example)|a|b|\n# **_owned_**".replace(b"\n", b"\\n"),
    "SQL": b"'; DROP TABLE incidents; -- \\\\'); DELETE FROM runs; #",
    "bidi and tags": "\u202egnp.exe\u2066\U000e0041\ufeff\u200b".encode(),
    "format strings": b"%s%n%x{0}{__class__}${jndi:ldap://x}%(a)s:name",
    "quotes": b'\\"\\"\\\\',
    "10 MB": b"A" * TEN_MB,
    "10 MB of escapes": b"%25" * (TEN_MB // 3),
    "10 MB of brackets": b"{[(<" * (TEN_MB // 4),
}


def line(number: int, text: bytes) -> bytes:
    """A hostile text wherever a line has one, and an injection that is to be found."""
    target = b"/a?id=" + INJECTION + b"&x=" + text.replace(b" ", b"+")
    return b'%b - %b [22/Feb/2026:19:30:%02d +0000] "GET %b HTTP/1.1" 200 5 "%b" "%b"\n' % (
        address(number).encode(), text[:200].replace(b" ", b""), number, target, text[:9999], text[:9999],
    )  # fmt: skip


def test_no_text_breaks_a_run(database, telegram, tmp_path):
    """Every line is counted; each attacker whose line can be read is found and told of."""
    logs = scans.write_logs(tmp_path / "logs", {"good.log": attack("45.89.23.9")})
    lines = [line(number, text) for number, text in enumerate(HOSTILE.values(), start=1)]
    (logs / "hostile.log").write_bytes(b"".join(lines))
    huge = [name.startswith("10 MB") for name in HOSTILE].count(True)

    summary = scan(logs)

    assert summary.state is RunState.DONE
    assert summary.coverage.holds
    counted = {key: lines for key, _, lines in scans.objects(database)}
    assert counted == {"good.log": 1, "hostile.log": len(HOSTILE)}
    assert len(scans.found(database)) == 1 + len(HOSTILE) - huge
    told = "".join(message.text for message in telegram.messages)
    assert not set(told) & {"\x00", "\x1b", "\x07", "\u202e", "\u2066", "\ufeff", "\U000e0041"}


MOST_MIB = 1024


def many_addresses(count: int) -> Iterator[str]:
    for n in range(count):
        yield scans.request(f"{1 + n // 65536 % 200}.{n // 256 % 256}.{n % 256}.{n % 251}", "/")


def many_paths(count: int) -> Iterator[str]:
    for n in range(count):
        yield scans.request("198.51.100.7", f"/{n:x}?id={n}+union+select+{n},2", status=404)


def long_lines(count: int) -> Iterator[str]:
    for n in range(count):
        yield scans.request("198.51.100.7", "/" + "%27{[(<;|&" * (100 * 1024) + str(n))


def write_log(path: Path, lines: Iterator[str]) -> str:
    with path.open("w") as file:
        file.writelines(lines)
    return str(path)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("make_lines", "count"),
    [(many_addresses, 1_000_000), (many_paths, 1_000_000), (long_lines, 200)],
)
def test_time_and_memory_are_bounded(make_lines, count, tmp_path, monkeypatch):
    """Four times as many addresses, paths or bytes take four times as long, in bounded memory."""
    monkeypatch.chdir(ROOT)
    small = write_log(tmp_path / "small.log", make_lines(count // 4))
    large = write_log(tmp_path / "large.log", make_lines(count))
    spend(ours("job", small), [0])

    less, more = spend(ours("job", small), [0]), spend(ours("job", large), [0])

    assert more.cpu < 5 * less.cpu
    assert more.peak_mib < MOST_MIB
