"""A private PostgreSQL for the test run; tests that need it skip where it is not installed.

The server listens on a socket in a temporary folder, never on a port. PostgreSQL refuses to run as
root: there it runs as the user ``postgres`` of the Debian package.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine

_BINARIES = Path("/usr/lib/postgresql")
_USER = "postgres"  # of the operating system, where we are root
_START_S = 30.0
_OPTIONS = (
    "listen_addresses=",
    "shared_buffers=16MB",
    "max_connections=60",
    "wal_level=minimal",
    "max_wal_senders=0",
)


_INITIAL = ("-U", "meam", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")


class PostgresMissing(Exception):
    """There is no PostgreSQL that we could start; the message says why."""


@dataclass
class Cluster:
    """One PostgreSQL server with its data in ``folder``."""

    binaries: Path
    folder: Path
    user: str | None  # None: the user who runs the tests
    process: subprocess.Popen[bytes] | None = None

    def url(self, schema: str, *, role: str = "meam", database: str = "postgres") -> str:
        """The address as it stands in the setting ``database_url``."""
        where = f"postgresql+psycopg://{role}@/{database}?host={self.folder}"
        return f"{where}&options=-csearch_path%3D{schema}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        options = itertools.chain.from_iterable(("-c", option) for option in _OPTIONS)
        program = [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*program, *options], stdout=log, stderr=log, user=self.user
            )
        end_s = time.monotonic() + _START_S
        ready = [self.binaries / "pg_isready", "-q", "-h", self.folder]
        while subprocess.run(ready, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end_s:
                raise AssertionError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT in order (fast), SIGQUIT at once, as after a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(_START_S)
            self.process = None

    def run(self, statement: str) -> None:
        """Run one statement outside a transaction."""
        engine = create_engine(self.url("public"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    @contextmanager
    def schema(self) -> Iterator[str]:
        """An empty schema, which serves as a database of its own and takes a tenth of the time."""
        name = f"test_{next(_NUMBERS)}"
        self.run(f"CREATE SCHEMA {name}")
        try:
            yield name
        finally:
            self.run(f"DROP SCHEMA {name} CASCADE")


_NUMBERS = itertools.count(1)


def new_cluster(folder: Path) -> Cluster:
    """Make a cluster in an empty folder. Raises PostgresMissing."""
    found = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise PostgresMissing("PostgreSQL is not installed (Debian package postgresql)")
    user = _unprivileged_user(folder)
    cluster = Cluster(found[-1].parent, folder, user)
    subprocess.run(
        [found[-1], "-D", folder / "data", *_INITIAL],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    return cluster


def _unprivileged_user(folder: Path) -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(_USER)
    except KeyError as exc:
        raise PostgresMissing(f"we are root, and there is no user {_USER}") from exc
    os.chown(folder, account.pw_uid, account.pw_gid)
    return _USER


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A server in a folder of its own, gone afterwards. Raises PostgresMissing."""
    folder = Path(tempfile.mkdtemp(prefix="meam-pg-"))  # short: a socket's path has 107 bytes
    try:
        cluster = new_cluster(folder)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One server for the whole test run; each test makes a database of its own in it."""
    try:
        with running_cluster() as cluster:
            yield cluster
    except PostgresMissing as exc:
        pytest.skip(str(exc))
