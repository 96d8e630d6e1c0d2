"""What every test can rely on: no foreign settings, no network, and real servers on request."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Before anything reads them: a developer's accounts and settings are not the tests' business.
FOREIGN = ("AWS_", "LANGCHAIN_", "LANGSMITH_", "MIDDLEWATCH_", "PREFECT_", "TAVILY_", "TELEGRAM_")
for name in [name for name in os.environ if name.startswith(FOREIGN)]:
    del os.environ[name]
PREFECT_HOME = tempfile.TemporaryDirectory(prefix="prefect-home-")
os.environ["PREFECT_HOME"] = PREFECT_HOME.name
os.environ["DO_NOT_TRACK"] = "1"

import hypothesis  # noqa: E402
import pytest  # noqa: E402

from tasks.settings import settings  # noqa: E402
from tests.servers.mariadb import MariaDB, running_mariadb  # noqa: E402

hypothesis.settings.register_profile("tests", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "ci", parent=hypothesis.settings.get_profile("tests"), derandomize=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "tests")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings are read anew, and neither .env nor .middlewatch/ are those of the checkout."""
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that no real AWS would take."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of a local AWS."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_s3(moto_server: str, aws_credentials: None, monkeypatch: pytest.MonkeyPatch):
    """An empty S3 that this process and its children reach; a boto3 client of it."""
    import boto3
    import requests

    requests.post(f"{moto_server}/moto-api/reset", timeout=10).raise_for_status()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_server)
    return boto3.client("s3")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server, started when the first test asks for it."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb: MariaDB) -> Iterator[str]:
    """The SQLAlchemy URL of an empty utf8mb4 database."""
    url = mariadb.new_database()
    yield url
    mariadb.drop_database(url)


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[str]:
    """The URL of a Prefect API server with a database of its own, set for this process."""
    from flows.local_server import local_server

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # for prefect.toml
        with local_server() as url:
            yield url


@pytest.fixture
def run_module(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """
    Run `python -m MODULE ARGS...` as a person would, in an empty directory.

    The environment is this process's, with *env* on top; stdin is closed.
    """

    def run(
        module: str, *args: object, env: dict[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, args)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
