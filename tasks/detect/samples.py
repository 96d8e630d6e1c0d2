"""
Samples: which lines are kept as evidence.

Lines of one IP and minute compete in slots: one for each counter whose lines are evidence, and one
for ordinary lines. Those with the lowest hashes win, so the same do however the lines are cut.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from tasks.detect.rules import RuleSet
from tasks.model.events import Event, EventCategory

SIGNATURE_SAMPLES: Final = 4
RULE_SAMPLES: Final = 2
ORDINARY_SAMPLES: Final = 2
ORDINARY: Final = ""
"""The slot of lines that no rule takes for evidence."""
ORDINARY_SHARE: Final = 8
"""One of so many ordinary lines is a candidate; by its hash, so it is the same one everywhere."""


def sample_limits(rules: RuleSet) -> dict[str, int]:
    """
    How many lines are kept per IP, minute and counter, of counters whose lines are evidence.

    A rule that selects a plain page view counts volume: its lines say nothing one by one, and it
    is left out here. Ordinary lines stand for it.
    """
    return {
        rule.counter: SIGNATURE_SAMPLES if rule.is_signature else RULE_SAMPLES
        for rule in rules.rules
        if rule.is_signature or not rule.selects(_PAGE_VIEW, ())
    }


def sample_shares(rules: RuleSet) -> dict[str, int]:
    """
    One of how many lines of a counter may be kept: 1, 2, 4, ... up to ORDINARY_SHARE.

    Where many lines make a finding, one of several is enough to leave some of each finding, and
    clients that come nowhere near it leave few. A line of several counters goes by the smallest,
    and ordinary lines go by the smallest of the rules that they stand for.
    """
    shares = {
        rule.counter: 1
        if rule.is_signature or rule.after is not None
        else min(ORDINARY_SHARE, 1 << max(0, (rule.threshold // 8).bit_length() - 1))
        for rule in rules.rules
    }
    evident = sample_limits(rules)
    others = [share for counter, share in shares.items() if counter not in evident]
    return shares | {ORDINARY: min(others, default=ORDINARY_SHARE)}


def keep_lowest(
    samples: pl.DataFrame, limits: Mapping[str, int], place: Sequence[str]
) -> pl.DataFrame:
    """
    The samples that are among the lowest hashes of one of their slots, per *place*.

    Args:
        samples: Each line_hash once per place.
        limits: From sample_limits; a sample with none of these counters is ordinary.
    """
    crowd = samples.select(pl.len().over(place) > ORDINARY_SAMPLES).to_series()
    # no slot is smaller than that, so where there are no more all are kept
    crowded = samples.select(*place, "line_hash", "counters").filter(crowd)
    slots = (
        crowded.join(_slots_of(crowded["counters"].unique(), limits), on="counters")
        .filter(pl.col("line_hash").rank("ordinal").over(*place, "slot") <= pl.col("limit"))
        .select(*place, "line_hash")
    )
    lowest = samples.filter(crowd).join(slots, on=[*place, "line_hash"], how="semi")
    return pl.concat([samples.filter(~crowd), lowest])


def _slots_of(combinations: pl.Series, limits: Mapping[str, int]) -> pl.DataFrame:
    """Each of *combinations* with each of its slots and the limit of that."""
    named = (sorted(set(text.split(" ")) & limits.keys()) for text in combinations)
    slots = [[(slot, limits[slot]) for slot in some] for some in named]
    rows = [
        (number, slot, limit)
        for number, some in enumerate(slots)
        for slot, limit in some or [(ORDINARY, ORDINARY_SAMPLES)]
    ]
    table = pl.DataFrame(
        rows,
        schema={"number": pl.UInt32, "slot": pl.Categorical, "limit": pl.UInt32},
        orient="row",
    )
    return table.select(combinations.gather(table["number"]).alias("counters"), "slot", "limit")


_PAGE_VIEW: Final = Event(
    timestamp=0,
    source_ip="192.0.2.1",
    category=EventCategory.WEB,
    http_request_method="GET",
    url_original="/",
    url_path="/",
    http_response_status_code=200,
    http_response_body_bytes=5120,
    user_agent_original="Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/140.0",
)
