"""Networks: the same lines give the same findings, and those that the definition says."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tasks.detect.rules import MIN_NETWORK_ADDRESSES, Rule, load_rules
from tasks.store.schema import open_database
from tests.bare_scans import Scans, Shelf
from tests.conftest import ROOT
from tests.counting import NEW_YEAR

RULES = load_rules(ROOT / "tests" / "data" / "rules" / "networks.yml")
BY_ADDRESS, *BY_NETWORK = RULES.rules
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Failure(NamedTuple):
    """A failed login."""

    minute: int
    source_ip: str
    user: str
    port: int = 5

    @property
    def network(self) -> str:
        ip = self.source_ip
        return "2001:db8::/48" if ":" in ip else f"{ip.rpartition('.')[0]}.0/24"

    @property
    def subject(self) -> str:
        return self.source_ip.replace("::5", "::/64")

    def render(self) -> bytes:
        time = EPOCH + timedelta(minutes=self.minute)
        return (
            f"{time:%Y-%m-%dT%H:%M:%S}+00:00 bastion sshd[7]: Failed password for {self.user} "
            f"from {self.source_ip} port {self.port} ssh2\n"
        ).encode()


NETWORKS = ["203.0.113.{}", "203.0.114.{}", "2001:db8:0:{}::5"]
STARTS = st.sampled_from([NEW_YEAR - 70, NEW_YEAR - 6, NEW_YEAR - 1, NEW_YEAR + 55])


@st.composite
def bursts(draw: st.DrawFn) -> list[Failure]:
    """What the addresses of one network do in a few minutes; some do enough for themselves."""
    network, start = draw(st.sampled_from(NETWORKS)), draw(STARTS)
    one = st.tuples(st.integers(0, 5), st.integers(1, 7), st.integers(1, 7))
    quiet = draw(st.lists(one, min_size=6, max_size=14, unique_by=lambda t: (t[1], t[2] % 3)))
    loud = draw(st.lists(one, max_size=2))
    later = draw(st.sampled_from([0, 20, 50]))
    return [
        *(Failure(start + m, network.format(host), f"user{user}") for m, host, user in quiet),
        *(
            Failure(start + m + later, network.format(host), f"user{user}")
            for m, host, user in loud
            for _ in range(4)
        ),
    ]


worlds = st.lists(bursts(), min_size=1, max_size=4).map(
    lambda found: [e._replace(port=n) for n, e in enumerate(e for b in found for e in b)]
)


# the truth


def suspicious(rule: Rule, lines: Iterable[Failure]) -> dict[int, int]:
    """Minutes with the highest count of a hot window that holds them."""
    width, lines = rule.timespan_seconds // 60, list(lines)
    found: dict[int, int] = defaultdict(int)
    for start in {line.minute for line in lines}:
        inside = [line for line in lines if start <= line.minute < start + width]
        size = len({line.user for line in inside} if rule.field else inside)
        spread = len({line.subject for line in inside})
        if size >= rule.threshold and (rule is BY_ADDRESS or spread >= MIN_NETWORK_ADDRESSES):
            for line in inside:
                found[line.minute] = max(found[line.minute], size)
    return found


def expected(lines: list[Failure]) -> set[tuple]:
    """(network, rule, highest count) of every incident of a network."""
    alone = {
        (subject, minute // 60)
        for subject in {line.subject for line in lines}
        for minute in suspicious(BY_ADDRESS, [e for e in lines if e.subject == subject])
    }
    rest = [line for line in lines if (line.subject, line.minute // 60) not in alone]
    found = set()
    for network in {line.network for line in rest}:
        mine = [line for line in rest if line.network == network]
        said = [(rule.id, suspicious(rule, mine)) for rule in BY_NETWORK]
        minutes = sorted({minute for _, counts in said for minute in counts})
        chains: list[list[int]] = []
        for minute in minutes:
            if not chains or minute - (chains[-1][-1] + 1) >= 60:
                chains.append([])
            chains[-1].append(minute)
        found |= {
            (network, rule_id, max(counts[m] for m in chain if m in counts))
            for chain in chains
            for rule_id, counts in said
            if any(m in counts for m in chain)
        }
    return found


@contextmanager
def scans() -> Iterator[Scans]:
    with TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{Path(folder)}/middlewatch.db")
        try:
            yield Scans(engine, rules=RULES)
        finally:
            engine.dispose()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds, st.integers(1, 6), st.randoms(use_true_random=False))
def test_any_order_says_what_the_definition_says(lines, parts, random):
    """In one run, or object by object in any order, also when one is overwritten on its way."""
    whole = Shelf({"all.log": b"".join(line.render() for line in lines)})
    shuffled = random.sample(lines, len(lines))
    with scans() as at_once, scans() as bit_by_bit:
        at_once.run(whole)
        shelf = Shelf(
            {"0.log": b"".join(e.render() for e in random.sample(lines, len(lines) // 2))}
        )
        bit_by_bit.run(shelf)
        for part in range(parts):
            mine = shuffled[part::parts]
            shelf.objects[f"{part}.log"] = b"".join(line.render() for line in mine)
            bit_by_bit.run(shelf)

        found = at_once.incidents()
        of_networks = {
            (i.source_ip, f.rule_id, f.count)
            for i in found
            for f in i.findings
            if f.rule_id != BY_ADDRESS.id
        }
        event(f"{len(of_networks)} findings of networks, {len(found)} incidents")

        assert of_networks == expected(lines)
        assert bit_by_bit.incidents() == found
