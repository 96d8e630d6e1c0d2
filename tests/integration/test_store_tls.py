"""MySQL's server proves who it is, once that is asked for; else nothing is sent to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from tasks.model.errors import ConfigurationError
from tasks.store.engine import engine_for, transaction
from tests.servers.authority import Authority
from tests.servers.mariadb import PASSWORD, MariaDB, running_mariadb
from tests.servers.proxy import Proxy

SERVED = "127.0.0.1"
"""The only name in the server's certificate; `localhost` leads there, too."""


@dataclass
class Encrypted:
    """A server with a certificate, and who signed it."""

    mariadb: MariaDB
    authority: Authority

    def url(self, host: str = SERVED, **query: object) -> str:
        """An empty database there."""
        url = make_url(self.mariadb.new_database()).set(host=host)
        asked = {name: str(value) for name, value in query.items()}
        return url.update_query_dict(asked).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """A MariaDB that offers TLS."""
    authority = Authority(tmp_path_factory.mktemp("tls") / "ours")
    certificate, key = authority.issue(SERVED)
    with running_mariadb(
        f"--ssl-cert={certificate}", f"--ssl-key={key}", f"--ssl-ca={authority.path}"
    ) as mariadb:
        yield Encrypted(mariadb, authority)


def cipher_of(url: str) -> str:
    """What a connection to *url* is encrypted with; empty: it is not."""
    engine = engine_for(url)
    with transaction(engine) as connection:
        cipher = connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1]
    engine.dispose()
    return cipher


def refusal_of(url: str) -> str:
    """Why *url* is a wrong configuration."""
    with pytest.raises(ConfigurationError) as caught:
        cipher_of(url)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


def test_the_right_authority_and_the_right_host_connect(server):
    """The connection is encrypted."""
    assert cipher_of(server.url(ssl_ca=server.authority.path))


def test_a_server_of_another_authority_is_refused(server, tmp_path):
    """Whoever stands in the way can sign a certificate, but not as ours."""
    other = Authority(tmp_path / "other")

    assert "cannot be trusted" in refusal_of(server.url(ssl_ca=other.path))


def test_a_server_of_another_name_is_refused(server):
    """Signed by the right one, for somebody else; the sentence says which name was looked for."""
    told = refusal_of(server.url("localhost", ssl_ca=server.authority.path))

    assert "localhost" in told
    assert "cannot be trusted" in told


def test_the_name_may_be_left_out_on_purpose(server):
    """Through a tunnel the host is not the server's; who signed it is still checked."""
    asked = {"ssl_ca": server.authority.path, "ssl_verify_identity": "false"}

    assert cipher_of(server.url("localhost", **asked))


def test_asking_for_the_name_keeps_the_authority(server):
    """The driver alone would forget ssl_ca beside ssl_verify_identity."""
    asked = {"ssl_ca": server.authority.path, "ssl_verify_identity": "true"}

    assert cipher_of(server.url(**asked))
    assert "cannot be trusted" in refusal_of(server.url("localhost", **asked))


def test_without_an_authority_those_of_the_system_are_asked(server, monkeypatch):
    """And the host name counts, which the driver alone would not look at."""
    asked = {"ssl_verify_identity": "true"}

    assert "cannot be trusted" in refusal_of(server.url(**asked))

    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority.path))
    assert cipher_of(server.url(**asked))
    assert "localhost" in refusal_of(server.url("localhost", **asked))


def test_a_certificate_that_expired_is_refused(server, tmp_path):
    """However right it was."""
    authority = Authority(tmp_path / "old")
    certificate, key = authority.issue(SERVED, days=-1)
    with running_mariadb(f"--ssl-cert={certificate}", f"--ssl-key={key}") as mariadb:
        url = Encrypted(mariadb, authority).url(ssl_ca=authority.path)

        assert "expired" in refusal_of(url)


def test_a_server_without_tls_gets_no_password(mariadb, server):
    """Nothing at all is sent to it: who stands in the way cannot talk us out of TLS."""
    url = make_url(Encrypted(mariadb, server.authority).url(ssl_ca=server.authority.path))
    with Proxy(mariadb.port) as proxy:
        told = refusal_of(url.set(port=proxy.port).render_as_string(hide_password=False))

    assert "has no TLS" in told
    assert proxy.connections == 1
    assert proxy.bytes_from_clients == 0


def test_a_client_certificate_is_shown_where_the_server_asks(server):
    """A user who must have one gets in with it, and not without."""
    certificate, key = server.authority.issue("scanner")
    url = server.url(ssl_ca=server.authority.path)
    database = make_url(url).database
    server.mariadb.execute(
        f"CREATE USER certified@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' REQUIRE X509",
        f"GRANT ALL ON {database}.* TO certified@'127.0.0.1'",
    )
    asked = make_url(url).set(username="certified")
    shown = asked.update_query_dict({"ssl_cert": str(certificate), "ssl_key": str(key)})

    assert cipher_of(shown.render_as_string(hide_password=False))
    assert "refused the user" in refusal_of(asked.render_as_string(hide_password=False))


@pytest.mark.parametrize("name", ["ssl_ca", "ssl_cert"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_is_missing_or_wrong_is_named(tmp_path, name, content):
    """Before anything is connected to."""
    path = tmp_path / "our.pem"
    if content:
        path.write_text(content)

    told = refusal_of(f"mysql+pymysql://u:p@127.0.0.1:1/d?{name}={path}")

    assert str(path) in told
    assert name in told


@pytest.mark.parametrize("query", ["ssl_verify_identity=maybe", "ssl_key=/key.pem"])
def test_what_does_not_make_sense_is_refused(query):
    """It would be taken for something weaker."""
    assert query.partition("=")[0] in refusal_of(f"mysql+pymysql://u:p@127.0.0.1:1/d?{query}")


@pytest.mark.parametrize(
    "url",
    [
        "mysql+pymysql://u:hunter2@127.0.0.1:1/d?foo=hunter2",
        "mysql+pymysql://u:p@127.0.0.1:1/d?ssl-ca=/ca.pem",
        "mysql+pymysql://u:p@127.0.0.1:1/d?ssl_ca=/a.pem&ssl_ca=/b.pem",
        "mysql+pymysql://u:p@127.0.0.1:1/d?ssl_disabled=true",
        "mysql+pymysql://u:p@127.0.0.1:1/d?connect_timeout=soon",
        "sqlite:///logs.db?foo=hunter2",
    ],
)
def test_a_parameter_that_nobody_knows_is_refused(url, tmp_path: Path):
    """A mistyped request for TLS must not be a connection without it; values are not repeated."""
    told = refusal_of(url)

    assert "MIDDLEWATCH_DATABASE_URL" in told
    assert "hunter2" not in told
    assert list(tmp_path.iterdir()) == []
