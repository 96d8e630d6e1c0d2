"""AWS credentials out of a Prefect block; the only place that knows prefect-aws."""

from typing import TYPE_CHECKING, cast

from tasks.model.errors import ConfigurationError

if TYPE_CHECKING:
    from boto3 import Session


def session_from_block(name: str) -> "Session":
    """
    A boto3 session with the credentials of the AwsCredentials block *name*.

    Raises:
        ConfigurationError: There is no such block.
    """
    from prefect_aws import AwsCredentials  # takes seconds, and few need it

    try:
        block = cast("AwsCredentials", AwsCredentials.load(name))
    except ValueError:
        raise ConfigurationError(
            f"There is no AwsCredentials block named '{name}': create it in the Prefect UI under "
            "Blocks, or leave the parameter aws_credentials_block empty."
        ) from None
    return block.get_boto3_session()
