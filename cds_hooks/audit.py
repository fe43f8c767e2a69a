"""The audit log: one line for each thing that was done, chained so that a change is found.

Each line is signed over its content and over what continues the line before it. An edited,
removed, inserted or reordered line breaks the chain.

Lines cut off at the end are found by the seal. To continue after line n one needs the seal of n, a
signature that stands in one place only (the row of ``audit_head``) until the next append replaces
it; line n + 1 keeps its hash. Whoever cuts lines away does not have the seal of the line that is
now the last, neither to put it there nor to have the service continue from it: the gap stays
visible for good. Only an older copy of that row passes (a backup, or what is left of it in a
write-ahead log), and a witness finds that: a head remembered outside the database, which
``audit_check`` takes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from cds_hooks.database import lock
from cds_hooks.keys import KeyRing, signature
from cds_hooks.lasting_secrets import AUDIT
from cds_hooks.tables import audit, audit_head

FIRST = "0" * 64
_NO_SEAL = "-" * 64  # no hash: a line after it never verifies
# Made once: making a statement takes longer than running it.
_HEAD, _NEWEST = select(audit_head), select(func.max(audit.c.sequence))
_INSERT_LINE, _DELETE_HEAD, _INSERT_HEAD = insert(audit), delete(audit_head), insert(audit_head)
_LOCK = 0x6D65616D  # any constant: PostgreSQL's advisory lock of the chain


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
    lock(connection, _LOCK)
    head = connection.execute(_HEAD).first()
    newest = connection.execute(_NEWEST).scalar_one() or 0
    # A damaged head must not stop the service; the line is written so that it does not verify.
    sequence = 1 + max(newest, head.sequence if head else 0)
    previous = hashed(head.seal) if head else _NO_SEAL
    return _append(connection, keys, sequence, previous, at, event, facts)


def start_chain(
    connection: Connection,
    keys: KeyRing,
    *,
    at: datetime,
    event: str,
    facts: Mapping[str, Any],
) -> AuditHead:
    """Write the first line that has a seal: of a new database, or of one of schema version 1."""
    lock(connection, _LOCK)
    newest = connection.execute(
        select(audit.c.sequence, audit.c.signature).order_by(audit.c.sequence.desc()).limit(1)
    ).first()
    sequence, previous = (newest.sequence + 1, newest.signature) if newest else (1, FIRST)
    return _append(connection, keys, sequence, previous, at, event, facts)


def line_signature(secret: bytes, line: Mapping[str, Any]) -> str:
    """What a line has to carry. ``line``: all of its columns but the signature."""
    return signature(secret, json.dumps(line, sort_keys=True, separators=(",", ":")).encode())


def seal_of(secret: bytes, line: AuditHead) -> str:
    """What continues the chain after a line."""
    return signature(secret, f"seal {line.sequence} {line.signature}".encode())


def hashed(seal: str) -> str:
    """What the next line keeps of a seal."""
    return hashlib.sha256(seal.encode("utf-8")).hexdigest()


def _append(
    connection: Connection,
    keys: KeyRing,
    sequence: int,
    previous: str,
    at: datetime,
    event: str,
    facts: Mapping[str, Any],
) -> AuditHead:
    secret = keys.secret(AUDIT)
    line = {
        "sequence": sequence,
        "at": at.isoformat(),
        "event": event,
        "facts": json.dumps(facts, sort_keys=True, separators=(",", ":")),
        "key_id": keys.key_ids[0],
        "previous": previous,
    }
    head = AuditHead(sequence, line_signature(secret, line))
    connection.execute(_INSERT_LINE, {**line, "signature": head.signature})
    connection.execute(_DELETE_HEAD)
    connection.execute(_INSERT_HEAD, {"sequence": sequence, "seal": seal_of(secret, head)})
    return head
