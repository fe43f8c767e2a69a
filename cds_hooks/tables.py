"""The database: tables, and the engine set up so that what was acknowledged stays.

SQLite in WAL mode by default, PostgreSQL by URL. Nothing in clear text here is clinical: payloads
and comments are encrypted, patients appear as a keyed fingerprint only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    make_url,
    text,
)

SCHEMA_VERSION = 1
_AUDIT_LOCK = 0x6D65616D  # any constant: PostgreSQL's advisory lock of the audit chain

metadata = MetaData()

schema = Table("meam_schema", metadata, Column("version", Integer, primary_key=True))

explanations = Table(
    "explanations",
    metadata,
    Column("card_uuid", String(36), primary_key=True),
    Column("created_s", Float, nullable=False),  # seconds since the Unix epoch, as all *_s here
    Column("expires_s", Float, nullable=False, index=True),
    Column("payload", LargeBinary, nullable=False),  # encrypted
)

cards = Table(
    "cards",
    metadata,
    Column("card_uuid", String(36), primary_key=True),
    Column("created_s", Float, nullable=False, index=True),
    Column("service_id", String(64), nullable=False),
    Column("hook_instance", String(64), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("patient", String(64), nullable=False),  # keyed fingerprint
    Column("indicator", String(16), nullable=False),
    Column("model", Text, nullable=False),  # name and version
    Column("drivers", Text, nullable=False),  # JSON array of token ids, the strongest first
    Column("shown", Boolean, nullable=False),  # False in shadow mode
)

suggestions = Table(
    "suggestions",
    metadata,
    Column("suggestion_uuid", String(36), primary_key=True),
    Column("card_uuid", String(36), nullable=False, index=True),
)

feedback = Table(
    "feedback",
    metadata,
    Column("fingerprint", String(64), primary_key=True),  # of the item: a replay is stored once
    Column("received_s", Float, nullable=False, index=True),
    Column("service_id", String(64), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("card_uuid", String(128), nullable=False, index=True),
    Column("known_card", Boolean, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("outcome_timestamp", String(64), nullable=False),
    Column("accepted", Text, nullable=False),  # JSON array of suggestion uuids
    Column("reason_code", Text),
    Column("reason_system", Text),
    Column("comment", LargeBinary),  # encrypted
)

replays = Table(
    "replays",
    metadata,
    Column("fingerprint", String(64), primary_key=True),  # of issuer and jti
    Column("expires_s", Float, nullable=False, index=True),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("event", String(32), nullable=False),
    Column("facts", Text, nullable=False),  # JSON object, keys sorted
    Column("key_id", String(16), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("signature", String(64), nullable=False),
)


def open_engine(url: str) -> Engine:
    """Connect, and create what is not there yet. Makes the folder of a SQLite file."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and address.database not in (None, "", ":memory:"):
        Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes; committed at the end, rolled back on an error."""
    with engine.connect().execution_options(meam_writes=True) as connection, connection.begin():
        yield connection


def lock_audit(connection: Connection) -> None:
    """Let one writer at a time extend the audit chain, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _AUDIT_LOCK})


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail with SQLITE_BUSY at once, whatever
    # the busy timeout; IMMEDIATE takes the write lock at the start and waits for it.
    writes = connection.get_execution_options().get("meam_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
