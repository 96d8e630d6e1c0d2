"""What calls cost."""

from decimal import Decimal

import pytest

from tasks.settings import HAIKU, Settings
from tasks.triage.prices import LIST_PRICES, Price, price_of


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        (HAIKU, "claude-haiku-4-5"),
        ("us.anthropic.claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("eu.anthropic.claude-sonnet-5", "claude-sonnet-5"),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5-5",
            "claude-opus-5-5",
        ),
    ],
)
def test_the_price_is_that_of_the_longest_name_in_the_model_id(model_id, name):
    """A newer model whose name begins like an older one's has its own price."""
    assert price_of(Settings(bedrock_model_id=model_id)) == LIST_PRICES[name]


def test_cost_is_tokens_times_price_per_million():
    """2,000 tokens at 1 USD and 400 at 5 USD per million are 0.4 cents."""
    assert Price(Decimal(1), Decimal(5)).cost_usd(2000, 400) == 0.004


def test_settings_override_each_part_of_the_list_price():
    """Unset keeps the list price; zero is a price."""
    settings = Settings(bedrock_input_usd_per_million=Decimal("0.5"))
    free = Settings(
        bedrock_input_usd_per_million=Decimal(0), bedrock_output_usd_per_million=Decimal(0)
    )

    assert price_of(settings) == Price(Decimal("0.5"), Decimal(5))
    assert price_of(free).cost_usd(10**9, 10**9) == 0


def test_an_unknown_model_counts_as_free_and_says_so(caplog):
    """The cost is not made up, and the operator is told what to set."""
    price = price_of(Settings(bedrock_model_id="us.meta.llama3-3-70b-instruct-v1:0"))

    assert price.cost_usd(10**6, 10**6) == 0
    assert "MIDDLEWATCH_BEDROCK_INPUT_USD_PER_MILLION" in caplog.text
