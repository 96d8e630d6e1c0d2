"""The parameters of the flows, as Prefect's API and its form take them."""

import pytest
from prefect.utilities.schema_tools.validation import is_valid

from flows.backfill import backfill_logs
from flows.scan import scan_logs

REQUIRED = {"start": "2025-03-01T00:00:00Z", "end": "2025-04-01T00:00:00Z", "name": "march"}


@pytest.mark.parametrize("flow", [scan_logs, backfill_logs])
def test_thresholds_have_fields_in_the_form(flow):
    """What comes first is a list of a model."""
    schema = flow.parameters.model_dump()

    first, *_ = schema["properties"]["thresholds"]["anyOf"]

    assert first["type"] == "array"
    model = schema["definitions"][first["items"]["$ref"].rpartition("/")[2]]
    assert set(model["properties"]) == {"rule", "threshold", "timespan"}


@pytest.mark.parametrize(
    ("thresholds", "is_right"),
    [
        ([{"rule": "http-request-volume", "threshold": 300, "timespan": "5m"}], True),
        ({"http-request-volume": {"threshold": 300, "timespan": "5m"}}, True),
        (None, True),
        ([{"threshold": 300}], False),
        ({"http-request-volume": {"thresold": 300}}, False),
    ],
)
@pytest.mark.parametrize("flow", [scan_logs, backfill_logs])
def test_thresholds_are_taken_as_a_list_and_by_rule(flow, thresholds, is_right):
    """A typing error is refused before a run begins."""
    schema = flow.parameters.model_dump()

    assert is_valid({**REQUIRED, "thresholds": thresholds}, schema) is is_right
