"""The engine, set up so that what was acknowledged stays, and transactions on it.

SQLite in WAL mode by default, PostgreSQL by URL. A database that cannot be used now (full, locked,
away, read-only) raises StoreUnavailable, which the service answers with 503; a fault of ours goes
through as it is.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    exc,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from cds_hooks.errors import CommandError, SettingsError, StoreUnavailable

_PATIENCE_S = 5.0  # for a lock, a connection, a place in the pool; nobody waits longer for a card
_OUR_FAULTS = (exc.IntegrityError, exc.DataError, exc.ProgrammingError)
_HERE = {"localhost", "127.0.0.1", "::1"}
_VERIFIED = {"verify-ca", "verify-full"}  # libpq's default encrypts if it can, for anybody
_NO_PRIVILEGE = "42501"  # PostgreSQL counts it among programming errors; it is the operator's
# Values of the server or of the role win: a site that waits for its standbys has its reasons.
_POSTGRESQL_SESSION = """
SELECT set_config('lock_timeout', '5s', false) WHERE current_setting('lock_timeout') = '0';
SELECT set_config('statement_timeout', '60s', false)
WHERE current_setting('statement_timeout') = '0';
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""


def open_engine(url: str) -> Engine:
    """Connect to a database. Makes the file of SQLite and its folder, for the owner only."""
    try:
        address = make_url(url)
        backend = address.get_backend_name()
    except exc.ArgumentError as error:
        raise SettingsError("database_url is not the address of a database") from error
    if backend == "sqlite":
        return _sqlite_engine(address)
    if backend != "postgresql":
        raise SettingsError(f"database_url: {backend} is not supported, SQLite and PostgreSQL are")
    return _postgresql_engine(address)


def is_missing(url: str) -> bool:
    """Whether it names a file of SQLite that is not there, and which opening would make."""
    address = make_url(url)
    name = address.database
    if address.get_backend_name() != "sqlite" or name in (None, "", ":memory:"):
        return False
    return not Path(str(name)).exists()


def travels_in_clear(url: str) -> bool:
    """Whether it names PostgreSQL on another machine without a verified TLS connection."""
    try:
        address = make_url(url)
        if address.get_backend_name() != "postgresql":
            return False
    except exc.ArgumentError:
        return False  # said by open_engine
    hosts = {address.host, *_listed(address.query.get("host", ()))} - {None}
    elsewhere = {str(host) for host in hosts if not str(host).startswith("/")} - _HERE
    modes = _listed(address.query.get("sslmode", ()))
    return bool(elsewhere) and not (set(modes) and set(modes) <= _VERIFIED)


def back_up(engine: Engine, file: Path) -> None:
    """Copy a SQLite database that is in use into a new file. Raises CommandError."""
    if engine.dialect.name != "sqlite":
        raise CommandError("This copies SQLite only; PostgreSQL has pg_dump and pg_basebackup.")
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise CommandError(f"{file} was not written: {error.strerror}.") from error
    with _said_plainly(), engine.connect() as connection:
        copy = sqlite3.connect(file)
        try:
            connection.connection.driver_connection.backup(copy)  # type: ignore[union-attr]
        finally:
            copy.close()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes; committed at the end, rolled back on an error.

    Raises StoreUnavailable. When it does not raise, the data are on the disk.
    """
    with (
        _said_plainly(),
        engine.connect().execution_options(meam_writes=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database throughout. Raises StoreUnavailable."""
    with _said_plainly(), engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless its primary key is there; False if it was, also in a race."""
    statement = _insert_unless_there(connection.dialect.name, table)
    # Not rowcount: psycopg leaves it at -1 here, whether the row was there or not.
    return connection.execute(statement, values).first() is not None


@cache
def _insert_unless_there(dialect_name: str, table: Table) -> ReturningInsert[Any]:
    dialect = postgresql if dialect_name == "postgresql" else sqlite
    (key,) = table.primary_key.columns
    return dialect.insert(table).on_conflict_do_nothing().returning(key)


def lock(connection: Connection, number: int) -> None:
    """Let one writer at a time pass, until its transaction ends. SQLite has but one anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _listed(value: str | tuple[str, ...]) -> list[str]:
    """The values of a query parameter, which may stand twice or hold several with commas."""
    whole = value if isinstance(value, str) else ",".join(value)
    return [part for part in whole.split(",") if part]


def _sqlite_engine(address: URL) -> Engine:
    engine = create_engine(address, **_pool(address))
    if address.database not in (None, "", ":memory:"):
        _stay_with_file(engine, str(address.database))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _stay_with_file(engine: Engine, name: str) -> None:
    """Refuse a file that was deleted or replaced since: what is written there nobody would read,
    and what is read there is another database. SQLite itself would make an empty one."""
    inode = _make_private(Path(name))

    def require_same(*_: Any) -> None:
        try:
            now = os.stat(name).st_ino  # noqa: PTH116  # a fraction of pathlib's time
        except OSError:
            now = None
        if now != inode:
            raise StoreUnavailable(f"{name} was removed or replaced; restart the service")

    event.listen(engine, "do_connect", require_same)
    event.listen(engine, "begin", require_same)


def _postgresql_engine(address: URL) -> Engine:
    try:
        engine = create_engine(
            address,
            pool_pre_ping=True,
            connect_args={"connect_timeout": str(int(_PATIENCE_S))},
            **_pool(address),
        )
    except ImportError as error:
        raise SettingsError("PostgreSQL needs the Python package psycopg") from error
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _pool(address: URL) -> dict[str, Any]:
    """More connections than SQLAlchemy's five: our server has dozens of threads."""
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        return {}
    return {"pool_size": 8, "max_overflow": 32, "pool_timeout": _PATIENCE_S}


def _make_private(file: Path) -> int:
    """Make the file where it is missing; return its inode."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives the files beside it (-wal, -shm) the same mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        return file.stat().st_ino
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreUnavailable(f"{file} cannot be written: {reason}") from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    busy_ms = int(1000 * _PATIENCE_S)
    _write_ahead(connection)
    # secure_delete: what the purge deletes is overwritten with zeros, not only forgotten.
    for pragma in ("synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    (patience_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout={min(patience_ms, busy_ms)}")


def _write_ahead(connection: Any) -> None:
    """Switch to the write-ahead log, which SQLite refuses at once, whatever the busy timeout,
    while another process that starts does the same."""
    patience = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    connection.execute(_POSTGRESQL_SESSION)
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail with SQLITE_BUSY at once, whatever
    # the busy timeout; IMMEDIATE takes the write lock at the start and waits for it.
    writes = connection.get_execution_options().get("meam_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        if _is_our_fault(error):
            raise
        raise StoreUnavailable(_reason(error)) from error


def _is_our_fault(error: exc.DBAPIError | exc.TimeoutError) -> bool:
    original = getattr(error, "orig", None)
    if getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return True  # a statement that is wrong, or a table that is not there
    return isinstance(error, _OUR_FAULTS) and getattr(original, "sqlstate", None) != _NO_PRIVILEGE


def _reason(error: exc.DBAPIError | exc.TimeoutError) -> str:
    """What the driver said, without statement, values and address."""
    original = getattr(error, "orig", None)
    if original is None:
        return "no connection became free in time"
    if original.__class__.__module__.startswith("sqlite3"):
        return str(original)
    state = getattr(original, "sqlstate", None)
    return f"{type(original).__name__} ({state})" if state else type(original).__name__
