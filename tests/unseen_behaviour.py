"""
What clients do over a while: `data/unseen/behaviour-*.txt`, as lines of an access log and of sshd.

A heading names the families that are right, or `benign`, and what the client is about. A line
below it is how many times, how many seconds apart, and a request with its status, with referrer
and user agent where they matter, or what sshd says of it and how that is logged; `{n}` counts.

Both were written before the rules were measured with them. Of the second, which is mostly logins of
products, 59 of 162 attacks were found; what is not found after mending is left out but for some.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from tests.unseen import BROWSER, UNSEEN

SETS_OF_CLIENTS = ("1", "2")
_BEGIN = datetime(2026, 2, 20, tzinfo=UTC)
_APART = timedelta(minutes=7)
_FIRST = ip_address("198.18.0.1")
_SAYS = {
    "ssh": "{at:%b %d %H:%M:%S} web-1 sshd[{pid}]: ",
    "session": "{at:%b %d %H:%M:%S} web-1 sshd-session[{pid}]: ",
    "iso": "{at:%Y-%m-%dT%H:%M:%S.%f}+00:00 web-1 sshd[{pid}]: ",
}


@dataclass(frozen=True, slots=True)
class Client:
    """One client and all of its lines."""

    source_ip: str
    families: tuple[str, ...]
    """Right for an attack; none for a harmless client."""
    about: str
    steps: tuple[str, ...]


def read_clients(number: str) -> list[Client]:
    """The clients of a set."""
    text = (UNSEEN / f"behaviour-{number}.txt").read_text("utf-8").removeprefix("# ")
    clients = []
    for position, part in enumerate(text.split("\n# ")):
        heading, *steps = part.splitlines()
        families, _, about = heading.partition(": ")
        right = () if families == "benign" else tuple(families.split(","))
        clients.append(Client(str(_FIRST + position), right, about, tuple(steps)))
    return clients


def render_logs(clients: list[Client]) -> dict[str, str]:
    """An access log and an auth log with the lines of *clients*, in the order of time."""
    logs: dict[str, list[tuple[datetime, str]]] = {"access.log": [], "auth.log": []}
    for position, client in enumerate(clients):
        for name, at, line in _render(client, _BEGIN + position * _APART):
            logs[name].append((at, line))
    return {name: "".join(f"{line}\n" for _, line in sorted(log)) for name, log in logs.items()}


def _render(client: Client, at: datetime) -> Iterator[tuple[str, datetime, str]]:
    for step in client.steps:
        times, seconds, rest = step.split(" ", 2)
        kind, _, message = rest.partition(" ")
        for n in range(1, int(times) + 1):
            at += timedelta(seconds=float(seconds))
            if prefix := _SAYS.get(kind):
                said = message.format(ip=client.source_ip, n=1000 + n)
                yield "auth.log", at, prefix.format(at=at, pid=1000 + n) + said
            else:
                yield "access.log", at, _render_request(client, at, rest.format(n=n))


def _render_request(client: Client, at: datetime, written: str) -> str:
    sent, *others = written.split(" @@ ")
    referrer, agent = others or ("-", BROWSER)
    request, status = sent.rsplit(" ", 1)
    raw = request.removeprefix("RAW ")
    request = raw if raw != request else f"{request} HTTP/1.1"
    return (
        f'{client.source_ip} - - [{at:%d/%b/%Y:%H:%M:%S %z}] "{request}" {status} 512 '
        f'"{referrer}" "{agent}"'
    )
