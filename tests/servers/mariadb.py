"""
A private MariaDB: as durable as the real one, small, gone when the tests are.

    with running_mariadb() as mariadb:
        url = mariadb.new_database()                          # utf8mb4, as our README asks for
        url = mariadb.new_database(character_set="latin1")    # as an unprepared Debian gives
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pymysql
from sqlalchemy import URL

START_SECONDS = 60
STOP_SECONDS = 30

UNTIL_STDIN_ENDS = ["sh", "-c", '"$@" </dev/null & cat >/dev/null; kill $!; wait $!', "sh"]
"""So that the server ends with the tests, also with tests that are killed."""

USER = "middlewatch"
PASSWORD = "p@ss:w/rd%"  # as real ones are: every reader of the URL has to get it right


@dataclass(frozen=True)
class MariaDB:
    """A running server; root may do anything through the socket, the user through TCP."""

    port: int
    socket: Path
    directory: Path
    options: tuple[str, ...] = ()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """The server is up, with whatever it had before."""
        as_user = ["--user=root"] if os.geteuid() == 0 else []
        log = self.directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *UNTIL_STDIN_ENDS,
                    _program("mariadbd"),
                    "--no-defaults",
                    *as_user,
                    f"--datadir={self.directory / 'data'}",
                    f"--socket={self.socket}",
                    f"--pid-file={self.directory / 'pid'}",
                    f"--tmpdir={self.directory}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--character-set-server=latin1",  # as compiled: ours must not lean on it
                    "--skip-name-resolve",
                    "--innodb-buffer-pool-size=64M",
                    "--innodb-log-file-size=16M",
                    "--performance-schema=OFF",
                    *self.options,
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        _wait(log)

    def kill(self) -> None:
        """SIGKILL: what was not committed is gone."""
        os.kill(int((self.directory / "pid").read_text()), signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """No process is left."""
        while self.processes:
            self.processes.pop().communicate(timeout=STOP_SECONDS)

    def execute(self, *statements: str) -> list[tuple]:
        """Run statements as root; the rows of the last one."""
        with closing(pymysql.connect(unix_socket=str(self.socket), user="root")) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
            return list(cursor.fetchall())

    def new_database(self, character_set: str = "utf8mb4") -> str:
        """The SQLAlchemy URL of an empty database."""
        name = f"middlewatch_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET {character_set}")
        url = URL.create(
            "mysql+pymysql", USER, PASSWORD, host="127.0.0.1", port=self.port, database=name
        )
        return url.render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        """Forget the database of a URL that `new_database` gave."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]}")


@contextmanager
def running_mariadb(*options: str) -> Iterator[MariaDB]:
    """
    Start a server on a free loopback port with a data directory of its own.

    Args:
        options: More of mariadbd's, such as `--ssl-cert=PATH`.

    Raises:
        RuntimeError: It is not installed or did not start; the message ends with its log.
    """
    # not pytest's tmp_path: a socket's path must be shorter than 108 bytes
    with tempfile.TemporaryDirectory(prefix="mariadb-") as directory:
        yield from _running(Path(directory), options)


def _running(directory: Path, options: tuple[str, ...]) -> Iterator[MariaDB]:
    as_user = ["--user=root"] if os.geteuid() == 0 else []
    subprocess.run(
        [
            _program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={directory / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-test-db",
            *as_user,
        ],
        check=True,
        capture_output=True,
    )
    mariadb = MariaDB(_free_port(), directory / "socket", directory, options)
    try:
        mariadb.start()
        mariadb.execute(
            f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            rf"GRANT ALL ON `middlewatch\_%`.* TO {USER}@'127.0.0.1'",
        )
        yield mariadb
    finally:
        mariadb.stop()


def _wait(log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    said = ""
    while "[ERROR] Aborting" not in said and time.monotonic() < deadline:
        said = log.read_text()
        if "ready for connections" in said:
            return
        time.sleep(0.02)
    raise RuntimeError(f"mariadbd did not start:\n{said[-4000:]}")


def _program(name: str) -> str:
    """Debian keeps servers in /usr/sbin, which is not on an ordinary user's PATH."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not path:
        raise RuntimeError(f"{name} is not installed: run tests/servers/install-mariadb")
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
