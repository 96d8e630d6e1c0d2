"""Subjects: whom counts are about. An IPv6 client owns a network, not an address."""

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_network

import polars as pl

from tasks.detect.tally import Tally

IPV6_BITS = 128


def roll_up(tally: Tally, ipv6_prefix: int) -> Tally:
    """
    The same counts by IPv4 address and by IPv6 network of *ipv6_prefix* bits.

    The addresses themselves are in the additional column `address` of the counts.
    """
    addresses = [ip for ip in tally.counts["source_ip"].unique() if ":" in ip]
    if not addresses or ipv6_prefix == IPV6_BITS:
        return tally
    names = pl.DataFrame(
        {"address": addresses, "network": [_network(ip, ipv6_prefix) for ip in addresses]}
    )
    counts, values, samples = (
        table.join(names, left_on="source_ip", right_on="address", how="left", coalesce=False)
        .with_columns(pl.coalesce("network", "source_ip").alias("source_ip"))
        .drop("network")
        for table in (tally.counts, tally.values, tally.samples)
    )
    return replace(
        tally, counts=counts, values=values.drop("address"), samples=samples.drop("address")
    )


@lru_cache(maxsize=100_000)
def _network(address: str, prefix: int) -> str:
    return str(ip_network((address, prefix), strict=False))
