"""`python -m flows.scan`: one clear sentence, the right exit code, and never a traceback."""

import gzip
import sys

import pytest
import requests
import typer
from prefect.logging.handlers import PrefectConsoleHandler

from flows import scan
from tests import scans

WRONG_RULES = """\
rules:
  - id: nonsense
    threshold: [
"""


@pytest.fixture
def run(database, capfd, monkeypatch):
    """Run the command in this process, with Prefect's console as quiet as `python -m` makes it."""
    monkeypatch.setattr(PrefectConsoleHandler, "emit", lambda _handler, _record: None)

    def run_command(*args):
        monkeypatch.setattr(sys, "argv", ["scan", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            typer.run(scan.main)
        output = capfd.readouterr()
        return ended.value.code, output.out, output.err

    return run_command


def check(ended, code, *said):
    """Nothing but one sentence on stderr that says all of this, and the code."""
    its_code, output, complaint = ended
    assert (its_code, output) == (code, ""), complaint
    assert len(complaint.strip().splitlines()) == 1, complaint
    for words in said:
        assert words in complaint


def test_a_scan_prints_its_incidents_and_exits_with_0(database, run_module, tmp_path):
    """The table, the coverage, what is off; nothing on stderr."""
    logs = scans.seed_like(tmp_path / "logs")

    done = run_module("flows.scan", logs)

    assert (done.returncode, done.stderr) == (0, "")
    for words in (scans.SQLI, scans.TRAVERSAL, scans.PROBER, "3 listed = 3 done", "Alerts are off"):
        assert words in done.stdout


def test_a_run_with_something_to_retry_exits_with_1(run, tmp_path):
    """A file that is cut off is named under what the next run tries again."""
    logs = scans.seed_like(tmp_path / "logs")
    (logs / "cut.log.gz").write_bytes(gzip.compress(scans.prober().encode())[:-50])

    code, output, complaint = run(logs)

    assert (code, complaint) == (1, "")
    assert "cut.log.gz" in output
    assert "Retried next" in output


def test_wrong_use_ends_a_process_without_a_traceback(database, run_module):
    """As a whole, with everything that Prefect prints."""
    done = run_module("flows.scan", "/no/such/directory")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no directory '/no/such/directory': check the source.\n"


def test_no_source_at_all(run):
    """Neither an argument nor the environment names one."""
    check(run(), 2, "MIDDLEWATCH_SOURCE")


def test_a_bucket_that_is_not_there(run, moto_s3):
    """The bucket is named."""
    check(run("s3://no-such-bucket/logs/"), 2, "s3://no-such-bucket", "there is no such bucket")


def test_no_credentials_for_a_bucket(run, moto_s3, monkeypatch):
    """The sentence says which variables to set."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    check(run("s3://acme-logs/"), 2, "s3://acme-logs", "there are no AWS credentials")


def test_credentials_that_aws_refuses(run, moto_s3, moto_server):
    """For the user to renew, so 2; the secret key is not shown."""
    requests.post(f"{moto_server}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        ended = run("s3://acme-logs/")
    finally:
        requests.post(f"{moto_server}/moto-api/reset-auth", data=b"inf", timeout=10)

    check(ended, 2, "s3://acme-logs", "refuses the credentials")
    assert "wJalrXUtnFEMI" not in ended[2]


def test_a_database_that_nobody_serves(run, environ, tmp_path):
    """Worth another run, so 1; the password is not shown."""
    url = "mysql+pymysql://watch:s3cr3t-word@127.0.0.1:1/middlewatch"
    environ(MIDDLEWATCH_DATABASE_URL=url)

    ended = run(tmp_path)

    check(ended, 1, "127.0.0.1:1/middlewatch", "cannot be reached", "next run")
    assert "s3cr3t-word" not in ended[2]


def test_a_database_that_refuses_the_password(run, environ, tmp_path, mariadb):
    """For the user to mend, so 2; the password is not shown."""
    url = f"mysql+pymysql://middlewatch:wrong-w0rd@127.0.0.1:{mariadb.port}/middlewatch_x"
    environ(MIDDLEWATCH_DATABASE_URL=url)

    ended = run(tmp_path)

    check(ended, 2, "refused the user or password", "MIDDLEWATCH_DATABASE_URL")
    assert "wrong-w0rd" not in ended[2]


def test_a_database_url_that_is_none(run, environ, tmp_path):
    """The forms that are taken are shown, what was given is not."""
    environ(MIDDLEWATCH_DATABASE_URL="oracle://s3cr3t-word@db")

    ended = run(tmp_path)

    check(ended, 2, "MIDDLEWATCH_DATABASE_URL is not a URL of a supported database")
    assert "s3cr3t-word" not in ended[2]


def test_a_rules_file_that_is_wrong(run, environ, tmp_path):
    """The file is named."""
    path = tmp_path / "rules.yml"
    path.write_text(WRONG_RULES)

    environ(MIDDLEWATCH_RULES_FILE=str(path))

    check(run(tmp_path), 2, str(path))


def test_a_rules_file_that_is_not_there(run, environ, tmp_path):
    """The file is named."""
    path = tmp_path / "none.yml"

    environ(MIDDLEWATCH_RULES_FILE=str(path))

    check(run(tmp_path), 2, str(path))


def test_a_threshold_for_a_rule_that_is_not_there(run, tmp_path):
    """The rule is named."""
    check(run(tmp_path, "--threshold", "no-such-rule=5"), 2, "no-such-rule")


def test_a_setting_that_makes_no_sense(run, environ, tmp_path):
    """The variable is named."""
    environ(MIDDLEWATCH_BEDROCK_CONCURRENCY="many")

    check(run(tmp_path), 2, "MIDDLEWATCH_BEDROCK_CONCURRENCY")


def test_an_option_that_makes_no_sense(run, tmp_path):
    """Said by the command line itself, in its own box."""
    code, _, complaint = run(tmp_path, "--allow", "not-a-network=office")

    assert code == 2
    assert "not-a-network" in complaint


def test_help_names_every_option(run):
    """And the source."""
    code, output, _ = run("--help")

    assert code == 0
    for option in ("--pattern", "--threshold", "--allow", "--aws-credentials-block", "SOURCE"):
        assert option in output
