"""Old audit lines leave the database for a file, and the chain stays provable without them.

The line that is written about it is signed, and holds what the first remaining line continues. A
file holds one line of the log as JSON on each of its lines; ``meam verify-audit --archive`` walks
through the files and goes on in the database.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, select

from cds_hooks.audit import append_audit
from cds_hooks.audit_check import ARCHIVED, audit_lines, verify_in
from cds_hooks.database import reading, writing
from cds_hooks.errors import AuditBroken, CommandError
from cds_hooks.store import Store
from cds_hooks.tables import audit

_COLUMNS = set(audit.columns.keys())


@dataclass(frozen=True, slots=True)
class _Written:
    """What went into a file: how many lines, the ends, and the hash of the whole."""

    count: int
    first: int
    last: Mapping[str, Any]
    sha256: str


def archive_audit(store: Store, before: datetime, file: Path) -> int:
    """Move lines that are older into a new file; return how many.

    The file is on the disk before a line is deleted. Raises AuditBroken where the log does not
    verify, and CommandError.
    """
    with reading(store.engine) as connection:
        verify_in(connection, store.keys)
        written = _write(file, _older(connection, before))
    if written is None:
        return 0
    facts = {
        "first": written.first,
        "last": written.last["sequence"],
        "signature": written.last["signature"],
        "keyId": written.last["key_id"],
        "sha256": written.sha256,
    }
    with writing(store.engine) as connection:
        append_audit(connection, store.keys, at=store.clock(), event=ARCHIVED, facts=facts)
        connection.execute(delete(audit).where(audit.c.sequence <= facts["last"]))
    return written.count


def _older(connection: Connection, before: datetime) -> Iterator[Mapping[str, Any]]:
    """Lines from the beginning, up to the first that is not older. The newest line stays."""
    newest = connection.execute(select(func.max(audit.c.sequence))).scalar_one()
    for line in audit_lines(connection):
        if line["sequence"] == newest or datetime.fromisoformat(line["at"]) >= before:
            return
        yield line


def read_archives(files: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of archives, in the order given. Raises AuditBroken, CommandError."""
    for file in files:
        try:
            with file.open(encoding="utf-8") as opened:
                for number, text in enumerate(opened, start=1):
                    yield _parsed(file, number, text)
        except (OSError, UnicodeDecodeError) as exc:
            raise CommandError(f"{file} cannot be read as an archive of the audit log.") from exc


def _parsed(file: Path, number: int, text: str) -> Mapping[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as exc:
        raise AuditBroken(f"{file}: line {number} is not JSON", sequence=0) from exc
    if not isinstance(line, dict) or set(line) != _COLUMNS or type(line["sequence"]) is not int:
        raise AuditBroken(f"{file}: line {number} is not a line of an audit log", sequence=0)
    return line


def _write(file: Path, lines: Iterator[Mapping[str, Any]]) -> _Written | None:
    """Write a new file; None, and no file, if there is no line."""
    first = next(lines, None)
    if first is None:
        return None
    digest, count, last = hashlib.sha256(), 0, first
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            for line in chain([first], lines):
                data = json.dumps(line, sort_keys=True).encode("utf-8") + b"\n"
                opened.write(data)
                digest.update(data)
                count, last = count + 1, line
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError as exc:
        raise CommandError(f"{file} exists already and was not changed.") from exc
    except OSError as exc:
        raise CommandError(f"{file} cannot be written: {exc.strerror}.") from exc
    return _Written(count, first["sequence"], last, digest.hexdigest())
