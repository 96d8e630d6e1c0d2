"""Which lines the incidents of the shipped rules show."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tasks.detect.rules import load_rules
from tests.bare_scans import Scans, Shelf

IP = "192.0.2.7"
START = datetime(2026, 1, 1, 10, tzinfo=UTC)


def request(moment: datetime, method: str, target: str, status: int) -> bytes:
    time = f"{moment:%d/%b/%Y:%H:%M:%S} +0000"
    return f'{IP} - - [{time}] "{method} {target} HTTP/1.1" {status} 5 "-" "Mozilla/5.0"\n'.encode()


def refused_logins(random: Random) -> list[bytes]:
    """Nine a minute for 25 minutes, and lines in one of them that other rules keep, too."""

    def moment(minute: int) -> datetime:
        return START + timedelta(minutes=2 * minute, seconds=random.randint(0, 59))

    posts = [
        request(moment(minute), "POST", f"/login?{minute}-{number}", 403)
        for minute in range(25)
        for number in range(9)
    ]
    return posts + [request(moment(3), "GET", f"/session/?{number}", 403) for number in range(3)]


@pytest.mark.parametrize("seed", range(3))
def test_evidence_does_not_depend_on_the_cut(engine, seed):
    """What only some rules look at is chosen from what one count of all lines would keep."""
    random = Random(seed)
    lines = refused_logins(random)
    whole = Scans(engine, namespace="whole", rules=load_rules())
    cut = Scans(engine, namespace="cut", rules=load_rules())
    shelf = Shelf()

    whole.run(Shelf({"all.log": b"".join(lines)}))
    random.shuffle(lines)
    for number in range(15):
        shelf.objects[f"{number}.log"] = b"".join(lines[number::15])
        if number % 4 == 0:
            cut.run(shelf)
    cut.run(shelf)

    [expected], [incident] = whole.incidents(), cut.incidents()
    assert expected.evidence
    assert sorted(e.line for e in incident.evidence) == sorted(e.line for e in expected.evidence)


def test_a_login_after_failures_is_shown(engine):
    """The line that makes it worse is one of many hundred, and is there."""
    tries = [request(START + timedelta(seconds=10 * n), "POST", "/login", 200) for n in range(60)]
    success = request(START + timedelta(seconds=700), "POST", "/login", 302)
    scans = Scans(engine, rules=load_rules())

    scans.run(Shelf({"a.log": b"".join([*tries, success])}))

    [incident] = scans.incidents()
    assert success.decode().rstrip() in {e.line for e in incident.evidence}
