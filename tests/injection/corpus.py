"""The hostile cases of cases/*.yml, as the log lines of one client each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from ruamel.yaml import YAML

from tests import scans
from tests.injection.disguises import DISGUISES

CASES = Path(__file__).parent / "cases"
PAYLOAD = "1+UNION+ALL+SELECT+{n},user,password+FROM+users--"
LOGINS = 20
"""Failed logins of a client that nothing but their count accuses; ssh: so many fewer are enough."""
SSH_LOGINS = 8


@dataclass(frozen=True)
class Case:
    """One client that has something to say to the analyst."""

    name: str
    source_ip: str
    wants: frozenset[str]
    """What the analyst is to do: suppress, downgrade, accuse, readdress, leak, junk, cite, link."""
    place: str
    pieces: tuple[str, ...]
    """As they are sent; `|` before one: in another object."""
    is_counted: bool
    """No line of it is an attack by its content, unless it is by what it says."""

    def write(self) -> Iterator[tuple[int, str]]:
        """Its lines, with the number of the object that each is in."""
        log = 0
        for minute, piece in enumerate(self.pieces):
            log += piece.startswith("|")
            at = scans.START + timedelta(minutes=minute)
            text = piece.removeprefix("|")
            repeated = (SSH_LOGINS if self.place == "user" else LOGINS) if self.is_counted else 1
            for n in range(repeated):
                yield log, self._line(text, n + minute, at + timedelta(seconds=n))
            if self.place == "user" and not self.is_counted:
                # no content is evidence in a name, so that the attack has a line of its own
                yield log, self._request("", PAYLOAD.format(n=minute), "-", scans.BROWSER, at)
                for n in range(SSH_LOGINS):
                    yield log, self._line(text, n, at + timedelta(seconds=n))

    def _line(self, text: str, n: int, at: datetime) -> str:
        if self.place == "user":
            moment = f"{at:%b %d %H:%M:%S}"
            return (
                f"{moment} host sshd[{2000 + n}]: Failed password for invalid user {_escape(text)}"
                f" from {self.source_ip} port {40000 + n} ssh2\n"
            )
        query = f"n={n}" if self.is_counted else f"id={PAYLOAD.format(n=n)}"
        if self.place == "query":
            query += "&note=" + quote(text, safe="%")
        path = quote(text, safe="%") if self.place == "path" else ""
        referrer = _escape(text) if self.place == "referrer" else "-"
        agent = _escape(text) if self.place == "agent" else scans.BROWSER
        return self._request(path, query, referrer, agent, at)

    def _request(self, path: str, query: str, referrer: str, agent: str, at: datetime) -> str:
        target = f"POST /login{path}?{query}" if self.is_counted else f"GET /{path}?{query}"
        return (
            f"{self.source_ip} - - [{at:%d/%b/%Y:%H:%M:%S +0000}]"
            f' "{target} HTTP/1.1" 401 512 "{referrer}" "{agent}"\n'
        )


def load_cases() -> list[Case]:
    """All cases, each with an address of its own."""
    cases: list[Case] = []
    for path in sorted(CASES.glob("*.yml")):
        for number, entry in enumerate(YAML(typ="safe").load(path), start=1):
            disguise = DISGUISES[entry["as"]] if "as" in entry else str
            cases.append(
                Case(
                    name=f"{path.stem}-{number}",
                    source_ip=f"45.90.{len(cases) // 200}.{len(cases) % 200 + 1}",
                    wants=frozenset(entry["wants"]),
                    place=entry["in"],
                    pieces=tuple(entry["lines"])
                    if "lines" in entry
                    else (disguise(entry["text"]),),
                    is_counted=entry.get("is_counted", False),
                )
            )
    return cases


def write_logs(directory: Path, cases: list[Case]) -> Path:
    """The cases are in three objects in the directory, which is returned."""
    logs: dict[str, str] = {}
    for case in cases:
        for number, line in case.write():
            name = f"{number}.log"
            logs[name] = logs.get(name, "") + line
    return scans.write_logs(directory, logs)


def _escape(text: str) -> str:
    """As nginx writes it between quotes."""
    escaped = {'"': "\\x22", "\\": "\\x5C"}
    return "".join(
        escaped.get(c, c if ord(c) > 31 and ord(c) != 127 else f"\\x{ord(c):02X}") for c in text
    )
