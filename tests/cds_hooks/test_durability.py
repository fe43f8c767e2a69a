"""A kill -9 at any moment, of a worker or of PostgreSQL, loses nothing that was acknowledged."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.audit_check import verify_audit
from cds_hooks.keys import KeyRing
from cds_hooks.store import Store
from tests.cds_hooks.stored_things import KEY
from tests.postgresql import Cluster

ROOT = Path(__file__).parent.parent.parent
KILLS = 8
ENDED = "ended\n"


class Writer:
    """The process of ``acknowledging_writer``, and all that it acknowledged."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "tests.cds_hooks.acknowledging_writer", url, KEY]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self.acknowledged: set[str] = set()

    @property
    def _output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def start_worker(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return int(self._output.readline())

    def read(self, count: int) -> None:
        for _ in range(count):
            line = self._output.readline()
            assert line not in ("", ENDED)
            self.acknowledged.add(line.strip())

    def read_to_the_end(self) -> None:
        while (line := self._output.readline()) != ENDED:
            assert line
            self.acknowledged.add(line.strip())

    def stop(self) -> None:
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


@pytest.fixture
def writer(database_url: str) -> Iterator[Writer]:
    made = Writer(database_url)
    yield made
    made.stop()


def require_all(url: str, acknowledged: set[str]) -> None:
    """Every acknowledged card, its feedback and its audit lines are there; the chain holds."""
    store = Store(url, KeyRing([KEY]))
    with store.engine.connect() as connection:
        cards = set(connection.execute(select(tables.cards.c.card_uuid)).scalars())
        told = set(connection.execute(select(tables.feedback.c.card_uuid)).scalars())
    assert acknowledged <= cards
    assert acknowledged <= told
    assert verify_audit(store.engine, store.keys) == 1 + len(cards) + len(told)
    store.close()


def test_a_killed_worker_loses_nothing_that_was_acknowledged(
    writer: Writer, database_url: str
) -> None:
    moments = random.Random(5)
    for _ in range(KILLS):
        worker = writer.start_worker()
        writer.read(moments.randrange(4))
        time.sleep(moments.uniform(0, 0.02))
        os.kill(worker, signal.SIGKILL)
        writer.read_to_the_end()
        require_all(database_url, writer.acknowledged)
    assert len(writer.acknowledged) >= KILLS


def test_a_killed_server_loses_nothing_that_was_acknowledged(postgres: Cluster) -> None:
    with postgres.schema() as name:
        writer = Writer(postgres.url(name))
        for _ in range(2):
            writer.start_worker()
            writer.read(3)
            postgres.stop(signal.SIGQUIT)  # no checkpoint, no farewell: what a crash leaves
            writer.read_to_the_end()
            postgres.start()
            require_all(postgres.url(name), writer.acknowledged)
        writer.stop()
        assert len(writer.acknowledged) >= 6
