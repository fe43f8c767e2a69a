"""Which line of an export belongs to which patient, kept on disk.

Plain files are indexed by the place of each line; lines of gzip files, which cannot be entered
midway, are copied. The index is a SQLite database in a folder of its own: it holds patient data,
belongs to the user alone, and whoever made the folder removes it.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

INDEX_NAME = "index.sqlite"

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
CREATE TABLE entries (subject TEXT, file INTEGER, line INTEGER,
                      offset INTEGER, length INTEGER, body BLOB);
CREATE TABLE patients (id TEXT PRIMARY KEY);
CREATE TABLE names (name TEXT, patient TEXT);
CREATE TABLE shared (name TEXT, entry INTEGER);
"""
_INDEXES = """
CREATE INDEX entries_by_subject ON entries (subject);
CREATE INDEX names_by_name ON names (name);
DELETE FROM names WHERE name IN
    (SELECT name FROM names GROUP BY name HAVING COUNT(DISTINCT patient) > 1);
CREATE INDEX names_by_patient ON names (patient);
CREATE INDEX shared_by_name ON shared (name);
"""
_ENTRIES_OF_PATIENT = """
SELECT file, line, offset, length, body FROM entries
WHERE subject IN (SELECT name FROM names WHERE patient = ?) ORDER BY rowid
"""
_ENTRIES_BY_NAME = """
SELECT entries.rowid, file, line, offset, length, body FROM shared
JOIN entries ON entries.rowid = shared.entry WHERE name = ? ORDER BY entries.rowid
"""
_UNKNOWN_SUBJECTS = """
SELECT MIN(file), MIN(line), COUNT(*) FROM entries
WHERE subject <> '' AND subject NOT IN (SELECT name FROM names) GROUP BY subject ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands."""

    file: int  # position in the list of files
    line: int
    offset: int | None
    content: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A line read again."""

    file: int
    line: int
    content: bytes


class BulkIndex:
    """Filled once, ended with ``finish``, then read by patient."""

    def __init__(self, directory: Path, files: list[Path]) -> None:
        """Begin a new index."""
        database = sqlite3.connect(directory / INDEX_NAME, isolation_level=None)
        database.executescript(_SCHEMA)
        database.execute("BEGIN")
        self._hold(database, files)

    @classmethod
    def opened(cls, directory: Path, files: list[Path]) -> BulkIndex:
        """Open a finished index. Any number of processes may: it is not changed again."""
        index = cls.__new__(cls)
        # immutable: no locks, which storage that machines share may not have.
        path = (directory / INDEX_NAME).resolve().as_uri()
        database = sqlite3.connect(f"{path}?mode=ro&immutable=1", uri=True, isolation_level=None)
        index._hold(database, files)
        return index

    def _hold(self, database: sqlite3.Connection, files: list[Path]) -> None:
        self._database = database
        self._files = files
        self._handle: tuple[int, BinaryIO] | None = None

    def add_patient(self, identity: str, names: Iterable[str]) -> None:
        """Make a patient known, with the names by which other resources may refer to it."""
        self._database.execute("INSERT OR IGNORE INTO patients VALUES (?)", (identity,))
        rows = [(name, identity) for name in names]
        self._database.executemany("INSERT INTO names VALUES (?, ?)", rows)

    def add(self, subject: str, place: Place) -> None:
        """Add a line of the patient that ``subject`` names."""
        self._insert(subject, place)

    def add_shared(self, names: Iterable[str], place: Place) -> None:
        """Add a line that belongs to whoever refers to it by one of ``names``."""
        entry = self._insert("", place)
        self._database.executemany(
            "INSERT INTO shared VALUES (?, ?)", [(name, entry) for name in names]
        )

    def finish(self) -> None:
        """End filling. An identifier that two patients share names neither of them from here on."""
        self._database.execute("COMMIT")
        self._database.executescript(_INDEXES)

    def count_patients(self) -> int:
        (count,) = self._database.execute("SELECT COUNT(*) FROM patients").fetchone()
        return int(count)

    def patients(self) -> Iterator[str]:
        """Yield patient ids in the order in which they were found."""
        for (identity,) in self._database.execute("SELECT id FROM patients ORDER BY rowid"):
            yield identity

    def entries(self, patient: str) -> Iterator[Stored]:
        """Yield the lines of a patient in the order of files and lines."""
        for row in self._database.execute(_ENTRIES_OF_PATIENT, (patient,)):
            yield self._stored(*row)

    def shared(self, name: str) -> Iterator[tuple[int, Stored]]:
        """Yield the lines that a name refers to, each with its number in the index."""
        for entry, *row in self._database.execute(_ENTRIES_BY_NAME, (name,)):
            yield entry, self._stored(*row)

    def unknown_subjects(self) -> Iterator[tuple[int, int, int]]:
        """Yield file, line and count for each patient that is referred to but not there."""
        yield from self._database.execute(_UNKNOWN_SUBJECTS)

    def close(self) -> None:
        self._database.close()
        if self._handle is not None:
            self._handle[1].close()

    def _insert(self, subject: str, place: Place) -> int:
        body = zlib.compress(place.content, 1) if place.offset is None else None
        row = (subject, place.file, place.line, place.offset, len(place.content), body)
        cursor = self._database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", row)
        return int(cursor.lastrowid or 0)

    def _stored(
        self, file: int, line: int, offset: int | None, length: int, body: bytes | None
    ) -> Stored:
        if body is not None:
            return Stored(file, line, zlib.decompress(body))
        content = os.pread(self._open_file(file), length, offset or 0)
        return Stored(file, line, content)

    def _open_file(self, file: int) -> int:
        """Return a descriptor of the file; one stays open, since lines come file by file."""
        if self._handle is None or self._handle[0] != file:
            if self._handle is not None:
                self._handle[1].close()
            self._handle = (file, self._files[file].open("rb"))
        return self._handle[1].fileno()
