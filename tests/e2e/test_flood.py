"""Many addresses with one trick: one call, one message, and nobody is lost."""

from datetime import timedelta

from tests import scans
from tests.scans import attack, scan

MANY = 120


def test_a_flood_costs_one_call_and_one_digest(database, bedrock, telegram, tmp_path):
    """Everybody has a verdict of his own on record; the second flood is answered from it."""
    ips = [f"45.90.{n // 250}.{n % 250 + 1}" for n in range(MANY)]
    logs = scans.write_logs(tmp_path / "logs", {"a.log": "".join(map(attack, ips))})

    summary = scan(logs)
    others = [f"45.91.{n // 250}.{n % 250 + 1}" for n in range(MANY)]
    later = scans.START + timedelta(hours=3)
    scans.write_logs(logs, {"b.log": "".join(attack(ip, later) for ip in others)})
    again = scan(logs)

    assert summary.suspects == again.suspects == MANY
    assert len(bedrock.calls) == 1
    assert len(telegram.messages) == 2
    assert summary.deliveries == again.deliveries == {"sent": MANY}
    assert set(scans.found(database)) == {*ips, *others}
    analysts = scans.rows(database, "SELECT DISTINCT analyst, status FROM incidents")
    assert analysts == [("bedrock", "confirmed")]
    named = scans.rows(database, "SELECT source_ip, verdict FROM incidents")
    assert all(ip in verdict for ip, verdict in named)
    assert any(f"{MANY - 1} verdicts shared: budget" in d for d in summary.degradations)
    assert summary.outages == ()
