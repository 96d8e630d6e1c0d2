"""AWS credentials out of a Prefect block; the only place that knows prefect-aws."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tasks.model.errors import ConfigurationError

if TYPE_CHECKING:
    from boto3 import Session


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks, and where."""

    open_session: "Callable[[], Session]"
    """Only the caller knows what boto3 raises: no such profile, a role that may not be assumed."""
    endpoint_url: str | None = None
    """None: the one of the standard AWS chain."""


def account_from_block(name: str) -> Account:
    """
    The account that the AwsCredentials block *name* describes.

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
    return Account(block.get_boto3_session, block.aws_client_parameters.endpoint_url)
