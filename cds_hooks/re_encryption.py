"""Which keys stored data need, and encrypting them anew with the current one.

Batches, each in a transaction of its own: a run that is killed goes on where it stopped, because
what is left is what does not begin with the head of the current key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, LargeBinary, func, select, update

from cds_hooks import tables
from cds_hooks.audit import append_audit
from cds_hooks.database import reading, writing
from cds_hooks.errors import CiphertextRefused, KeyLost
from cds_hooks.keys import HEAD_BYTES, head_of, key_id_of
from cds_hooks.lasting_secrets import audit_secrets
from cds_hooks.store import Store

_BATCH = 200  # explanations have some 10 kB each
UNKNOWN_KEY = "unknown"  # of data that are not in the form of this version


@dataclass(slots=True)
class ReEncrypted:
    """What a run did: rows by column, and the reasons for rows that it could not read."""

    rows: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)


def keys_in_use(store: Store) -> dict[str, Counter[str]]:
    """How many values each key id has encrypted or signed, by column."""
    used: dict[str, Counter[str]] = {key_id: Counter() for key_id in store.keys.key_ids}
    with reading(store.engine) as connection:
        for column in tables.ENCRYPTED:
            head = _head(column)
            counted = select(head, func.count()).where(column.is_not(None)).group_by(head)
            for found, count in connection.execute(counted):
                key_id = key_id_of(bytes(found)) or UNKNOWN_KEY
                used.setdefault(key_id, Counter())[str(column)] += count
        signed = select(tables.audit.c.key_id, func.count()).group_by(tables.audit.c.key_id)
        for key_id, count in connection.execute(signed):
            used.setdefault(key_id, Counter())["audit"] += count
    return used


def verifiable_key_ids(store: Store) -> set[str]:
    """Keys whose lines of the audit log can be verified: of the ring, and some that left it."""
    with reading(store.engine) as connection:
        return set(audit_secrets(connection, store.keys))


def left_to_encrypt(store: Store) -> int:
    """How many values are not under the current key."""
    with reading(store.engine) as connection:
        return sum(
            connection.execute(
                select(func.count()).select_from(column.table).where(_old(store, column))
            ).scalar_one()
            for column in tables.ENCRYPTED
        )


def re_encrypt(
    store: Store, *, batch: int = _BATCH, progress: Callable[[int], None] = lambda _rows: None
) -> ReEncrypted:
    """Encrypt everything with the current key. Rows that cannot be read are named, and left."""
    done = ReEncrypted()
    for column in tables.ENCRYPTED:
        after = ""
        while rows := _next(store, column, after, batch):
            _encrypt_batch(store, column, rows, done)
            after = rows[-1][0]
            progress(len(rows))
    if done.rows:
        facts = {"key": store.keys.key_ids[0], **done.rows, "unreadable": len(done.unreadable)}
        with writing(store.engine) as connection:
            append_audit(
                connection, store.keys, at=store.clock(), event="data re-encrypted", facts=facts
            )
    return done


def _next(store: Store, column: Column[Any], after: str, batch: int) -> list[tuple[str, bytes]]:
    (key,) = column.table.primary_key.columns
    wanted = select(key, column).where(_old(store, column), key > after).order_by(key).limit(batch)
    with reading(store.engine) as connection:
        return [(found[0], bytes(found[1])) for found in connection.execute(wanted)]


def _encrypt_batch(
    store: Store, column: Column[Any], rows: list[tuple[str, bytes]], done: ReEncrypted
) -> None:
    (key,) = column.table.primary_key.columns
    with writing(store.engine) as connection:
        for row, old in rows:
            place = tables.place(column, row)
            try:
                new = store.keys.encrypt(store.keys.decrypt(old, place), place)
            except (KeyLost, CiphertextRefused) as exc:
                done.unreadable.append(str(exc))
                continue
            # The row may have been purged or changed meanwhile; then there is nothing to do.
            change = update(column.table).where(key == row, column == old).values({column: new})
            done.rows[str(column)] += connection.execute(change).rowcount


def _old(store: Store, column: Column[Any]) -> ColumnElement[bool]:
    return column.is_not(None) & (_head(column) != head_of(store.keys.key_ids[0]))


def _head(column: Column[Any]) -> ColumnElement[bytes]:
    return func.substr(column, 1, HEAD_BYTES, type_=LargeBinary)
