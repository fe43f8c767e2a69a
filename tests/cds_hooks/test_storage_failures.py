"""A database that is full, locked, away or read-only: 503, never a 200 for what was not stored."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, select

from cds_hooks import tables
from cds_hooks.errors import StoreUnavailable
from cds_hooks.keys import KeyRing
from cds_hooks.parts import parts_of
from cds_hooks.store import Store
from tests.cds_hooks import world
from tests.cds_hooks.stored_things import KEY
from tests.postgresql import Cluster

HOOK = "/cds-services/meam-risk"
FEEDBACK = f"{HOOK}/feedback"
NOBODY = 65534
Service = Callable[..., FlaskClient]


def _items(number: int, comment: str = "why") -> dict[str, Any]:
    return {
        "feedback": [
            {
                "card": f"card-{number}",
                "outcome": "overridden",
                "overrideReason": {"userComment": comment},
                "outcomeTimestamp": "2026-11-23T12:00:00Z",
            }
        ]
    }


def _require_503(response: Any) -> None:
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    (issue,) = response.get_json()["issue"]
    assert issue["details"]["text"] == "the database cannot be used now"
    assert "cards" not in response.get_json()


def _require_refusals(client: FlaskClient) -> None:
    """Nothing is answered that could not be stored, and readiness says so."""
    _require_503(client.post(HOOK, json=world.hook_request()))
    _require_503(client.post(FEEDBACK, json=_items(0)))


def _stored(client: FlaskClient) -> int:
    with parts_of(client.application).store.engine.connect() as connection:
        return len(connection.execute(select(tables.feedback)).all())


def _fill(client: FlaskClient) -> int:
    """Send long comments until one is refused; return how many were acknowledged."""
    for number in range(2000):
        response = client.post(FEEDBACK, json=_items(number, "x" * 9000))
        if response.status_code != 200:
            _require_503(response)
            return number
    raise AssertionError("the disk was never full")


def test_a_locked_database_is_a_503(service: Service, tmp_path: Path, log: Any) -> None:
    file = tmp_path / "locked.sqlite"
    client = service(database_url=f"sqlite:///{file}?timeout=0.1")
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    _require_refusals(client)
    assert '"reason": "database is locked"' in log.getvalue()
    assert client.get("/readyz").status_code == 200, "reading goes on"
    holder.execute("ROLLBACK")
    assert client.post(FEEDBACK, json=_items(1)).status_code == 200
    assert _stored(client) == 1
    holder.close()


@contextmanager
def _no_file_beyond(size: int) -> Iterator[None]:
    """As ``ulimit -f``: writing beyond fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_grow_is_a_503(service: Service, tmp_path: Path) -> None:
    client = service(database_url=f"sqlite:///{tmp_path / 'full.sqlite'}")
    with _no_file_beyond(600_000):
        acknowledged = _fill(client)
        _require_503(client.post(HOOK, json=world.hook_request()))
    assert acknowledged > 0
    assert _stored(client) == acknowledged
    assert client.post(FEEDBACK, json=_items(9999)).status_code == 200


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of three megabytes; only root can make one."""
    folder = Path(tempfile.mkdtemp(prefix="meam-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def test_a_full_disk_under_sqlite_is_a_503(service: Service, small_disk: Path) -> None:
    client = service(database_url=f"sqlite:///{small_disk / 's.sqlite'}")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_200_000))
    acknowledged = _fill(client)
    _require_503(client.post(HOOK, json=world.hook_request()))
    assert _stored(client) == acknowledged > 0
    ballast.unlink()
    assert client.post(FEEDBACK, json=_items(9999)).status_code == 200
    parts_of(client.application).store.close()


def test_a_full_disk_under_postgresql_is_a_503(
    service: Service, small_disk: Path, postgres: Cluster
) -> None:
    shutil.chown(small_disk, postgres.user or os.geteuid())
    postgres.run(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_800_000))
    with postgres.schema() as name:
        url = f"{postgres.url(name)}%20-cdefault_tablespace%3Dsmall"
        client = service(database_url=url)
        acknowledged = _fill(client)
        assert _stored(client) == acknowledged > 0
        ballast.unlink()
        assert client.post(FEEDBACK, json=_items(9999)).status_code == 200
        parts_of(client.application).store.close()
    postgres.run("DROP TABLESPACE small")


def test_a_file_that_was_removed_or_replaced_is_a_503(
    service: Service, tmp_path: Path, log: Any
) -> None:
    file = tmp_path / "away.sqlite"
    client = service(database_url=f"sqlite:///{file}")
    assert client.post(FEEDBACK, json=_items(1)).status_code == 200
    backup = tmp_path / "backup"
    shutil.copy(file, backup)
    file.unlink()
    _require_refusals(client)
    assert not file.exists(), "no empty database was made in its place"
    backup.rename(file)  # put back by hand, while the service runs: it may be of last week
    _require_refusals(client)
    assert "removed or replaced; restart the service" in log.getvalue()
    assert service(database_url=f"sqlite:///{file}").get("/readyz").status_code == 200


def test_a_stopped_postgresql_is_a_503(service: Service, postgres: Cluster) -> None:
    with postgres.schema() as name:
        client = service(database_url=postgres.url(name))
        assert client.post(FEEDBACK, json=_items(1)).status_code == 200
        postgres.stop()
        try:
            _require_refusals(client)
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
        finally:
            postgres.start()
        assert client.post(FEEDBACK, json=_items(2)).status_code == 200, "without a restart"
        assert _stored(client) == 2
        parts_of(client.application).store.close()


def test_a_locked_table_is_a_503_in_time(service: Service, postgres: Cluster) -> None:
    with postgres.schema() as name:
        client = service(database_url=f"{postgres.url(name)}%20-clock_timeout%3D200")
        holder = create_engine(postgres.url(name))
        with holder.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE audit")
            _require_refusals(client)
        assert client.post(FEEDBACK, json=_items(1)).status_code == 200
        holder.dispose()
        parts_of(client.application).store.close()


def test_a_server_that_only_reads_is_a_503(postgres: Cluster) -> None:
    """What a standby is, and a server that failed over."""
    with postgres.schema() as name:
        Store(postgres.url(name), KeyRing([KEY])).close()
        store = Store(
            f"{postgres.url(name)}%20-cdefault_transaction_read_only%3Don", KeyRing([KEY])
        )
        with pytest.raises(StoreUnavailable, match=r"ReadOnlySqlTransaction \(25006\)"):
            store.record_answer([], [], {})
        store.close()


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may write everywhere; these tests are about users who may not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("file_exists", [True, False])
def test_a_folder_that_cannot_be_written_is_one_sentence(file_exists: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="meam-read-only-"))
    file = folder / "s.sqlite"
    if file_exists:
        Store(f"sqlite:///{file}", KeyRing([KEY])).close()
        file.chmod(0o444)
    folder.chmod(0o555)
    try:
        with _as_nobody(), pytest.raises(StoreUnavailable) as caught:
            Store(f"sqlite:///{file}", KeyRing([KEY]))
        assert str(caught.value) == (
            f"the database cannot be used now: {file} cannot be written: Permission denied"
        )
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    file.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        Store(f"sqlite:///{file}", KeyRing([KEY]))


def test_the_explanation_page_says_that_it_cannot_be_shown_now(
    service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "page.sqlite"
    client = service(database_url=f"sqlite:///{file}")
    card = client.post(HOOK, json=world.hook_request()).get_json()["cards"][0]
    link = card["links"][0]["url"].removeprefix("http://127.0.0.1:5000")
    assert client.get(link).status_code == 200
    store = parts_of(client.application).store
    store.engine.dispose()
    for name in ("", "-wal", "-shm"):
        Path(f"{file}{name}").unlink(missing_ok=True)
    file.write_bytes(b"no database at all" * 100)
    answer = client.get(link)
    assert answer.status_code == 503
    assert answer.mimetype == "text/html"
    assert "cannot reach its database" in answer.get_data(as_text=True)


def test_an_error_names_no_value_of_a_statement(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 's.sqlite'}?timeout=0.05", KeyRing([KEY]))
    holder = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        store.first_use("iss", "secret-jti", 9e9)
    assert str(caught.value) == "the database cannot be used now: database is locked"
    holder.close()
    store.close()
