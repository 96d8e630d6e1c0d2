"""No secret of the environment gets anywhere but to the service that it is for."""

import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from flows.scan import scan_logs
from tests import scans
from tests.conftest import PREFECT_HOME
from tests.servers import bedrock as model
from tests.servers import mariadb as mysql
from tests.servers import tavily as web
from tests.servers import telegram as chat

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CHATTY = ("urllib3.connectionpool", "botocore.auth", "botocore.endpoint", "httpx", "sqlalchemy")
"""What libraries log of a call is all in the log of who asks for it."""
PUBLIC = [f"45.89.23.{n}" for n in range(1, 5)]


def everything_in_sqlite(path):
    """All that is stored, as text."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def everything_in(url):
    """All rows of all tables."""
    tables = [name for (name,) in scans.rows(url, "SHOW TABLES")]
    return "\n".join(str(scans.rows(url, f"SELECT * FROM {name}")) for name in tables)


@pytest.mark.usefixtures("quick_retries")
def test_secrets_are_nowhere_when_everything_fails(
    mariadb_database, bedrock, tavily, telegram, moto_s3, tmp_path, caplog, capfd, environ
):
    """Libraries' logs at DEBUG, stdout, stderr, all of Prefect's database and files, all of ours."""
    for chatty in CHATTY:
        caplog.set_level(logging.DEBUG, logger=chatty)
    environ(**bedrock.environment)
    secrets = {
        telegram.token,
        telegram.token.partition(":")[2],
        web.KEY,
        AWS_SECRET,
        mysql.PASSWORD,
        quote(mysql.PASSWORD, safe=""),
        mariadb_database,
        mariadb_database.partition("//")[2],
    }
    bedrock.judge(PUBLIC[0], model.access_denied())
    bedrock.judge(PUBLIC[1], model.hung_up())
    tavily.script(web.hung_up(), web.unauthorized(), web.failed(503), web.one_page())
    telegram.script(chat.bad_gateway(), chat.garbage(), chat.unauthorized(), chat.blocked())
    telegram.when(PUBLIC[3], chat.drop_connection(is_delivered=False))
    lines = "".join(scans.attack(ip) for ip in PUBLIC)
    logs = scans.write_logs(tmp_path / "logs", {"a.log": lines})

    state = scan_logs(str(logs), return_state=True)
    scan_logs("s3://no-such-bucket", return_state=True)
    nobody = re.sub(r":\d+/", ":1/", mariadb_database)
    environ(MIDDLEWATCH_DATABASE_URL=nobody)
    scan_logs(str(logs), return_state=True)

    assert state.name == "Incomplete"
    output = capfd.readouterr()
    seen = {
        "logs": "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records),
        "stdout": output.out,
        "stderr": output.err,
        "our database": everything_in(mariadb_database),
        "Prefect's database": everything_in_sqlite(Path(PREFECT_HOME.name) / "prefect.db"),
    }
    for path in Path(PREFECT_HOME.name).rglob("*"):
        if path.is_file():
            seen[str(path)] = path.read_bytes().decode("utf-8", "replace")
    assert {*CHATTY[:3]} <= {record.name for record in caplog.records}
    assert PUBLIC[0] in seen["our database"]
    assert str(state.message)[:40] in seen["Prefect's database"]
    leaks = [
        (secret, place) for place, text in seen.items() for secret in secrets if secret in text
    ]
    assert leaks == []
