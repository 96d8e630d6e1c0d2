"""Budgets: how much the model may be asked, per run and per day."""

from dataclasses import dataclass

from tasks.model.verdicts import Usage

CAP_REACHED = "budget: the cap"
"""So begins the sentence that says why there is no call, or a smaller one."""


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that one run, or one day, may take."""

    period: str
    """`run` or `day`."""
    calls: int
    tokens: int
    """Input and output together."""
    cost_usd: float

    def find_excess(self, usage: Usage) -> str | None:
        """Which limit *usage* is beyond, in words; None when it is within all of them."""
        if usage.calls > self.calls:
            return f"{self.calls:,} calls per {self.period}"
        if usage.input_tokens + usage.output_tokens > self.tokens:
            return f"{self.tokens:,} tokens per {self.period}"
        if usage.cost_usd > self.cost_usd:
            return f"{self.cost_usd:g} USD per {self.period}"
        return None

    def count_calls(self, spent: Usage, each: Usage) -> int:
        """How many calls like *each* fit after *spent*."""
        tokens = self.tokens - spent.input_tokens - spent.output_tokens
        fits = [
            (self.calls - spent.calls) // max(each.calls, 1),
            tokens // max(each.input_tokens + each.output_tokens, 1),
        ]
        if each.cost_usd > 0:
            fits.append(int((self.cost_usd - spent.cost_usd) / each.cost_usd))
        return max(0, min(fits))
