"""The command that lists what is quarantined, and has it tried again."""

from tests import scans
from tests.scans import attack, scan


def test_list_and_retry(database, run_module, tmp_path, environ):
    """Set aside with its reason, listed, released by key, and counted by the next run."""
    logs = scans.write_logs(tmp_path / "logs", {"big.log": attack("198.51.100.7") * 9, "b.log": ""})
    environ(MIDDLEWATCH_MAX_OBJECT_BYTES="100")

    summary = scan(logs)
    listed = run_module("flows.quarantine", env={"COLUMNS": "200"})
    wrong = run_module("flows.quarantine", "--retry", "nothing.log")
    retried = run_module("flows.quarantine", "--retry", "big.log")
    environ(MIDDLEWATCH_MAX_OBJECT_BYTES="1000000")
    later = scan(logs)
    empty = run_module("flows.quarantine")

    assert summary.coverage.quarantined == 1
    assert "MIDDLEWATCH_MAX_OBJECT_BYTES" in listed.stdout
    assert "big.log" in listed.stdout
    assert (wrong.returncode, retried.returncode) == (2, 0)
    assert "nothing.log" in wrong.stderr
    assert "1 object will be read again" in retried.stdout
    assert (later.coverage.quarantined, later.suspects) == (0, 1)
    assert "Nothing is quarantined" in empty.stdout
