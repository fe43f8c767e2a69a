"""The file behind the sentence cache, and what the purge does to it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cds_hooks.errors import CommandError

Clock = Callable[[], float]

DAY_S: Final = 86_400
_PATIENCE_S: Final = 0.05  # for another writer; embedding a few sentences takes as long
_COMMAND_PATIENCE_MS: Final = 5_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
  number INTEGER PRIMARY KEY,  -- grows with time: what has the lowest makes room
  name BLOB NOT NULL UNIQUE,
  sealed BLOB NOT NULL,
  used_s INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS vectors_used ON vectors (used_s);
"""
_UNUSED = "FROM vectors WHERE used_s <= ?"


def make_private(path: Path) -> int:
    """Make the file where it is missing, for its owner only; return its inode. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # -wal and -shm get its mode
    return path.stat().st_ino


def connect(path: Path) -> sqlite3.Connection:
    """Open the file. A cache may lose its last rows with the power, so commits do not wait."""
    database = sqlite3.connect(
        path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
            database.execute(f"PRAGMA {pragma}")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def remove(path: Path) -> None:
    """Delete the file and what SQLite keeps beside it. Processes that have it open go on."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def unused_rows(path: Path, days: float, clock: Clock = time.time) -> int:
    """How many rows were not used for so long. Raises CommandError."""
    with _for_command(path) as database:
        (count,) = database.execute(
            f"SELECT count(*) {_UNUSED}", (_before(days, clock),)
        ).fetchone()
    return int(count)


def purge_rows(path: Path, days: float, clock: Clock = time.time) -> int:
    """Delete rows that were not used for so long, overwritten with zeros. Raises CommandError."""
    with _for_command(path) as database:
        count = database.execute(f"DELETE {_UNUSED}", (_before(days, clock),)).rowcount
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(count)


def _before(days: float, clock: Clock) -> float:
    return clock() - days * DAY_S


@contextmanager
def _for_command(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing file with the patience of a command."""
    try:
        database = connect(path)
        try:
            database.execute(f"PRAGMA busy_timeout={_COMMAND_PATIENCE_MS}")
            yield database
        finally:
            database.close()
    except sqlite3.Error as exc:
        raise CommandError(
            f"{path}: the sentence cache cannot be purged: {exc}; it can be deleted"
        ) from exc
