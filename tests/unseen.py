"""
Requests that no signature was written for: `data/unseen`, one client each, as a log has them.

A heading names the families that are right for the attacks below it; `ambiguous` ones are not
judged. A line is a request line, a payload after `? ` that goes into some parameter in some
encoding, or, after `RAW `, what the log has between its quotes; then referrer and user agent.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, quote_plus

UNSEEN = Path(__file__).parent / "data" / "unseen"
BROWSER = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36"
)
BEGIN = datetime(2026, 2, 22, tzinfo=UTC)
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
    """Right for an attack; empty for what is none."""
    line: str


def read_unseen(name: str) -> list[Case]:
    """The cases of `data/unseen/NAME.txt` that can be judged."""
    first = ip_address({"attacks": "100.64.0.1", "benign": "100.96.0.1"}[name])
    cases = []
    for number, (families, written) in enumerate(_read_lines(UNSEEN / f"{name}.txt")):
        source_ip, at = str(first + number), BEGIN + timedelta(seconds=40 * number)
        right = families if name == "attacks" else ()
        cases.append(Case(source_ip, written, right, _render(source_ip, at, number, written)))
    return cases


def _read_lines(path: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    families: tuple[str, ...] = ()
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("# "):
            families = tuple(line[2:].split(","))
        elif families != ("ambiguous",):
            yield families, line


def _render(source_ip: str, at: datetime, number: int, written: str) -> str:
    request, referrer, agent = (
        (*written.split(" @@ "), "-", BROWSER)[:3]
        if (" @@ " in written)
        else (written, "-", BROWSER)
    )
    escape = _escape_as_apache if number % 2 else _escape_as_nginx
    if request.startswith("RAW "):
        sent, status = request[4:], 400
    else:
        sent, status = escape(_spell(request, number)), 200
    return (
        f'{source_ip} - - [{at:%d/%b/%Y:%H:%M:%S %z}] "{sent}" {status} 512 '
        f'"{escape(referrer)}" "{escape(agent)}"'
    )


def _spell(request: str, number: int) -> str:
    if request.startswith("? "):
        payload = request[2:]
        spelled = re.search(r"%[0-9a-f]{2}|%u|\w&\w+[\[=]", payload, re.IGNORECASE)
        encode = ENCODINGS[2 if spelled else number % 3]
        text = payload.replace(" ", "+") if spelled else encode(payload)
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
