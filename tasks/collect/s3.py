"""Log objects in an S3 bucket; the only module here that knows boto3."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar, cast

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

from tasks.collect.credentials import Account
from tasks.collect.pattern import Pattern
from tasks.collect.source import Ledger, recall
from tasks.model.deadline import answer_within
from tasks.model.errors import ConfigurationError, MiddlewatchError, ObjectError, TransientError
from tasks.model.objects import LogObject, Plan
from tasks.model.text import make_visible

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

_ATTEMPTS = 4
"""
Of each request, and no more by Prefect, unlike with other services: a listing and a batch are
thousands of requests, and one that is answered "slow down" is no reason to make all of them again.
"""
_CONNECT_SECONDS = 10
_READ_SECONDS = 30
_ANSWER_SECONDS = 300
"""For all attempts of a request: time-outs only limit the wait for the next byte."""
_SLOWEST_BYTES_PER_SECOND = 4096
"""Of a body; what comes slower does not come to an end."""
_CREDENTIAL_CODES = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
_TRANSIENT_CODES = {
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_OBJECT_CODES = {
    "403": "may not be read: grant s3:GetObject (and kms:Decrypt, if it is encrypted) on it",
    "AccessDenied": "may not be read: grant s3:GetObject (and kms:Decrypt, if it is encrypted)",
    "InvalidObjectState": "is archived in Glacier: restore it, or leave it out with a pattern",
    "404": "was gone before it could be read",
    "NoSuchKey": "was gone before it could be read",
    "412": "was overwritten after it was listed; the next run reads the new version",
    "PreconditionFailed": "was overwritten after it was listed; the next run reads the new one",
}
_FAILURES = (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError, ValueError)
_LOST_CONNECTION = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
)


class Bucket:
    """The objects below a prefix of a bucket."""

    def __init__(self, location: str, pattern: Pattern, account: Account | None = None) -> None:
        """
        *location* is `s3://bucket/prefix`; without an *account* the standard AWS chain is asked.

        Raises:
            ConfigurationError: The location names no bucket, or the AWS configuration is wrong.
        """
        self._bucket, _, self._prefix = location.removeprefix("s3://").partition("/")
        if not self._bucket:
            raise ConfigurationError(
                f"The source '{location}' names no bucket: write s3://bucket/prefix."
            )
        self._pattern = pattern
        self.uri = f"s3://{self._bucket}"
        self._account = account
        account = account or Account(_open_session)
        try:
            self._session = account.open_session()
            self._client = _connect(self._session, account.endpoint_url)
        except _FAILURES as error:
            raise self._not_listable(error) from None

    def __reduce__(self) -> tuple[Any, ...]:
        """For another process: with the keys that it has now, where it was given an account."""
        account = self._account
        try:
            if account is not None:
                keys = _Keys.of(self._session)
                account = Account(keys.open_session, account.endpoint_url)
        except _FAILURES as error:
            raise self._not_listable(error) from None
        return Bucket, (f"{self.uri}/{self._prefix}", self._pattern, account)

    def plan(self, ledger: Ledger) -> Plan:
        """
        List every key below the prefix, whatever the last run saw.

        Raises:
            ConfigurationError: The bucket cannot be listed: missing, denied, or no credentials.
            TransientError: It cannot be listed now.
        """
        try:
            objects = list(self._list())
        except _FAILURES as error:
            raise self._not_listable(error) from None
        remembered = recall(ledger, self.uri, objects)
        return Plan(
            source=self.uri,
            listed=len(objects),
            unchanged=remembered.unchanged,
            to_read=remembered.to_read,
            quarantined=remembered.quarantined,
        )

    def open(self, log_object: LogObject) -> AbstractContextManager[BinaryIO]:
        """The body of exactly the version that was listed."""
        return self._open(log_object)

    @contextmanager
    def _open(self, log_object: LogObject) -> Iterator[BinaryIO]:
        key = log_object.object_key
        try:
            answer = _ask(
                lambda: self._client.get_object(
                    Bucket=self._bucket, Key=key, IfMatch=f'"{log_object.version}"'
                )
            )
        except _FAILURES as error:
            raise self._not_readable(key, error) from None
        body = answer["Body"]
        try:
            yield cast("BinaryIO", _Body(body, self._name(key)))
        finally:
            body.close()

    def _list(self) -> Iterator[LogObject]:
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
        )
        while (page := _ask(lambda: next(pages, None))) is not None:
            if "IsTruncated" not in page:  # a proxy's page, which reads like an empty bucket
                raise ResponseParserError("no listing")
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                if self._pattern.matches(key.removeprefix(self._prefix).lstrip("/")):
                    yield LogObject(
                        source=self.uri,
                        object_key=key,
                        version=entry["ETag"].strip('"'),
                        size_bytes=entry["Size"],
                        modified_at=entry["LastModified"],
                    )

    def _not_listable(self, error: Exception) -> MiddlewatchError:
        code = _code_of(error)
        if isinstance(error, exceptions.EndpointConnectionError):
            return TransientError(
                f"{self.uri} cannot be listed now: its endpoint does not answer; check the network"
                " and AWS_ENDPOINT_URL_S3. The next run tries again.",
                was_retried=True,
            )
        if _is_transient(error, code):
            return TransientError(
                f"{self.uri} cannot be listed now ({code}); the next run tries again.",
                was_retried=True,
            )
        if code == "NoSuchBucket":
            what = "there is no such bucket; check the source"
        elif isinstance(error, exceptions.ClientError) and error.operation_name == "AssumeRole":
            what = f"the role may not be assumed ({code}); let these credentials assume it"
        elif isinstance(error, exceptions.ProfileNotFound):
            what = "there is no such AWS profile here; check the profile and ~/.aws/config"
        elif code in ("AccessDenied", "AllAccessDisabled", "403"):
            what = "access is denied; grant s3:ListBucket on it to these credentials"
        elif code in _CREDENTIAL_CODES:
            what = f"AWS refuses the credentials ({code}); renew them"
        elif isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
            what = "there are no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        elif isinstance(error, exceptions.NoRegionError):
            what = "there is no AWS region; set AWS_DEFAULT_REGION"
        else:
            what = f"AWS says {code}; check the source, the region and the AWS configuration"
        return ConfigurationError(f"{self.uri} cannot be listed: {what}.")

    def _name(self, key: str) -> str:
        """For people; whoever uploads chooses a key, and any character may be in it."""
        return make_visible(f"{self.uri}/{key}")

    def _not_readable(self, key: str, error: Exception) -> MiddlewatchError:
        code, name = _code_of(error), self._name(key)
        if code in _OBJECT_CODES:
            return ObjectError(f"{name} {_OBJECT_CODES[code]}.")
        if _is_transient(error, code):
            return TransientError(f"{name} cannot be read now ({code}).", was_retried=True)
        if code in _CREDENTIAL_CODES or isinstance(error, exceptions.NoCredentialsError):
            return ConfigurationError(
                f"{name} cannot be read: AWS refuses the credentials ({code}); renew them."
            )
        return ObjectError(f"{name} cannot be read: AWS says {code}; check the object.")


@dataclass(frozen=True, slots=True)
class _Keys:
    """What a session asks with at this moment; shown nowhere."""

    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region_name: str | None = None

    @classmethod
    def of(cls, session: boto3.Session) -> Self:
        credentials = session.get_credentials()
        if credentials is None:
            return cls(region_name=session.region_name)
        return cls(*credentials.get_frozen_credentials()[:3], session.region_name)

    def open_session(self) -> boto3.Session:
        return boto3.Session(
            self.access_key_id, self.secret_access_key, self.session_token, self.region_name
        )


def _connect(session: boto3.Session, endpoint_url: str | None) -> "S3Client":
    environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    has_endpoint = bool(endpoint_url or environment)
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        # stores that are not AWS seldom answer at bucket.host
        s3={"addressing_style": "path" if has_endpoint else "auto"},
    )
    return session.client("s3", config=config, endpoint_url=endpoint_url)


def _ask(request: Callable[[], T]) -> T:
    """What *request* returns or raises; a lost connection where that takes for ever."""
    try:
        return answer_within(_ANSWER_SECONDS, request)
    except TimeoutError:
        raise exceptions.ReadTimeoutError(endpoint_url="S3") from None


def _open_session() -> boto3.Session:
    # Unlike the other AWS SDKs, boto3 does not know AWS_REGION.
    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)


def _code_of(error: Exception) -> str:
    """The code that AWS gave, or the kind of failure when it gave no answer."""
    if isinstance(error, exceptions.ClientError):
        return str(error.response.get("Error", {}).get("Code", "an unknown error"))
    if isinstance(error, ResponseParserError):
        return "an answer that is not S3's; if it stays so, check AWS_ENDPOINT_URL_S3"
    return type(error).__name__


def _is_transient(error: Exception, code: str) -> bool:
    if isinstance(error, exceptions.ClientError):
        metadata: Any = error.response.get("ResponseMetadata", {})
        status = metadata.get("HTTPStatusCode", 0)
        is_server_fault = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return code in _TRANSIENT_CODES or is_server_fault or status == HTTPStatus.TOO_MANY_REQUESTS
    return isinstance(error, (ResponseParserError, *_LOST_CONNECTION))


class _Body(io.RawIOBase):
    """The body of an answer, with a dropped connection as our error."""

    def __init__(self, body: Any, name: str) -> None:  # noqa: ANN401 -- botocore's StreamingBody
        self._body = body
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        seconds = _READ_SECONDS + len(view) / _SLOWEST_BYTES_PER_SECOND
        try:
            data: bytes = answer_within(seconds, lambda: self._body.read(len(view)))
        except (*_LOST_CONNECTION, TimeoutError) as error:
            raise TransientError(
                f"The connection was lost while {self._name} was read ({type(error).__name__})."
            ) from None
        view[: len(data)] = data
        return len(data)
