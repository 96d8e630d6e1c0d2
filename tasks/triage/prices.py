"""What a call of the model costs. List prices: settings override them, nothing else does."""

import logging
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from tasks.settings import Settings

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input_usd: Decimal
    output_usd: Decimal

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """
        What these tokens cost.

        >>> Price(Decimal(1), Decimal(5)).cost_usd(2000, 400)
        0.004
        """
        cost = input_tokens * self.input_usd + output_tokens * self.output_usd
        return float(cost / _MILLION)


FREE = Price(Decimal(0), Decimal(0))

# Anthropic's list prices of November 2026. A regional profile (us., eu.) may cost more than the
# global one. The longest name that is a part of the model id counts.
LIST_PRICES = {
    "claude-haiku-4-5": Price(Decimal(1), Decimal(5)),
    "claude-haiku-5-5": Price(Decimal("0.10"), Decimal("0.50")),
    "claude-sonnet-4-6": Price(Decimal(3), Decimal(15)),
    "claude-sonnet-5": Price(Decimal(2), Decimal(10)),
    "claude-sonnet-5-5": Price(Decimal(2), Decimal(10)),
    "claude-opus-4-8": Price(Decimal(5), Decimal(25)),
    "claude-opus-5": Price(Decimal(5), Decimal(25)),
    "claude-opus-5-5": Price(Decimal(4), Decimal(20)),
    "claude-fable-5-1": Price(Decimal(10), Decimal(50)),
}


def price_of(settings: Settings) -> Price:
    """The price of the model in *settings*; says so once when there is none, and counts zero."""
    listed = _list_price(settings.bedrock_model_id)
    given = (settings.bedrock_input_usd_per_million, settings.bedrock_output_usd_per_million)
    if listed is None and None in given:
        _warn_unknown(settings.bedrock_model_id)
    default = listed or FREE
    return Price(
        default.input_usd if given[0] is None else given[0],
        default.output_usd if given[1] is None else given[1],
    )


def _list_price(model_id: str) -> Price | None:
    names = [name for name in LIST_PRICES if name in model_id]
    return LIST_PRICES[max(names, key=len)] if names else None


@cache
def _warn_unknown(model_id: str) -> None:
    logging.getLogger(__name__).warning(
        "The price of model %s is not known, so its cost counts as 0: set"
        " MIDDLEWATCH_BEDROCK_INPUT_USD_PER_MILLION and"
        " MIDDLEWATCH_BEDROCK_OUTPUT_USD_PER_MILLION.",
        model_id,
    )
