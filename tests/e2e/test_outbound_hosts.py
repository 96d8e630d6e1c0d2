"""The table of outbound hosts in deployments/README.md is complete, and each row of it is true."""

import re
import socket

import pytest
from prefect_aws import AwsCredentials

from tests.conftest import ROOT
from tests.scans import attack, final_state, write_logs
from tests.servers.bedrock import BedrockServer

MODEL_OF_AN_ACCOUNT = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_MAX_ATTEMPTS": "1",
}
SERVICES = {
    "TELEGRAM_BOT_TOKEN": "1:token",
    "TELEGRAM_CHAT_ID": "1",
    "TAVILY_API_KEY": "tvly-key",
}
ALONE = {"MIDDLEWATCH_ANALYST": "rules"}
ASK_FOR_WORK_POOLS = """
import requests
from flows.local_server import local_server
with local_server() as url:
    requests.get(f"{url}/collections/views/aggregate-worker-metadata").raise_for_status()
"""


def documented() -> dict[str, str]:
    """Host and port of each row, with a region and a bucket in their places, to when it is asked."""
    text = (ROOT / "deployments" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+:\d+)` \| ([^|]+) \|", text, re.MULTILINE)
    places = {"REGION": "eu-west-1", "BUCKET": "acme-logs", "DATABASE-HOST": "db.example.org"}
    return {re.sub("|".join(places), lambda m: places[m[0]], host): when for host, when in rows}


@pytest.fixture
def asked_by(run_module, tmp_path, monkeypatch):
    """Whom a module and all the processes that it starts want to reach."""
    logs = write_logs(tmp_path / "logs", {"a.log": attack("8.8.8.8")})
    monkeypatch.delenv("DO_NOT_TRACK")  # the product has to see to it
    outbound = tmp_path / "outbound"

    def run(*arguments: str, **environment: str) -> set[str]:
        number = len(list(tmp_path.glob("*.db")))
        done = run_module(
            *(arguments or ("flows.scan", str(logs))),
            env={
                "PYTHONPATH": f"{ROOT / 'tests' / 'servers' / 'outbound'}:{ROOT}",
                "OUTBOUND_LOG": str(outbound),
                "PREFECT_HOME": str(
                    tmp_path / "prefect"
                ),  # a first use, which Prefect would report
                "MIDDLEWATCH_DATABASE_URL": f"sqlite:///{tmp_path / f'{number}.db'}",
                **environment,
            },
        )
        print(done.stdout, done.stderr)  # for whom it fails
        return set(outbound.read_text().split()) if outbound.exists() else set()

    return run


def test_with_everything_off_nobody_is_asked(asked_by, tmp_path):
    """Files, rules, SQLite: not even Prefect reports that it is used for the first time."""
    assert asked_by(**ALONE, PREFECT_HOME=str(tmp_path / "prefect")) == set()


@pytest.fixture
def asked(monkeypatch) -> set[str]:
    """Whom this process wants to reach; nobody but itself is reached."""
    hosts = set()
    look_up = socket.getaddrinfo

    def look_up_nobody_else(host, port, *args, **kwargs):
        if host in ("127.0.0.1", "localhost"):
            return look_up(host, port, *args, **kwargs)
        hosts.add(f"{host}:{port}")
        raise socket.gaierror(socket.EAI_NONAME, "Nobody is reached from here")

    monkeypatch.setattr(socket, "getaddrinfo", look_up_nobody_else)
    return hosts


SERVICE_HOSTS = {
    "bedrock-runtime.eu-west-1.amazonaws.com:443",
    "api.tavily.com:443",
    "api.telegram.org:443",
}


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [("", SERVICE_HOSTS), ("http://proxy.example.org:3128", {"proxy.example.org:3128"})],
)
def test_a_scan_asks_the_services_that_are_on_and_nobody_else(
    database, environ, quick_retries, asked, tmp_path, proxy, expected
):
    """Bedrock, Tavily and Telegram at their documented hosts, or the proxy for them all."""
    environ(**AWS, **SERVICES, MIDDLEWATCH_ANALYST="bedrock", HTTPS_PROXY=proxy)

    final_state(write_logs(tmp_path / "logs", {"a.log": attack("8.8.8.8")}))

    assert asked == expected
    assert documented().keys() >= SERVICE_HOSTS


def test_prompts_are_traced_on_purpose_only(asked_by):
    """With LangSmith's own variable and no other."""
    with BedrockServer() as bedrock:
        environment = AWS | bedrock.environment | {"LANGSMITH_API_KEY": "lsv2_key"}
        silent = asked_by(**environment, LANGSMITH_GATEWAY="true", LANGCHAIN_TRACING_V2="true")
        traced = asked_by(**environment, LANGSMITH_TRACING="true")

    assert silent == set()
    assert traced == {"api.smith.langchain.com:443"}
    assert traced <= documented().keys()


@pytest.mark.parametrize(
    ("host", "arguments", "environment"),
    [
        ("acme-logs.s3.eu-west-1.amazonaws.com:443", ["flows.scan", "s3://acme-logs"], AWS | ALONE),
        (
            "acme-logs.s3.amazonaws.com:443",
            ["flows.scan", "s3://acme-logs"],
            AWS | ALONE | {"AWS_REGION": ""},
        ),
        (
            "169.254.169.254:80",
            ["flows.scan", "s3://acme-logs"],
            {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", **ALONE},
        ),
        (
            "bedrock.eu-west-1.amazonaws.com:443",
            [],
            AWS | {"MIDDLEWATCH_BEDROCK_MODEL_ID": MODEL_OF_AN_ACCOUNT},
        ),
        (
            "db.example.org:3306",
            [],
            {"MIDDLEWATCH_DATABASE_URL": "mysql+pymysql://u:p@db.example.org/logs", **ALONE},
        ),
    ],
)
def test_each_source_and_database_is_asked_at_its_documented_host(
    asked_by, host, arguments, environment
):
    """And while it does not answer, nobody else is asked in its place."""
    assert asked_by(*arguments, **environment) == {host}
    assert host in documented()


def test_prefects_server_asks_for_worker_types_and_can_do_without(asked_by, tmp_path):
    """It asks now and then, and nobody else; it has a copy of the list for when it cannot."""
    (tmp_path / "ask_for_work_pools.py").write_text(ASK_FOR_WORK_POOLS)

    assert asked_by("ask_for_work_pools") <= {"raw.githubusercontent.com:443"}


@pytest.mark.usefixtures("aws_credentials")
def test_a_role_is_assumed_at_the_host_of_the_region(monkeypatch):
    """Of a block that names one."""
    role = "arn:aws:iam::123456789012:role/reader"
    block = AwsCredentials(region_name="eu-west-1", assume_role_arn=role)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(Exception, match=r"sts\.eu-west-1\.amazonaws\.com"):
        block.get_boto3_session()
    assert "sts.eu-west-1.amazonaws.com:443" in documented()


def test_no_row_is_left_over():
    """Each documented host is one that a test above looks for."""
    seen = {
        "acme-logs.s3.eu-west-1.amazonaws.com:443",
        "acme-logs.s3.amazonaws.com:443",
        "bedrock-runtime.eu-west-1.amazonaws.com:443",
        "bedrock.eu-west-1.amazonaws.com:443",
        "sts.eu-west-1.amazonaws.com:443",
        "169.254.169.254:80",
        "api.tavily.com:443",
        "api.telegram.org:443",
        "api.smith.langchain.com:443",
        "db.example.org:3306",
        "raw.githubusercontent.com:443",
    }
    assert documented().keys() == seen
