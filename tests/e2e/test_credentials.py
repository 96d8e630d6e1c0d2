"""AWS credentials out of a block: they are used, and what is wrong with them is said."""

import re

import pytest
from prefect_aws import AwsCredentials
from prefect_aws.client_parameters import AwsClientParameters

from tasks.detect import apart
from tasks.model.errors import ConfigurationError
from tests import scans
from tests.scans import attack, scan
from tests.servers.gateway import Gateway

KEYS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "of-the-block"}
ROLE = "arn:aws:iam::123456789012:role/reader"


@pytest.fixture
def bucket(database, moto_s3, moto_server, monkeypatch):
    """A bucket with one attack in it, which the environment alone does not open."""
    moto_s3.create_bucket(
        Bucket="acme-logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    moto_s3.put_object(Bucket="acme-logs", Key="a.log", Body=attack("198.51.100.7").encode())
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_server)
    return moto_server


def save(name: str, endpoint: str, **fields: object) -> None:
    """A block as the form in the UI makes it."""
    parameters = AwsClientParameters(endpoint_url=endpoint)
    block = AwsCredentials(region_name="eu-west-1", aws_client_parameters=parameters, **fields)
    block.save(name, overwrite=True)


@pytest.mark.parametrize(
    ("role", "large"), [(None, apart.LARGE_BYTES), (ROLE, apart.LARGE_BYTES), (ROLE, 1)]
)
def test_a_bucket_is_read_with_the_credentials_of_a_block(
    database, bucket, role, large, monkeypatch
):
    """Also with those of the role that it names, and by a process that cannot ask for the block."""
    monkeypatch.setattr(apart, "LARGE_BYTES", large)
    save("reader", bucket, **KEYS, assume_role_arn=role)

    summary = scan("s3://acme-logs", aws_credentials_block="reader")

    assert summary.coverage.done == 1
    assert set(scans.found(database)) == {"198.51.100.7"}


def test_a_block_that_is_not_there_is_named(bucket):
    """And where it is made."""
    with pytest.raises(ConfigurationError, match="no AwsCredentials block named 'nobody'"):
        scan("s3://acme-logs", aws_credentials_block="nobody")


def test_a_block_with_a_profile_that_is_not_there_is_a_configuration_error(bucket):
    """It was an unexpected ProfileNotFound."""
    save("profile", bucket, profile_name="of-another-machine")

    with pytest.raises(ConfigurationError, match="no such AWS profile"):
        scan("s3://acme-logs", aws_credentials_block="profile")


def test_a_role_that_may_not_be_assumed_is_a_configuration_error(bucket, monkeypatch):
    """It is the role, not the bucket, that has to be granted; no key is shown."""
    save("role", bucket, **KEYS, assume_role_arn=ROLE)
    with Gateway(bucket) as gateway:
        gateway.refuse(re.compile("POST /"), 403, "AccessDenied")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", gateway.url)

        with pytest.raises(ConfigurationError, match="role may not be assumed") as caught:
            scan("s3://acme-logs", aws_credentials_block="role")

    assert "of-the-block" not in str(caught.value)
