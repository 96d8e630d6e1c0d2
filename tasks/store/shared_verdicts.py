"""Judgements of the model by likeness of the evidence: the same trick is not paid for twice."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, select

from tasks.model.verdicts import Judgement
from tasks.store.engine import chunks, transaction, upsert
from tasks.store.tables import shared_verdicts

FRESH = timedelta(hours=24)
JUDGEMENT = TypeAdapter(Judgement)


def recall_judgements(
    engine: Engine, likenesses: Iterable[str], now: datetime
) -> Mapping[str, Judgement]:
    """What the model said of evidence like that in the last 24 h; unknown ones are absent."""
    known: dict[str, Judgement] = {}
    with transaction(engine) as connection:
        for chunk in chunks(sorted(set(likenesses))):
            fresh = select(shared_verdicts).where(
                shared_verdicts.c.likeness.in_(chunk), shared_verdicts.c.judged_at > now - FRESH
            )
            for row in connection.execute(fresh):
                with suppress(ValidationError):  # of another version: then the model is asked
                    known[row.likeness] = JUDGEMENT.validate_python(row.judgement)
    return known


def remember_judgements(
    engine: Engine, judged: Sequence[tuple[str, Judgement]], now: datetime
) -> None:
    """What the model said takes the place of what it said before of the same likeness."""
    rows = {
        likeness: {
            "likeness": likeness,
            "judgement": JUDGEMENT.dump_python(judgement, mode="json"),
            "judged_at": now,
        }
        for likeness, judgement in judged
    }
    with transaction(engine) as connection:
        upsert(connection, shared_verdicts, list(rows.values()), keep=set())
