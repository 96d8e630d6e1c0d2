"""A scan of a directory: exact incidents, a true final state, a history."""

import gzip
import os
from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.client.schemas.sorting import FlowRunSort

from flows.report import escape_markdown
from tasks.model.objects import Coverage
from tasks.model.runs import RunState
from tasks.model.text import make_visible
from tests import scans
from tests.scans import PROBER, SQLI, TRAVERSAL, scan


@pytest.fixture(params=["database", "mariadb_database"])
def url(request):
    """SQLite and MariaDB."""
    return request.getfixturevalue(request.param)


def history(name):
    """The flow run of that name and its artifacts by key, as the API gives them."""
    with get_client(sync_client=True) as client:
        wanted = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
        [flow_run] = client.read_flow_runs(flow_run_filter=wanted)
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
        return flow_run, {a.key: a for a in client.read_artifacts(artifact_filter=mine)}


def test_attackers_are_incidents_and_everybody_else_is_none(url, tmp_path):
    """Two single lines and a prober are; visitors, a login and one wrong password are not."""
    logs = scans.seed_like(tmp_path / "logs")

    first = scan(logs)
    second = scan(logs)

    families = scans.found(url)
    assert families.pop(PROBER) in ("reconnaissance", "path_traversal")
    assert families == {SQLI: "sql_injection", TRAVERSAL: "path_traversal"}
    assert rows_of(url, "incidents") == 3
    assert first.coverage == Coverage(3, 3)
    assert first.lines == 35
    assert (second.coverage, second.is_idle) == (Coverage(3, unchanged=3), True)
    assert scans.objects(url) == [
        ("cloud/mixed.log", "done", 5),
        ("web/prober.log", "done", 20),
        ("web/visitors.log", "done", 10),
    ]


def report_of_last_run():
    """Its markdown."""
    with get_client(sync_client=True) as client:
        [latest] = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        _, artifacts = history(latest.name)
        return artifacts["report-live"].data


def rows_of(url, table):
    [(count,)] = scans.rows(url, f"SELECT count(*) FROM {table}")
    return count


def test_a_run_leaves_a_record_a_report_and_a_table(database, tmp_path):
    """The row in `runs`, the artifacts and the summary say the same; the state is Completed."""
    summary = scan(scans.seed_like(tmp_path / "logs"))

    flow_run, artifacts = history(summary.name)
    assert flow_run.state.name == "Completed"
    assert flow_run.state.message == f"{summary.coverage}; 3 suspects, 3 incidents."
    [row] = scans.rows(
        database,
        """SELECT flow_run_id, kind, namespace, state, objects_listed, objects_done, `lines`,
                  suspects, incidents, error FROM runs""",
    )
    assert row == (str(flow_run.id), "scan", "live", "done", 3, 3, 35, 3, 3, None)
    assert set(artifacts) == {"report-live", "incidents-live", "progress-live"}
    assert str(summary.coverage).split(" = ")[0] in artifacts["report-live"].data
    assert SQLI in artifacts["incidents-live"].data
    assert artifacts["progress-live"].data == 100.0


def test_a_second_run_says_that_there_is_nothing_new(database, tmp_path):
    """In the message of its state."""
    logs = scans.seed_like(tmp_path / "logs")
    scan(logs)

    state, message = scans.final_state(logs)

    assert state == "COMPLETED Completed"
    assert message.startswith("Nothing new: 3 listed = 0 done + 3 unchanged")


def test_what_cannot_be_read_is_named_retried_and_stops_nothing_else(database, tmp_path):
    """A truncated gzip makes it Incomplete; a FIFO and a symlink to nothing are only listed."""
    logs = scans.seed_like(tmp_path / "logs")
    whole = gzip.compress((scans.attack("198.51.100.77") * 400).encode())
    (logs / "cut.log.gz").write_bytes(whole[: len(whole) // 2])
    (logs / "gone.log").symlink_to(logs / "nowhere")
    os.mkfifo(logs / "fifo")

    state, message = scans.final_state(logs)

    assert state == "FAILED Incomplete"
    assert "6 listed = 3 done + 0 unchanged + 0 quarantined + 3 skipped" in message
    _, _, to_retry = message.partition("The next run tries again: ")
    assert "cut.log.gz" in to_retry
    assert "gone.log" not in to_retry
    report = report_of_last_run()
    for key in ("cut.log.gz", "gone.log", "fifo"):
        assert f"| {escape_markdown(key)} |" in report
    assert set(scans.found(database)) == {SQLI, TRAVERSAL, PROBER}
    assert all(scans.coverages(database))

    (logs / "cut.log.gz").write_bytes(whole)
    mended = scan(logs)

    assert mended.state is RunState.DONE
    assert mended.coverage == Coverage(6, done=1, unchanged=3, skipped=2)
    assert "198.51.100.77" in scans.found(database)


def test_requests_of_one_address_add_up_over_files_and_runs(database, tmp_path):
    """Half of a flood in one file, half in another one that comes later."""
    lines = scans.flood("198.51.100.99", 600).splitlines(keepends=True)
    logs = scans.write_logs(tmp_path / "logs", {"a.log": "".join(lines[::2])})
    plain = {"thresholds": {"http-request-volume": {"threshold": 600, "timespan": "1m"}}}

    first = scan(logs, **plain)
    scans.write_logs(logs, {"b.log": "".join(lines[1::2])})
    second = scan(logs, **plain)

    assert first.suspects == 0
    assert [c.incident.source_ip for c in second.incidents] == ["198.51.100.99"]
    assert second.incidents[0].incident.activity.request_count == 600


def test_an_allowlisted_network_is_never_a_suspect(database, tmp_path):
    """While the entry has not expired at the time of the event."""
    logs = scans.seed_like(tmp_path / "logs")
    day = timedelta(days=1)
    allowlist = [
        {"cidr": f"{SQLI}/32", "reason": "our pentester", "expires": scans.START + day},
        {"cidr": f"{TRAVERSAL}/32", "reason": "was one", "expires": scans.START - day},
    ]

    scan(logs, allowlist=allowlist)

    assert set(scans.found(database)) == {TRAVERSAL, PROBER}


def test_a_shadow_rule_is_a_line_in_the_report(database, tmp_path, monkeypatch):
    """What it would have found is named there, and is no incident."""
    logs = scans.seed_like(tmp_path / "logs")
    own = tmp_path / "own.yml"
    own.write_text("rules: [{id: path-traversal, shadow: true}]\n")
    monkeypatch.setenv("MIDDLEWATCH_RULES_FILE", str(own))

    scan(logs)

    told = "path-traversal would have found 2 in what is new: 203.0.113.66, 45.89.23.12."
    assert escape_markdown(told) in report_of_last_run()
    assert TRAVERSAL not in scans.found(database)


def test_a_name_of_a_file_cannot_be_a_control_sequence_or_turn_text_around(database, tmp_path):
    """Whoever may upload chooses it; here it is in the state, the table and the UI."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a\u202egol.\x9b31m\u2028FAKE.gz").write_bytes(gzip.compress(b"x" * 100)[:-20])

    name, message = scans.final_state(logs)
    [(error,)] = scans.rows(database, "SELECT error FROM runs")

    assert name == "FAILED Incomplete"
    assert r"a\u202egol.\x9b31m FAKE.gz" in message
    assert make_visible(message) == message
    assert make_visible(error) == error
