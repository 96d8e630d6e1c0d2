"""Namespaces: `live`, and one per backfill; nothing crosses."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine, select

from tasks.model.errors import ConfigurationError
from tasks.store.engine import transaction, upsert
from tasks.store.tables import namespaces

LIVE = "live"


def open_namespace(
    engine: Engine, name: str, kind: str, parameters: Mapping[str, str], now: datetime
) -> None:
    """
    The namespace exists and belongs to this kind of run with these parameters.

    Raises:
        ConfigurationError: It was opened with others, so its counts would mean something else.
    """
    with transaction(engine) as connection:
        row = {"name": name, "kind": kind, "parameters": dict(parameters), "created_at": now}
        upsert(connection, namespaces, [row], keep={"kind", "parameters", "created_at"})
        stored = connection.execute(select(namespaces).where(namespaces.c.name == name)).one()
    if stored.kind != kind or stored.parameters != dict(parameters):
        was = ", ".join(f"{key} {value}" for key, value in stored.parameters.items())
        raise ConfigurationError(
            f"'{name}' is already the name of a {stored.kind} with {was}: "
            "repeat exactly these to resume it, or choose another name."
        )
