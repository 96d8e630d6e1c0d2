"""The bundled sample logs: reproducible, documentation addresses only, every attack found once."""

import gzip
import json
import re
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from itertools import groupby
from pathlib import Path

import pytest

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import LineParser
from tasks.detect.evaluate import evaluate
from tasks.detect.incidents import chain
from tasks.detect.loading import LoadedTally
from tasks.detect.rules import load_rules
from tasks.detect.tally_builder import TallyBuilder
from tasks.detect.touched import Touched
from tasks.model.events import Unparsed
from tests.data import make_logs

DATA = Path(make_logs.__file__).parent
LOGS = DATA / "logs"
FILES = sorted(p for p in LOGS.rglob("*") if p.is_file())
PLANTED = json.loads((DATA / "planted.json").read_text())
WRITTEN = datetime(2026, 2, 23, tzinfo=UTC)
DOCUMENTATION = [
    ip_network(n)
    for n in (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "10.0.0.0/8",
        "127.0.0.0/8",
    )
]


def content(path):
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.fixture(scope="module")
def parsed():
    """(file, line number, line, events or why not) of every line."""
    lines = []
    for path in FILES:
        parser = LineParser(ObjectClock(WRITTEN))
        for number, line in enumerate(content(path).split(b"\n")[:-1], 1):
            lines.append((path.relative_to(LOGS).as_posix(), number, line, parser.parse(line)))
    return lines


@pytest.fixture(scope="module")
def incidents(parsed):
    """All incidents of the sample logs, counted in one batch."""
    rules = load_rules()
    builder = TallyBuilder(rules)
    names = {}
    for extent, (name, lines) in enumerate(groupby(parsed, key=lambda p: p[0])):
        names[extent] = name
        sink = builder.sink(extent)
        for _, number, line, events in lines:
            for event in () if isinstance(events, Unparsed) else events:
                sink(event, number, line)
    tally = builder.write().read()
    hours = evaluate(rules, [LoadedTally(tally, names)], Touched.by([tally]))
    hours.sort(key=lambda h: h.source_ip)
    return [
        incident
        for _, of_one_ip in groupby(hours, key=lambda h: h.source_ip)
        for incident in chain(of_one_ip, rules, "live")
    ]


def test_committed_logs_are_what_the_script_writes(tmp_path):
    """Running make_logs.py again gives the same lines and the same table."""
    make_logs.main(tmp_path)

    again = sorted(p for p in (tmp_path / "logs").rglob("*") if p.is_file())
    assert [p.relative_to(tmp_path / "logs") for p in again] == [p.relative_to(LOGS) for p in FILES]
    for old, new in zip(FILES, again, strict=True):
        assert content(old) == content(new)
    assert json.loads((tmp_path / "planted.json").read_text()) == PLANTED


def test_all_of_it_is_small():
    """The sample logs are no burden to a clone."""
    assert sum(p.stat().st_size for p in FILES) < 1_500_000


def test_every_address_is_for_documentation_or_inside():
    """No line, not even a payload, names an address that somebody has."""
    for path in FILES:
        for found in set(re.findall(rb"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", content(path))):
            text = found.decode()
            if text.endswith(".0.0.0"):
                continue  # a browser's version
            assert any(ip_address(text) in network for network in DOCUMENTATION), text


def test_every_attack_is_in_its_file_and_found_once(incidents):
    """Each planted address makes one incident of its family, and no other address makes any."""
    found = sorted((i.source_ip, i.family.value) for i in incidents)

    assert found == sorted((p["ip"], p["family"]) for p in PLANTED)
    for planted in PLANTED:
        assert planted["ip"].encode() in content(LOGS / planted["file"])


def test_every_family_of_attack_has_evidence_lines(incidents):
    """Whoever looks at an incident sees lines that count for it."""
    assert all(any(line.rule_ids for line in i.evidence) for i in incidents)


def test_broken_lines_are_few_and_known(parsed):
    """Four lines cannot be understood, as README.md says."""
    broken = [name for name, _, _, events in parsed if isinstance(events, Unparsed)]

    assert sorted(broken) == [
        "bastion/auth.log",
        "web-1/access.log",
        "web-1/access.log",
        "web-1/access.log.1",
    ]
