"""Vectors of note sentences on disk, so that a restart or a second worker need not embed them anew.

A vector says something about the sentence that it was made of, so it is kept as patient data are:

- the name of a row is an HMAC of encoder and sentence; no sentence stands on the disk, and without
  the key nobody can ask whether one was seen;
- the vector is encrypted with AES-256-GCM under a key of its own, and bound to its row;
- both keys follow from those of the key ring. What an old key of the ring has written is read and
  written anew; what a key wrote that has left the ring is never found, and goes by and by.

The cache is bounded: the oldest rows make room. A row that is read while it is among the older
half, or a day after it was written, counts as new. Everything that can go wrong is a miss: the
sentence is embedded, the fault is logged once a minute, and no answer waits longer than 50 ms for
another writer.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cds_hooks.keys import KeyRing
from cds_hooks.sentence_cache_file import DAY_S, connect, make_private, remove
from cds_hooks.telemetry import logger

Floats = npt.NDArray[np.float32]
OnUse = Callable[[int, int], None]  # sentences that were found, and that were not

QUIET_S: Final = 60.0  # between two log lines about faults
_NAMES, _VALUES = "names of the sentence cache", "values of the sentence cache"
_NONCE_BYTES = 12
_AT_ONCE = 200  # names in one statement; SQLite allows 32,766
_FIND = "SELECT name, sealed, number <= ? OR used_s <= ? FROM vectors WHERE name IN"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SentenceCache:
    """One file of SQLite. Safe to share between threads; every process opens its own."""

    def __init__(
        self,
        path: Path,
        keys: KeyRing,
        *,
        entries: int,
        on_use: OnUse = lambda _found, _missed: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open or make the file; one that is no database of SQLite is begun anew."""
        self._path = path
        self._entries = entries
        self._on_use = on_use
        self._clock = clock
        self._seals = [_Seal(keys, key_id) for key_id in keys.key_ids]
        self._lock = threading.Lock()
        self._quiet_until_s = 0.0
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        with self._lock, self._faults_logged():
            self._open()

    def recall(self, encoder: str, sentences: Sequence[str]) -> dict[str, Floats]:
        """Return the vectors that are here; ``encoder`` is the identity of what made them."""
        found: dict[str, Floats] = {}
        aged: dict[str, Floats] = {}
        for seal in self._seals:
            left = {seal.name(encoder, text): text for text in sentences if text not in found}
            for name, sealed, is_old in self._rows(list(left)):
                vector = self._opened(seal, name, sealed)
                if vector is None:
                    continue
                found[left[name]] = vector
                if is_old or seal is not self._seals[0]:
                    aged[left[name]] = vector
        self._on_use(len(found), len(sentences) - len(found))
        if aged:
            self.keep(encoder, aged)
        return found

    def keep(self, encoder: str, vectors: Mapping[str, Floats]) -> None:
        """Write vectors under the current key, and let the oldest rows make room."""
        seal, now_s = self._seals[0], int(self._clock())
        rows = []
        for text, vector in vectors.items():
            name = seal.name(encoder, text)
            rows.append((name, seal.seal(name, np.asarray(vector, np.float32).tobytes()), now_s))
        with self._lock, self._faults_logged(), self._transaction() as database:
            # REPLACE gives a row that was here a new number.
            database.executemany(
                "INSERT OR REPLACE INTO vectors (name, sealed, used_s) VALUES (?, ?, ?)", rows
            )
            database.execute(
                "DELETE FROM vectors WHERE number <= (SELECT max(number) FROM vectors) - ?",
                (self._entries,),
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _rows(self, names: list[bytes]) -> list[tuple[bytes, bytes, bool]]:
        """Return name, content and whether the row is to be written anew, for rows that exist."""
        rows: list[tuple[bytes, bytes, bool]] = []
        with self._lock, self._faults_logged():
            database = self._database or self._open()
            (last,) = database.execute("SELECT max(number) FROM vectors").fetchone()
            middle, day_ago_s = (last or 0) - self._entries // 2, self._clock() - DAY_S
            for start in range(0, len(names), _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                wanted = f"{_FIND} ({marks})"
                rows += database.execute(wanted, (middle, day_ago_s, *some)).fetchall()
        return rows

    def _opened(self, seal: _Seal, name: bytes, sealed: bytes) -> Floats | None:
        try:
            data = seal.open(name, sealed)
            vector = np.frombuffer(data, np.float32)
        except (InvalidTag, ValueError) as exc:
            self._say(f"a row was changed since it was written: {type(exc).__name__}")
            return None
        return vector

    def _open(self) -> sqlite3.Connection:
        self._inode = make_private(self._path)
        try:
            self._database = connect(self._path)
        except sqlite3.DatabaseError as exc:
            if exc.sqlite_errorcode not in _DAMAGED:
                raise
            self._begin_anew()
            self._inode = make_private(self._path)
            self._database = connect(self._path)
        return self._database

    def _begin_anew(self) -> None:
        """Give a damaged file up, unless another process has put a new one in its place."""
        self._say("the file is damaged and is begun anew")
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._path.exists() and self._path.stat().st_ino == self._inode:
            remove(self._path)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database or self._open()
        database.execute("BEGIN IMMEDIATE")
        with database:  # commits, or rolls back where the block raises
            yield database

    @contextmanager
    def _faults_logged(self) -> Iterator[None]:
        """Go on without the cache; our lock is held."""
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            if getattr(exc, "sqlite_errorcode", None) in _DAMAGED:
                self._begin_anew()
                return
            reason = getattr(exc, "sqlite_errorname", None) or getattr(exc, "strerror", None)
            self._say(f"{type(exc).__name__} {reason}")

    def _say(self, fault: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + QUIET_S
            logger().warning("fault of the sentence cache", fault=fault)


class _Seal:
    """Names and encryption under one key of the ring."""

    def __init__(self, keys: KeyRing, key_id: str) -> None:
        self._names = keys.secret(_NAMES, key_id)
        self._values = AESGCM(keys.secret(_VALUES, key_id))

    def name(self, encoder: str, sentence: str) -> bytes:
        return hmac.digest(self._names, f"{encoder}\n{sentence}".encode(), "sha256")

    def seal(self, name: bytes, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._values.encrypt(nonce, data, name)

    def open(self, name: bytes, sealed: bytes) -> bytes:
        return self._values.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name)
