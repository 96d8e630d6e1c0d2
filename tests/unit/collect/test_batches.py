"""Batches are even, bounded, and the same for the same objects."""

from datetime import UTC, datetime
from random import Random

from tasks.collect.batches import make_batches
from tasks.model.objects import LogObject

NOW = datetime(2026, 2, 22, tzinfo=UTC)


def objects(*sizes: int) -> list[LogObject]:
    return [LogObject("s3://b", f"k{i:05}", "e", size, NOW) for i, size in enumerate(sizes)]


def test_every_object_once():
    """No batch is over its bounds, and no object is left out or doubled."""
    many = objects(*[i % 97 for i in range(3000)])
    batches = make_batches(many, max_bytes=1000, max_objects=50)

    assert [o for b in batches for o in b.objects] == many
    assert all(b.size_bytes <= 1000 and len(b.objects) <= 50 for b in batches)
    assert [b.number for b in batches] == list(range(1, len(batches) + 1))


def test_large_object():
    """An object over the bound is a batch of its own."""
    batches = make_batches(objects(1, 5000, 1), max_bytes=1000)

    assert [len(b.objects) for b in batches] == [1, 1, 1]


def test_order_does_not_matter():
    """The same objects in another order are the same batches."""
    many = objects(*range(200))
    shuffled = Random(1).sample(many, len(many))

    assert make_batches(shuffled, max_bytes=1000) == make_batches(many, max_bytes=1000)


def test_nothing():
    """No objects, no batches."""
    assert make_batches([]) == ()
