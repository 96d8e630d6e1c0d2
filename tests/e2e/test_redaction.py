"""A visitor's secrets in a log line stay in the database: nobody outside sees them."""

from tests import scans
from tests.faults.invariants import dump
from tests.scans import request, scan

ATTACKER = "45.89.23.7"
SECRETS = ("hunter22", "jane.doe", "9f86d081884c7d65")


def test_no_secret_of_a_log_line_leaves(database, bedrock, tavily, telegram, tmp_path):
    """The model may cite the line as it saw it; how much it was spared is in the run's report."""
    target = (
        "/item?id=1+UNION+ALL+SELECT+1,2--&password=hunter22"
        "&mail=jane.doe%40example.com&token=9f86d081884c7d65"
    )
    logs = scans.write_logs(tmp_path / "logs", {"a.log": request(ATTACKER, target)})

    summary = scan(logs)

    for call in bedrock.calls:
        assert "UNION+ALL+SELECT" in str(call.body)
        assert not any(secret in str(call.body) for secret in SECRETS)
    assert not any(secret in query for query in tavily.queries for secret in SECRETS)
    [message] = telegram.messages
    assert "[password]" in message.text
    assert not any(secret in message.text for secret in SECRETS)
    [conclusion] = summary.incidents
    assert conclusion.judgement.verdict.evidence != ()
    assert conclusion.judgement.redacted == 3
    assert "3 secrets in log lines hidden from the model." in summary.notes
    assert "hunter22" in dump(database)
