"""What is quarantined, and how it is tried again: `python -m flows.quarantine [--retry]`."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.report import format_count, format_size
from flows.terminal import print_complaint
from tasks.model.errors import ConfigurationError, MiddlewatchError
from tasks.model.objects import QuarantinedObject
from tasks.model.text import make_visible
from tasks.settings import settings
from tasks.store.quarantine import list_quarantined, release_quarantined
from tasks.store.schema import open_database

RETRY = "Let the next run of their source read these again (all, or those with the KEYS)."


def main(
    keys: Annotated[list[str] | None, typer.Argument(help="Object keys. Default: all.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help=RETRY)] = False,
) -> None:
    """List the log objects that were set aside, or have them tried again."""
    try:
        found = _release(keys or None) if retry else _list(keys or None)
    except MiddlewatchError as error:
        print_complaint(str(error))
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    _print(found, Console(), is_released=retry)


def _list(keys: Sequence[str] | None) -> list[QuarantinedObject]:
    engine = open_database(settings().database_url.get_secret_value())
    found = [q for q in list_quarantined(engine) if keys is None or q.object_key in keys]
    _check(keys, found)
    return found


def _release(keys: Sequence[str] | None) -> list[QuarantinedObject]:
    _list(keys)
    engine = open_database(settings().database_url.get_secret_value())
    return release_quarantined(engine, keys, datetime.now(UTC))


def _check(keys: Sequence[str] | None, found: Sequence[QuarantinedObject]) -> None:
    unknown = sorted(set(keys or ()) - {q.object_key for q in found})
    if unknown:
        raise ConfigurationError(
            f"Not quarantined: {', '.join(unknown)}; give keys as the list without KEYS shows them."
        )


def _print(found: Sequence[QuarantinedObject], console: Console, *, is_released: bool) -> None:
    if not found:
        console.print("Nothing is quarantined.")
        return
    table = Table("Object", "Size", "Since (UTC)", "Tried", "Why", box=None)
    for one in found:
        table.add_row(
            Text(f"{make_visible(one.object_key)}\n{_where(one)}", overflow="fold"),
            format_size(one.size_bytes),
            f"{one.since:%Y-%m-%d %H:%M}",
            str(one.attempts),
            Text(make_visible(one.reason)),
        )
    console.print(table)
    count = format_count(len(found), "object")
    if is_released:
        console.print(f"{count} will be read again by the next run of their source.")
    else:
        console.print(f"{count} set aside; --retry has them read again.")


def _where(one: QuarantinedObject) -> str:
    return make_visible(f"{one.source} ({one.namespace})")


if __name__ == "__main__":
    typer.run(main)
