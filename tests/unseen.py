"""
Requests that no signature was written for: `data/unseen`, one client each, as a log has them.

Each set was written from general knowledge before the rules were measured with it, and after they
had been mended for the sets before (3 and 4 were written together; 7 is a third of two that were,
8 has every second attack of one, 9 every second of two).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, quote_plus

from tasks.detect.rules import RuleSet
from tasks.model.incidents import Incident
from tasks.store.schema import open_database
from tests.bare_scans import Scans, shelf

UNSEEN = Path(__file__).parent / "data" / "unseen"
SETS = ("1", "2", "3", "4", "5", "6", "7", "8", "9")
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36"
)
BEGIN = datetime(2026, 2, 22, tzinfo=UTC)
FIRST = {"attacks": ip_address("100.64.0.1"), "benign": ip_address("100.96.0.1")}
TARGETS = (
    "/view?id={}",
    "/shop/list.php?page=2&cat={}",
    "/search?q={}&lang=en",
    "/api/v1/x?name={}",
)
ENCODINGS = (quote, quote_plus, lambda text: re.sub(r"[^!$-~]|[&\"]", lambda m: quote(m[0]), text))


@dataclass(frozen=True, slots=True)
class Case:
    """One client and its one request."""

    source_ip: str
    written: str
    families: tuple[str, ...]
    """Right for an attack."""
    line: str


def read_unseen(kind: str, number: str) -> list[Case]:
    """
    The `attacks` or `benign` requests of a set that can be judged.

    A heading names the families that are right below it; `ambiguous` requests are left out. A
    line is a request line, or a payload after `? ` that goes into some parameter in some encoding,
    or after `RAW ` what the log has between its quotes; then referrer and user agent.
    """
    cases = []
    for position, (families, written) in enumerate(_read_lines(UNSEEN / f"{kind}-{number}.txt")):
        source_ip, at = str(FIRST[kind] + position), BEGIN + timedelta(seconds=40 * position)
        cases.append(Case(source_ip, written, families, _render(source_ip, at, position, written)))
    return cases


def scan(cases: list[Case], rules: RuleSet) -> Mapping[str, Incident]:
    """The incidents of the cases' lines, by client."""
    scans = Scans(open_database("sqlite://"), rules=rules)
    scans.run(shelf({"access.log": "".join(f"{case.line}\n" for case in cases)}))
    return {incident.source_ip: incident for incident in scans.incidents()}


def _read_lines(path: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    families: tuple[str, ...] = ()
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# "):
            families = tuple(line[2:].split(","))
        elif families != ("ambiguous",):
            yield families, line


def _render(source_ip: str, at: datetime, number: int, written: str) -> str:
    request, *others = written.split(" @@ ")
    referrer, agent = others or ("-", BROWSER)
    escape = _escape_as_apache if number % 2 else _escape_as_nginx
    raw = request.removeprefix("RAW ")
    sent, status = (raw, 400) if raw != request else (escape(_spell(request, number)), 200)
    return (
        f'{source_ip} - - [{at:%d/%b/%Y:%H:%M:%S %z}] "{sent}" {status} 512 '
        f'"{escape(referrer)}" "{escape(agent)}"'
    )


def _spell(request: str, number: int) -> str:
    if request.startswith("? "):
        payload = request[2:]
        if re.search(r"%[0-9a-f]{2}|%u|\w&\w+[\[=]", payload, re.IGNORECASE):
            text = ENCODINGS[2](payload.replace(" ", "+")).replace("%26", "&")
        else:
            text = ENCODINGS[number % 3](payload)
        request = "GET " + TARGETS[number % 4].format(text)
    return request if request.endswith(("HTTP/1.0", "HTTP/1.1")) else f"{request} HTTP/1.1"


def _escape_as_apache(text: str) -> str:
    return "".join(
        f"\\{c}" if c in '"\\' else c if " " <= c <= "~" else _hexadecimal(c).lower() for c in text
    )


def _escape_as_nginx(text: str) -> str:
    return "".join(_hexadecimal(c) if c in '"\\' or not " " <= c <= "~" else c for c in text)


def _hexadecimal(character: str) -> str:
    return "".join(f"\\x{byte:02X}" for byte in character.encode())
