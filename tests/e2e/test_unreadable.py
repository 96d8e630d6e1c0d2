"""A row that another version or a person has left in the database is nobody else's trouble."""

import pytest
from sqlalchemy import create_engine, text

from tests import scans
from tests.scans import address, attacks, scan
from tests.servers import telegram as chat


def change(url, sql, **values):
    """What a person does who knows the database too well."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(sql), values)
    engine.dispose()


def test_an_alert_that_cannot_be_read_is_named_and_the_others_are_told(
    database, telegram, tmp_path, quick_retries
):
    """The run is Incomplete until somebody has looked at it."""
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attacks(2)})
    telegram.always(chat.bad_gateway())
    scan(logs)
    telegram.always(chat.ok())
    mine = "(SELECT id FROM incidents WHERE source_ip = :ip)"
    spoil = f"UPDATE deliveries SET alert = '[]' WHERE incident_id = {mine}"
    change(database, spoil, ip=address(1))

    state, message = scans.final_state(logs)

    assert state == "FAILED Incomplete"
    assert "cannot read" in message
    assert [address(2) in m.text for m in telegram.messages] == [True]


@pytest.mark.parametrize("analyst", ["rules", "bedrock"])
def test_an_incident_that_cannot_be_read_is_named_and_the_others_are_judged(
    database, bedrock, environ, tmp_path, analyst
):
    """Among so many that they are judged together."""
    environ(MIDDLEWATCH_ANALYST=analyst)
    logs = scans.write_logs(tmp_path / "logs", {"a.log": attacks(30)})
    scan(logs)
    change(database, "UPDATE incidents SET needs_judgement = 1, status = 'suspected'")
    spoil = "UPDATE incidents SET findings = '[]' WHERE source_ip = :ip"
    change(database, spoil, ip=address(7))

    summary = scan(logs)

    [failure] = summary.failures
    assert failure.startswith(f"{address(7)} was not judged: Incident ")
    assert len(summary.conclusions) == 29
    assert len(scans.found(database)) == 29
