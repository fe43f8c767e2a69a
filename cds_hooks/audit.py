"""The audit log: one line for each thing that was done, chained so that a change is found.

Each line is signed over its content and the signature before it. An edited, removed, inserted or
reordered line breaks the chain. Lines cut off at the end cannot be seen from inside: the service
also logs the newest sequence number and signature, and ``verify_audit`` takes them as a witness.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select

from cds_hooks.errors import AuditBroken
from cds_hooks.keys import KeyRing
from cds_hooks.tables import audit, lock_audit

_PURPOSE = "audit chain"
_FIRST = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest line: what a witness outside the database has to remember."""

    sequence: int
    signature: str


def append_audit(
    connection: Connection,
    keys: KeyRing,
    *,
    at: datetime,
    event: str,
    facts: Mapping[str, Any],
) -> AuditHead:
    """Add one line inside the caller's transaction. ``facts`` holds ids and figures only."""
    lock_audit(connection)
    newest = connection.execute(
        select(audit.c.sequence, audit.c.signature).order_by(audit.c.sequence.desc()).limit(1)
    ).first()
    sequence = newest.sequence + 1 if newest else 1
    line = {
        "sequence": sequence,
        "at": at.isoformat(),
        "event": event,
        "facts": json.dumps(facts, sort_keys=True, separators=(",", ":")),
        "key_id": keys.key_ids[0],
        "previous": newest.signature if newest else _FIRST,
    }
    signature = _signature(keys, line)
    connection.execute(insert(audit).values(**line, signature=signature))
    return AuditHead(sequence, signature)


def verify_audit(engine: Engine, keys: KeyRing, witness: AuditHead | None = None) -> int:
    """Check the whole chain and return the number of lines.

    Raises AuditBroken at the first line that is wrong, KeyLost if a line's key is not here.
    """
    previous, expected = _FIRST, 1
    with engine.connect() as connection:
        lines = connection.execution_options(yield_per=1000).execute(
            select(audit).order_by(audit.c.sequence)
        )
        for row in lines:
            _check(keys, row, previous, expected)
            if witness and row.sequence == witness.sequence:
                _check_witness(row, witness)
            previous, expected = row.signature, expected + 1
    if witness and expected <= witness.sequence:
        raise AuditBroken(
            f"audit line {witness.sequence} was written once and is gone;"
            f" the last line is {expected - 1}",
            sequence=expected,
        )
    return expected - 1


def _check(keys: KeyRing, row: Row[Any], previous: str, expected: int) -> None:
    if row.sequence != expected:
        raise AuditBroken(
            f"audit line {expected} is missing; line {row.sequence} follows", sequence=expected
        )
    if row.previous != previous:
        raise AuditBroken(
            f"audit line {row.sequence} does not continue line {row.sequence - 1}",
            sequence=row.sequence,
        )
    line = {name: value for name, value in row._mapping.items() if name != "signature"}
    if _signature(keys, line) != row.signature:
        raise AuditBroken(f"audit line {row.sequence} was changed", sequence=row.sequence)


def _check_witness(row: Row[Any], witness: AuditHead) -> None:
    if row.signature != witness.signature:
        raise AuditBroken(
            f"audit line {row.sequence} is not the one that the witness remembers",
            sequence=row.sequence,
        )


def _signature(keys: KeyRing, line: Mapping[str, Any]) -> str:
    signed = json.dumps(line, sort_keys=True, separators=(",", ":")).encode("utf-8")
    return keys.signature(_PURPOSE, signed, key_id=str(line["key_id"]))
