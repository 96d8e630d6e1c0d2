"""Batches: log objects that one mapped task reads together."""

from collections.abc import Iterable

from tasks.model.objects import Batch, LogObject

MAX_BATCH_BYTES = 64 * 1024 * 1024
MAX_BATCH_OBJECTS = 500


def make_batches(
    objects: Iterable[LogObject],
    max_bytes: int = MAX_BATCH_BYTES,
    max_objects: int = MAX_BATCH_OBJECTS,
) -> tuple[Batch, ...]:
    """
    All *objects* in batches of at most so many stored bytes and objects, by key.

    An object larger than *max_bytes* is a batch of its own. The same objects give the same
    batches, in whatever order they come.
    """
    groups: list[list[LogObject]] = []
    size = 0
    for log_object in sorted(objects, key=lambda o: (o.source, o.object_key, o.version)):
        is_full = not groups or len(groups[-1]) >= max_objects
        if is_full or size + log_object.size_bytes > max_bytes:
            groups.append([])
            size = 0
        groups[-1].append(log_object)
        size += log_object.size_bytes
    return tuple(Batch(number, tuple(group)) for number, group in enumerate(groups, start=1))
