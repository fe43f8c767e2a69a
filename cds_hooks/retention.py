"""The purge: what is over its time is deleted, in batches, and each batch is in the audit log.

- Explanations, which hold notes and values of a patient, go when their link has expired.
- JWT ids go when the JWT has expired, findings of the cool-down when it is over.
- Cards, their suggestions, predictions and the feedback about them go after ``keep_cards_days``;
  a feedback item counts from its own arrival, so a late one may outlive its card.
- The audit log stays; ``meam archive-audit`` moves old lines into files.

SQLite overwrites deleted rows with zeros (``secure_delete``), and the purge empties its
write-ahead log. PostgreSQL leaves deleted rows in its files until VACUUM reuses the space, which
the purge asks for; they stay unreadable without the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Engine, Table, delete, func, select

from cds_hooks import tables
from cds_hooks.audit import append_audit
from cds_hooks.database import reading, writing
from cds_hooks.store import Store

_BATCH = 2000  # rows in one transaction: other writers wait for a fraction of a second
Counts = dict[str, int]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Doomed:
    name: str
    table: Table
    condition: ColumnElement[bool]


def overdue(store: Store, keep_cards: timedelta, cool_down: timedelta = timedelta(0)) -> Counts:
    """How many rows of each kind a purge would delete now."""
    with reading(store.engine) as connection:
        return {
            one.name: connection.execute(
                select(func.count()).select_from(one.table).where(one.condition)
            ).scalar_one()
            for one in _doomed(store, keep_cards, cool_down)
        }


def purge(
    store: Store,
    keep_cards: timedelta,
    cool_down: timedelta = timedelta(0),
    *,
    batch: int = _BATCH,
    progress: Progress = lambda _rows: None,
) -> Counts:
    """Delete what is over its time; return the number of rows of each kind.

    A kill in between leaves whole batches done, and the audit log with a line for each.
    """
    counts: Counts = {}
    for one in _doomed(store, keep_cards, cool_down):
        counts[one.name] = 0
        while deleted := _delete_batch(store, one, batch):
            counts[one.name] += deleted
            progress(deleted)
    _record(store, counts)
    _leave_no_traces(store.engine)
    return counts


def _doomed(store: Store, keep_cards: timedelta, cool_down: timedelta) -> tuple[_Doomed, ...]:
    now_s = store.clock().timestamp()
    oldest_s = now_s - keep_cards.total_seconds()
    cards, suggestions = tables.cards, tables.suggestions
    old_cards = select(cards.c.card_uuid).where(cards.c.created_s < oldest_s)
    cooled_s = now_s - cool_down.total_seconds()
    return (
        _Doomed("explanations", tables.explanations, tables.explanations.c.expires_s <= now_s),
        _Doomed("replays", tables.replays, tables.replays.c.expires_s <= now_s),
        _Doomed("findings", tables.shown_findings, tables.shown_findings.c.shown_s <= cooled_s),
        # Suggestions first: without their card they would not be found any more.
        _Doomed("suggestions", suggestions, suggestions.c.card_uuid.in_(old_cards)),
        _Doomed("cards", cards, cards.c.created_s < oldest_s),
        _Doomed("predictions", tables.predictions, tables.predictions.c.created_s < oldest_s),
        _Doomed("feedback", tables.feedback, tables.feedback.c.received_s < oldest_s),
    )


def _delete_batch(store: Store, one: _Doomed, batch: int) -> int:
    (key,) = one.table.primary_key.columns
    chosen = select(key).where(one.condition).order_by(key).limit(batch)
    with writing(store.engine) as connection:
        deleted = connection.execute(delete(one.table).where(key.in_(chosen))).rowcount
        if deleted:
            facts = {"deleted": one.name, "rows": deleted}
            append_audit(connection, store.keys, at=store.clock(), event="purge batch", facts=facts)
    return deleted


def _record(store: Store, counts: Counts) -> None:
    with writing(store.engine) as connection:
        append_audit(connection, store.keys, at=store.clock(), event="purge", facts=counts)


def _leave_no_traces(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        for column in tables.ENCRYPTED:
            connection.exec_driver_sql(f"VACUUM {column.table.name}")
