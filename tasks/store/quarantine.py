"""Object versions that were set aside: what they are, and how they come back."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, func, select, update

from tasks.model.objects import QuarantinedObject
from tasks.store.engine import transaction
from tasks.store.tables import log_objects

_QUARANTINED = log_objects.c.state == "quarantined"


def list_quarantined(engine: Engine) -> list[QuarantinedObject]:
    """Everything that is set aside, of all namespaces, by key."""
    rows = (
        select(log_objects)
        .where(_QUARANTINED)
        .order_by(log_objects.c.namespace, log_objects.c.object_key, log_objects.c.version)
    )
    with transaction(engine) as connection:
        return [
            QuarantinedObject(
                namespace=row.namespace,
                source=row.source,
                object_key=row.object_key,
                version=row.version,
                size_bytes=row.size,
                reason=row.reason or "",
                attempts=row.attempts,
                since=row.recorded_at,
            )
            for row in connection.execute(rows)
        ]


def count_quarantined(engine: Engine, namespace: str) -> tuple[int, datetime | None]:
    """How many object versions of *namespace* are set aside, and since when the first is."""
    mine = select(func.count(), func.min(log_objects.c.recorded_at)).where(
        log_objects.c.namespace == namespace, _QUARANTINED
    )
    with transaction(engine) as connection:
        count, first = connection.execute(mine).one()
    return count, first


def release_quarantined(
    engine: Engine, object_keys: Sequence[str] | None, now: datetime
) -> list[QuarantinedObject]:
    """
    These are read again by the next run of their source and namespace, as if for the first time.

    Args:
        object_keys: None for all; every version of a key.

    Returns:
        What was released; a run that reads it again may set it aside again.
    """
    released = [
        quarantined
        for quarantined in list_quarantined(engine)
        if object_keys is None or quarantined.object_key in object_keys
    ]
    reason = "taken out of quarantine"
    changes = {"state": "skipped", "attempts": 0, "reason": reason, "recorded_at": now}
    with transaction(engine) as connection:
        for one in released:
            connection.execute(
                update(log_objects)
                .where(
                    _QUARANTINED,
                    log_objects.c.namespace == one.namespace,
                    log_objects.c.source == one.source,
                    log_objects.c.object_key == one.object_key,
                    log_objects.c.version == one.version,
                )
                .values(changes)
            )
    return released
