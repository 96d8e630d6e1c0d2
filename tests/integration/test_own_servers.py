"""The servers that other tests stand on are what they say."""

import socket

import pytest
from pytest_socket import SocketConnectBlockedError
from sqlalchemy import create_engine, text


@pytest.mark.parametrize(
    ("character_set", "face"), [("utf8mb4", "😀"), ("latin1", "ÿ")], ids=["utf8mb4", "latin1"]
)
def test_a_new_database_is_durable_and_has_its_character_set(mariadb, character_set, face):
    engine = create_engine(mariadb.new_database(character_set))
    with engine.begin() as connection:
        variables = connection.execute(
            text(
                "SELECT @@character_set_server, @@character_set_database, "
                "@@innodb_flush_log_at_trx_commit, @@innodb_doublewrite"
            )
        ).one()
        connection.execute(text("CREATE TABLE faces (face TEXT)"))
        connection.execute(text("INSERT INTO faces VALUES (:face)"), {"face": face})
        faces = connection.execute(text("SELECT face FROM faces")).scalars().all()
    engine.dispose()

    assert ("latin1", character_set, 1, 1) == tuple(variables)
    assert [face] == faces


@pytest.mark.parametrize("_time", ["first", "second"])
def test_every_test_has_an_empty_s3(moto_s3, _time):
    key = "nginx/2026/a b+ü%2F.log"

    before = moto_s3.list_buckets()["Buckets"]
    moto_s3.create_bucket(
        Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    moto_s3.put_object(Bucket="logs", Key=key, Body=b"line\n")

    assert [] == before
    assert [key] == [o["Key"] for o in moto_s3.list_objects_v2(Bucket="logs")["Contents"]]


@pytest.mark.filterwarnings("ignore:A test tried to use:UserWarning")
def test_no_test_reaches_the_network():
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
