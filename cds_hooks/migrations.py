"""Schema versions, and the steps from one to the next.

Each step is one function of plain SQL that is never changed once released, so that an old database
takes the way that was tested. All steps run in one transaction, under a lock that lets one worker
at a time pass: a step that fails, or a kill, leaves the database as it was. Both databases we
support roll back changes of tables too, so no copy is made; a copy would outlive the purge.

A chain of our own rather than Alembic: steps need the key ring, the lock and an audit line in the
same transaction, which is all of this module; what Alembic adds (branches, generated steps) we do
not use.

A database that has the newest version is only read at the start, so that a service account
without the right to change tables is enough once ``meam database migrate`` has run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, inspect, select, update

from cds_hooks import tables
from cds_hooks.audit import append_audit, start_chain
from cds_hooks.database import lock, reading, writing
from cds_hooks.errors import StoreError
from cds_hooks.keys import KeyRing
from cds_hooks.lasting_secrets import new_fingerprint_secrets
from cds_hooks.schema_version_2 import to_version_2
from cds_hooks.schema_version_3 import to_version_3
from cds_hooks.schema_version_4 import to_version_4

_LOCK = 0x6D656174  # PostgreSQL's advisory lock of the schema
_FIRST_WITH_SEAL = 2
Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the chain: to which version, and how. It returns what it counted."""

    version: int
    run: Callable[[Connection, KeyRing], Counts]


def schema_version(engine: Engine) -> int | None:
    """The version of a database, None if it is empty."""
    with reading(engine) as connection:
        return _version(connection)


def prepare(engine: Engine, keys: KeyRing, at: datetime) -> None:
    """Create what is missing or take the steps that are. Raises StoreError, StoreUnavailable."""
    if schema_version(engine) == SCHEMA_VERSION:
        return
    with writing(engine) as connection:
        lock(connection, _LOCK)
        version = _version(connection)  # another worker may have been first
        if version is None:
            _create(connection, keys, at)
        elif version > SCHEMA_VERSION:
            raise StoreError(
                f"the database has schema version {version}, and this program knows versions up"
                f" to {SCHEMA_VERSION}: a newer program migrated it. Run that one, or go back to a"
                " copy from before the migration"
            )
        elif version < SCHEMA_VERSION:
            _migrate(connection, keys, at, version)


def _create(connection: Connection, keys: KeyRing, at: datetime) -> None:
    tables.metadata.create_all(connection)
    connection.execute(tables.schema.insert().values(version=SCHEMA_VERSION))
    new_fingerprint_secrets(connection, keys)
    start_chain(connection, keys, at=at, event="database created", facts={"schema": SCHEMA_VERSION})


def _migrate(connection: Connection, keys: KeyRing, at: datetime, version: int) -> None:
    counts: Counts = {}
    for step in (step for step in _STEPS if step.version > version):
        counts |= step.run(connection, keys)
    connection.execute(update(tables.schema).values(version=SCHEMA_VERSION))
    facts = {"from": version, "to": SCHEMA_VERSION, **counts}
    # Lines of version 1 have no seal that could be continued.
    write = start_chain if version < _FIRST_WITH_SEAL else append_audit
    write(connection, keys, at=at, event="database migrated", facts=facts)


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(tables.schema.name):
        return None
    return connection.execute(select(tables.schema.c.version)).scalar_one_or_none()


_STEPS = (Step(2, to_version_2), Step(3, to_version_3), Step(4, to_version_4))
SCHEMA_VERSION = _STEPS[-1].version
