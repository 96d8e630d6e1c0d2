"""
Detection quality on labelled corpora: `make bench-quality SHARED=DIRECTORY`.

Every log file of every corpus is scanned by the product as it is shipped (directory source,
ledger, tallies, rules, incidents), in a namespace of its own. What became an incident is a
detection of (log file, source IP); the corpora's own `score.py` says what that is worth. Then come
the requests of `tests/data/unseen`, one per client; the benign ones were chosen for looking odd.
"""

import argparse
import importlib.util
import json
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address, ip_network
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, select

from tasks.collect.source import open_source
from tasks.detect.rules import load_rules
from tasks.model.incidents import Incident
from tasks.model.objects import Location
from tasks.store.engine import transaction
from tasks.store.incidents import load_incident
from tasks.store.schema import open_database
from tasks.store.tables import incidents
from tests.bare_scans import Scans
from tests.unseen import SETS, read_unseen, scan

ROW = "{:<16} {:>7} {:>8} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}"
HEAD = ROW.format(
    "corpus", "attacks", "flagged", "target", "family", "primary", "benign", "flagged", "target",
    "unparsed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached, in percent; None where nothing was asked for."""

    flagged: float | None = None
    benign: float | None = None
    max_paranoia: int = 9


TARGETS = {
    "crowdsec": Target(90),
    "crowdsec_appsec": Target(80),
    "crs": Target(85, max_paranoia=1),
    "crs_sessions": Target(97),
    "edgar": Target(),
    "httpparams": Target(95),
    "nuclei_cve": Target(92),
    "patt": Target(92),
    "real": Target(benign=0.1),
    "sshd": Target(95, 1.0),
}


@dataclass(frozen=True, slots=True)
class Scanned:
    """What the product said of one corpus."""

    detections: list[dict[str, Any]]
    lines: int
    lines_unparsed: int


def main() -> None:
    """Print one row per corpus, and what was missed and wrongly flagged where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path, help="holds the corpora and their score.py")
    parser.add_argument("--corpus", action="append", help="only this one; may be repeated")
    parser.add_argument("--list", type=int, default=0, help="so many misses and false alarms")
    arguments = parser.parse_args()
    names = sorted(path.parent.name for path in arguments.shared.glob("*/cases.jsonl"))
    wanted = [name for name in names if name in (arguments.corpus or names)]
    score = _load_scorer(arguments.shared / "score.py")
    print(HEAD)
    # A forked process would wait forever for threads of Polars that it does not have.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        paths = [arguments.shared / name for name in wanted]
        for path, scanned in zip(paths, pool.map(scan_corpus, paths), strict=True):
            _print_corpus(score, path, scanned, arguments.list)
    for number in () if arguments.corpus else SETS:
        _print_unseen(number)


def scan_corpus(corpus: Path) -> Scanned:
    """Every log file of *corpus*, scanned with the shipped rules."""
    with TemporaryDirectory() as directory:
        engine = open_database(f"sqlite:///{directory}/quality.db")
        scanned = [_scan_file(engine, corpus, log, n) for n, log in enumerate(_logs(corpus))]
        engine.dispose()
    return Scanned(
        [detection for s in scanned for detection in s.detections],
        sum(s.lines for s in scanned),
        sum(s.lines_unparsed for s in scanned),
    )


def _logs(corpus: Path) -> Iterator[str]:
    for path in sorted(corpus.rglob("*.log*")):
        yield path.relative_to(corpus).as_posix()


def _scan_file(engine: Engine, corpus: Path, log: str, number: int) -> Scanned:
    scans = Scans(engine, f"log-{number}", load_rules(), datetime.now(UTC))
    source = open_source(Location(str(corpus), pattern=log))
    results = scans.run(source)
    detections = [d for i in _incidents(scans) for d in _detections(corpus, log, i)]
    lines = sum(r.lines for r in results)
    return Scanned(detections, lines, sum(r.lines_unparsed for r in results))


def _incidents(scans: Scans) -> Iterator[Incident]:
    mine = select(incidents.c.id).where(
        incidents.c.namespace == scans.namespace, incidents.c.status != "closed"
    )
    with transaction(scans.engine) as connection:
        ids = list(connection.scalars(mine))
    return (load_incident(scans.engine, incident_id) for incident_id in ids)


def _detections(corpus: Path, log: str, incident: Incident) -> list[dict[str, Any]]:
    families = [family.value for family in incident.families]
    spelled = _spellings(corpus, incident.source_ip)
    return [{"ip": source_ip, "log": log, "families": families} for source_ip in spelled]


def _spellings(corpus: Path, source_ip: str) -> list[str]:
    """As the corpus names the clients: an IPv6 network is its labelled addresses."""
    if ":" not in source_ip:
        return [source_ip]
    named = set(re.findall(r'"(?:ip|source_ip)": "([0-9a-f:]*:[0-9a-f:.]*)"', _cases(corpus)))
    network = ip_network(source_ip)
    return sorted(ip for ip in named if ip_address(ip) in network)


@cache
def _cases(corpus: Path) -> str:
    return (corpus / "cases.jsonl").read_text("utf-8", "surrogateescape")


def _load_scorer(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python module; name a directory that holds score.py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _print_corpus(score: ModuleType, corpus: Path, scanned: Scanned, listed: int) -> None:
    target = TARGETS.get(corpus.name, Target())
    told = _score(score, corpus, scanned.detections, target)
    primary = [{**d, "families": d["families"][:1]} for d in scanned.detections]
    strict = _score(score, corpus, primary, target)
    hits = sum(f["any"] for f in told["families"].values())
    print(
        ROW.format(
            corpus.name,
            told["attack_n"],
            _percent(told["tpr_any"]),
            _percent(target.flagged, of=100),
            _percent(_right(told), of=max(hits, 1)),
            _percent(_right(strict), of=max(hits, 1)),
            told["benign"]["n"],
            _percent(told["benign"]["fpr"], digits=2),
            _percent(target.benign, of=100, digits=2),
            _percent(scanned.lines_unparsed, of=max(scanned.lines, 1)),
        ),
        flush=True,
    )
    for kind in ("misses", "fps"):
        for row in told[kind][:listed]:
            print(f"    {kind}:", *row)


def _print_unseen(number: str) -> None:
    attacks, benign = (read_unseen(kind, number) for kind in ("attacks", "benign"))
    found, wrong = (scan(cases, load_rules()) for cases in (attacks, benign))
    hits = [(case, found[case.source_ip]) for case in attacks if case.source_ip in found]
    right = sum(any(f.value in case.families for f in hit.families) for case, hit in hits)
    primary = sum(hit.family.value in case.families for case, hit in hits)
    print(
        ROW.format(
            f"unseen {number}",
            len(attacks),
            _percent(len(hits), of=len(attacks)),
            "-",
            _percent(right, of=len(hits)),
            _percent(primary, of=len(hits)),
            len(benign),
            _percent(len(wrong), of=len(benign), digits=2),
            "-",
            "-",
        )
    )


def _score(
    score: ModuleType, corpus: Path, detections: list[dict[str, Any]], target: Target
) -> dict[str, Any]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "detections.jsonl")
        path.write_text("".join(json.dumps(d) + "\n" for d in detections))
        told: dict[str, Any] = score.score(str(corpus), str(path), maxpl=target.max_paranoia)
    return told


def _right(told: dict[str, Any]) -> int:
    return sum(family["fam"] for family in told["families"].values())


def _percent(share: float | None, *, of: float = 1, digits: int = 1) -> str:
    return "-" if share is None else f"{100 * share / of:.{digits}f}%"


if __name__ == "__main__":
    main()
