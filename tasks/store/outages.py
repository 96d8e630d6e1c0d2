"""What does not work, and since when: kept from run to run until it works again."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Engine, delete, select

from tasks.store.engine import transaction, upsert
from tasks.store.tables import outages


def update_outages(
    engine: Engine,
    namespace: str,
    failing: Collection[str],
    working: Collection[str],
    now: datetime,
) -> Mapping[str, datetime]:
    """
    It is on record what does not work; a service that nobody needed stays as it was.

    Args:
        engine: Of the database.
        namespace: Outages of others are never seen.
        failing: Services that did not do their part in this run.
        working: Services that did, which ends their outages.
        now: When the outages began that are new.

    Returns:
        Since when, for each of *failing*.
    """
    mine = outages.c.namespace == namespace
    rows = [{"namespace": namespace, "service": name, "since": now} for name in sorted(failing)]
    with transaction(engine) as connection:
        connection.execute(delete(outages).where(mine, outages.c.service.in_(sorted(working))))
        upsert(connection, outages, rows, keep={"since"})
        found = select(outages.c.service, outages.c.since).where(
            mine, outages.c.service.in_(sorted(failing))
        )
        return {row.service: row.since for row in connection.execute(found)}
