"""Heads of the audit log that are remembered outside the database.

A witness file has one head a line, as JSON. The service also writes the head into its log line for
each answered hook; such a log is a witness too, if it is kept where the database is not.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from sqlalchemy import select

from cds_hooks.audit import AuditHead
from cds_hooks.database import reading
from cds_hooks.errors import CommandError
from cds_hooks.store import Store
from cds_hooks.tables import audit

_NAMES = (("sequence", "signature"), ("audit_sequence", "audit_signature"))


def read_heads(file: Path) -> list[AuditHead]:
    """The heads of a witness file or of a log. Lines about other things are passed over.

    Raises CommandError where the file cannot be read.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as exc:
        raise CommandError(f"{file} cannot be read: {exc.strerror}.") from exc
    return [head for head in map(_head, lines) if head is not None]


def remember_head(store: Store, file: Path) -> AuditHead:
    """Add the newest head to a witness file, which is made where it is missing."""
    newest = select(audit.c.sequence, audit.c.signature).order_by(audit.c.sequence.desc()).limit(1)
    with reading(store.engine) as connection:
        head = AuditHead(*connection.execute(newest).one())
    line = {
        "at": store.clock().isoformat(),
        "sequence": head.sequence,
        "signature": head.signature,
    }
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="ascii") as opened:
            opened.write(json.dumps(line) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as exc:
        raise CommandError(f"{file} cannot be written: {exc.strerror}.") from exc
    return head


def _head(line: bytes) -> AuditHead | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    for sequence, signature in _NAMES:
        if type(found.get(sequence)) is int and isinstance(found.get(signature), str):
            return AuditHead(found[sequence], found[signature])
    return None
