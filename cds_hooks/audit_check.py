"""Checking the audit log: each line, what continues it, the end, and what witnesses remember."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Engine, select

from cds_hooks.audit import FIRST, AuditHead, hashed, line_signature, seal_of
from cds_hooks.database import reading
from cds_hooks.errors import AuditBroken, KeyLost
from cds_hooks.keys import KeyRing
from cds_hooks.lasting_secrets import audit_secrets
from cds_hooks.tables import audit, audit_head

ARCHIVED = "audit archived"  # the event of the line that stands for those that left the table
Line = Mapping[str, Any]


def verify_audit(
    engine: Engine,
    keys: KeyRing,
    witness: AuditHead | None = None,
    *,
    witnesses: Sequence[AuditHead] = (),
    archives: Iterable[Line] = (),
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Check the whole chain and return the number of lines in the database.

    ``witnesses``: heads that were remembered elsewhere. ``archives``: lines that left the table,
    in order. ``progress`` is called for each line. Raises AuditBroken at the first line that is
    wrong, KeyLost if a line's key is not here.
    """
    remembered = (*witnesses, witness) if witness else tuple(witnesses)
    with reading(engine) as connection:
        return verify_in(connection, keys, remembered, archives, progress)


def verify_in(
    connection: Connection,
    keys: KeyRing,
    witnesses: Sequence[AuditHead] = (),
    archives: Iterable[Line] = (),
    progress: Callable[[], None] = lambda: None,
) -> int:
    """As verify_audit, inside a transaction of the caller."""
    secrets = audit_secrets(connection, keys)
    lines = chain(archives, audit_lines(connection))
    return verify_lines(
        lines, lambda: connection.execute(select(audit_head)).all(), secrets, witnesses, progress
    )


def verify_lines(
    lines: Iterable[Line],
    heads: Callable[[], Sequence[Any]],
    secrets: Mapping[str, bytes],
    witnesses: Sequence[AuditHead] = (),
    progress: Callable[[], None] = lambda: None,
) -> int:
    """As verify_audit, over lines from anywhere; ``heads`` gives what ``audit_head`` holds."""
    check = _Check(secrets, {one.sequence: one for one in witnesses})
    count = 0
    for line in lines:
        check.line(line)
        progress()
        count += 1
    check.end(heads())
    return count


def audit_lines(connection: Connection, page: int = 1000) -> Iterator[Line]:
    """All lines in order, some at a time: the log may be longer than the memory."""
    after = -1
    while True:
        wanted = select(audit).where(audit.c.sequence > after)
        rows = connection.execute(wanted.order_by(audit.c.sequence).limit(page)).all()
        yield from (dict(row._mapping) for row in rows)
        if len(rows) < page:
            return
        after = rows[-1].sequence


@dataclass
class _Check:
    """One walk along the chain."""

    secrets: Mapping[str, bytes]
    witnesses: Mapping[int, AuditHead]
    last: Line | None = None
    first: Line | None = None
    sealed: bool = False  # from the first seal on, a line without one is refused
    archived: dict[int, Line] = field(default_factory=dict)  # what left the table, by last line

    def line(self, line: Line) -> None:
        """Check the next line."""
        sequence = line["sequence"]
        if self.last is None:
            self.first = line
        elif sequence != self.last["sequence"] + 1:
            missing = self.last["sequence"] + 1
            raise AuditBroken(
                f"audit line {missing} is missing; line {sequence} follows", sequence=missing
            )
        unsigned = {name: value for name, value in line.items() if name != "signature"}
        if line_signature(self._secret(line), unsigned) != line["signature"]:
            raise AuditBroken(f"audit line {sequence} was changed", sequence=sequence)
        if self.last is not None and not self._continues(self.last, line["previous"]):
            raise AuditBroken(
                f"audit line {sequence} does not continue line {sequence - 1}", sequence=sequence
            )
        if line["event"] == ARCHIVED:
            self._note_archive(line)
        self._compare(line)
        self.last = line

    def end(self, heads: Sequence[Any]) -> None:
        """Check what only the whole chain shows: its beginning, its end, and the witnesses."""
        if self.first is None or self.last is None:
            raise AuditBroken("the audit log is empty; it never is by itself", sequence=1)
        self._check_beginning(self.first)
        self._check_head(self.last, heads)
        newest = self.last["sequence"]
        beyond = [sequence for sequence in self.witnesses if sequence > newest]
        if beyond:
            raise AuditBroken(
                f"audit line {max(beyond)} was written once and is gone; the last line is {newest}",
                sequence=newest + 1,
            )

    def _secret(self, line: Line) -> bytes:
        if line["key_id"] not in self.secrets:
            raise KeyLost(
                f"audit line {line['sequence']} is signed with key {line['key_id']}, which is"
                f" neither in the key ring nor kept (present: {', '.join(self.secrets)})"
            )
        return self.secrets[line["key_id"]]

    def _continues(self, line: Line, named: str) -> bool:
        head = AuditHead(line["sequence"], line["signature"])
        if named == hashed(seal_of(self._secret(line), head)):
            self.sealed = True
            return True
        return named == head.signature and not self.sealed  # as schema version 1 did it

    def _note_archive(self, line: Line) -> None:
        facts = json.loads(line["facts"])
        self.archived[facts["last"]] = {
            "sequence": facts["last"],
            "signature": facts["signature"],
            "key_id": facts["keyId"],
        }

    def _check_beginning(self, first: Line) -> None:
        before = first["sequence"] - 1
        if before == 0 and first["previous"] == FIRST:
            return
        if before == 0:
            raise AuditBroken("audit line 1 does not begin a log", sequence=1)
        left = self.archived.get(before)
        self.sealed = False
        if left is None or not self._continues(left, first["previous"]):
            raise AuditBroken(
                f"audit line {before} is missing; line {before + 1} follows", sequence=before
            )

    def _check_head(self, last: Line, heads: Sequence[Any]) -> None:
        newest = AuditHead(last["sequence"], last["signature"])
        expected = (newest.sequence, seal_of(self._secret(last), newest))
        if [tuple(head) for head in heads] == [expected]:
            return
        noted = max((head.sequence for head in heads), default=0)
        if noted > newest.sequence:
            raise AuditBroken(
                f"audit lines {newest.sequence + 1} to {noted} were written once and are gone",
                sequence=newest.sequence + 1,
            )
        raise AuditBroken(
            f"audit line {newest.sequence} is not the end of the log that was sealed:"
            " lines after it are gone, or the seal was changed",
            sequence=newest.sequence + 1,
        )

    def _compare(self, line: Line) -> None:
        witness = self.witnesses.get(line["sequence"])
        if witness and witness.signature != line["signature"]:
            raise AuditBroken(
                f"audit line {line['sequence']} is not the one that the witness remembers",
                sequence=line["sequence"],
            )
