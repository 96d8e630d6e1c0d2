"""The IAM policy that is handed out allows what a scan asks of AWS, and nothing else."""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import boto3
import botocore.session
import pytest

from tasks.settings import Settings
from tests import scans
from tests.conftest import ROOT

POLICY = json.loads((ROOT / "deployments" / "iam-policy.json").read_text())
ACCOUNT = "123456789012"
PROFILE = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{Settings().bedrock_model_id}"
MODEL = Settings().bedrock_model_id.removeprefix("global.")


@dataclass(frozen=True)
class Request:
    """What IAM decides about: its keys are those of the service authorization reference."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


def requests_of(service: str, operation: str, params: dict[str, Any]) -> set[Request]:
    """What AWS asks IAM about one call; no operation is known that nobody has looked up."""
    if (service, operation) == ("s3", "ListObjectsV2"):
        context = (("s3:prefix", params["Prefix"]),)
        return {Request("s3:ListBucket", f"arn:aws:s3:::{params['Bucket']}", context)}
    if (service, operation) == ("s3", "GetObject"):
        action = "s3:GetObjectVersion" if "VersionId" in params else "s3:GetObject"
        return {Request(action, f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")}
    assert (service, operation) == ("bedrock-runtime", "Converse")
    assert params["modelId"] == Settings().bedrock_model_id
    through = (("bedrock:InferenceProfileArn", PROFILE),)
    return {
        Request("bedrock:InvokeModel", PROFILE),
        # where the caller is, and the one that stands for all regions
        Request("bedrock:InvokeModel", f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}", through),
        Request("bedrock:InvokeModel", f"arn:aws:bedrock:::foundation-model/{MODEL}", through),
    }  # fmt: skip


def allowing(request: Request) -> set[str]:
    """The statements that allow it."""
    return {s["Sid"] for s in POLICY["Statement"] if _matches(s, request)}


def _matches(statement: dict[str, Any], request: Request) -> bool:
    context = dict(request.context)
    conditions = {k: v for test in statement.get("Condition", {}).values() for k, v in test.items()}
    return (
        statement["Effect"] == "Allow"
        and request.action == statement["Action"]
        and fnmatchcase(request.resource, statement["Resource"])
        and all(fnmatchcase(context.get(key, ""), like) for key, like in conditions.items())
    )


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, str, dict[str, Any]]]:
    """Every call to AWS that any client in this process makes from now on."""
    made = []
    create = botocore.session.Session.create_client

    def create_and_watch(self, *args, **kwargs):
        client = create(self, *args, **kwargs)

        def record(params, model, **_):
            made.append((model.service_model.service_name, model.name, params))

        client.meta.events.register("provide-client-params.*.*", record)
        return client

    monkeypatch.setattr(botocore.session.Session, "create_client", create_and_watch)
    return made


def test_a_scan_asks_for_all_that_is_granted_and_for_nothing_else(
    database, moto_s3, bedrock, environ, moto_server, calls
):
    """Objects of a bucket, verdicts of the model: each call is allowed, each statement needed."""
    moto_s3.create_bucket(
        Bucket="acme-logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    moto_s3.put_object(Bucket="acme-logs", Key="nginx/a.log", Body=scans.attack("8.8.8.8").encode())
    calls.clear()

    summary = scans.scan("s3://acme-logs/nginx/")

    assert summary.usage.calls == 1
    asked = {request for call in calls for request in requests_of(*call)}
    assert {request for request in asked if not allowing(request)} == set()
    needed = {sid for request in asked for sid in allowing(request)}
    assert needed == {statement["Sid"] for statement in POLICY["Statement"]}


@pytest.mark.parametrize(
    "request_",
    [
        Request("s3:ListBucket", "arn:aws:s3:::acme-logs", (("s3:prefix", ""),)),
        Request("s3:ListBucket", "arn:aws:s3:::other", (("s3:prefix", "nginx/"),)),
        Request("s3:GetObject", "arn:aws:s3:::acme-logs/payroll/a.log"),
        Request("s3:PutObject", "arn:aws:s3:::acme-logs/nginx/a.log"),
        Request("s3:DeleteObject", "arn:aws:s3:::acme-logs/nginx/a.log"),
        Request("bedrock:InvokeModel", f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"),
        Request("bedrock:InvokeModelWithResponseStream", PROFILE),
        Request("bedrock:InvokeModel", PROFILE.replace("haiku", "opus")),
    ],
    ids=str,
)
def test_what_no_scan_needs_is_not_allowed(request_):
    """Other buckets, prefixes and models, writing, and the model past its profile."""
    assert allowing(request_) == set()


def test_aws_takes_the_policy(moto_server, aws_credentials):
    """Its grammar is that of IAM, and nothing in it is a wildcard action."""
    iam = boto3.client("iam", endpoint_url=moto_server)

    iam.create_policy(PolicyName="middlewatch", PolicyDocument=json.dumps(POLICY))

    assert not any("*" in statement["Action"] for statement in POLICY["Statement"])
