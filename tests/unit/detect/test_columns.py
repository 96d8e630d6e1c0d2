"""What is stored comes back as it was, or is said to be damaged."""

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.detect import columns as columns_module
from tasks.detect.addressed import Addressed
from tasks.detect.columns import columns_of, decode, encode

SCHEMA = pl.Schema(
    {
        "extent": pl.UInt32(),
        "ip": pl.UInt32(),
        "minute": pl.Int32(),
        "hash": pl.UInt64(),
        "number": pl.Int64(),
        "counters": pl.Categorical(),
        "line": pl.String(),
    }
)
NAMES = ["192.0.2.1", "192.0.2.10", "192.0.2.2", "2001:db8::"]
lines = st.none() | st.sampled_from(["", "a", "a\r", "\r\n", "é\n", "\n"]) | st.text(max_size=9)


def whole(low: int, high: int) -> st.SearchStrategy[int]:
    return st.sampled_from([low, low + 1, 0, 1, 255, 256, 65_536, high]) | st.integers(low, high)


rows = st.tuples(
    whole(0, 2**32 - 1),
    st.integers(0, len(NAMES) - 1),
    whole(-(2**31), 2**31 - 1),
    whole(0, 2**64 - 1),
    whole(-(2**63), 2**63 - 1),
    st.sampled_from(["2xx", "4xx a:v1", "4xx"]),
    lines,
)


def table_of(some: list[tuple[object, ...]]) -> Addressed:
    return Addressed(pl.DataFrame(some, SCHEMA, orient="row"), pl.Series("source_ip", NAMES))


def parts_of(table: Addressed, max_bytes: int, piece_rows: int = 7) -> list[bytes]:
    return list(encode(b"head", columns_of(table), max_bytes, piece_rows))


@given(st.lists(rows, max_size=30), st.sampled_from([1, 400, 10**6]), st.booleans())
@example(
    [(0, 0, 2**31 - 1, 0, 0, "4xx", None), (0, 0, -(2**31), 2**64 - 1, 0, "2xx", "\n")], 1, True
)
def test_tables_come_back_from_their_parts(some, max_bytes, is_sorted):
    """Numbers of any size, texts with line feeds and what is no text are as they were."""
    some = sorted(some, key=str) if is_sorted else some
    table = table_of(some)

    parts = parts_of(table, max_bytes)
    back = [decode(part.removeprefix(b"head"), SCHEMA) for part in parts]

    named = [t.named().cast({"counters": pl.String}) for t in back]
    expected = table.named().cast({"counters": pl.String})
    assert [row for t in named for row in t.select(expected.columns).rows()] == expected.rows()
    assert all(t.height == 1 or len(p) <= max_bytes for t, p in zip(back, parts, strict=True))
    assert all(t.names.len() == t.rows["ip"].n_unique() for t in back)
    assert [p for t in back for p in parts_of(t, max_bytes)] == parts


@given(
    st.lists(rows, min_size=1, max_size=30),
    st.sets(st.sampled_from(NAMES)),
    st.sampled_from([0, 1000]),
)
def test_only_what_is_wanted_is_read(some, wanted, few):
    """Rows about others are left out, and the rest is as it was."""
    table = table_of(some)
    (part,) = parts_of(table, 10**6, 100)

    def is_wanted(names: pl.Series) -> pl.Series:
        return names.is_in(list(wanted))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns_module, "_FEW", few)
        found = decode(part.removeprefix(b"head"), SCHEMA, is_wanted).named()

    assert found.equals(table.named().filter(is_wanted(table.named()["source_ip"])))


@given(st.data())
def test_every_changed_byte_is_noticed(data):
    """Not one number of a damaged part is believed."""
    (part,) = parts_of(table_of([(n, n % 4, n, n, n, "2xx", f"line {n}") for n in range(7)]), 10**6)
    body = bytearray(part.removeprefix(b"head"))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ValueError, match="not those that were written"):
        decode(bytes(body), SCHEMA)
