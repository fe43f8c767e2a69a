"""The audit log, on SQLite and PostgreSQL: whatever is done to it is found, and stays found."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, select, update

from cds_hooks.audit import append_audit
from cds_hooks.audit_archive import archive_audit, read_archives
from cds_hooks.audit_check import verify_audit, verify_in, verify_lines
from cds_hooks.audit_witness import read_heads, remember_head
from cds_hooks.database import writing
from cds_hooks.errors import AuditBroken, CommandError, KeyLost
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.lasting_secrets import audit_secrets
from cds_hooks.re_encryption import re_encrypt
from cds_hooks.store import Store
from cds_hooks.tables import audit, audit_head
from tests.cds_hooks import world
from tests.cds_hooks.stored_things import KEY, audit_lines

Log = tuple[list[dict[str, Any]], Any, dict[str, bytes]]
LINES = 6  # in all: one about the new database, five of ours


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url, KeyRing([KEY]), clock=lambda: world.NOW)
    audit_lines(made, LINES - 1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Lines, head and secrets of a log, taken out of its database."""
    file = tmp_path_factory.mktemp("audit") / "s.sqlite"
    store = Store(f"sqlite:///{file}", KeyRing([KEY]))
    audit_lines(store, LINES - 1)
    with store.engine.connect() as connection:
        lines = [dict(row._mapping) for row in connection.execute(select(audit))]
        head = connection.execute(select(audit_head)).one()
        secrets = audit_secrets(connection, store.keys)
    store.close()
    return lines, head, secrets


def test_the_chain_verifies(store: Store) -> None:
    assert verify_audit(store.engine, store.keys) == LINES
    head = audit_lines(store, 1)
    assert verify_audit(store.engine, store.keys, witness=head) == LINES + 1


ATTACKS = [
    ("edited", "UPDATE audit SET facts = '{\"n\":9}' WHERE sequence = 3", 3),
    ("time changed", "UPDATE audit SET at = '2000-01-01' WHERE sequence = 2", 2),
    ("removed", "DELETE FROM audit WHERE sequence = 3", 3),
    ("first removed", "DELETE FROM audit WHERE sequence = 1", 1),
    ("cut off at the end", "DELETE FROM audit WHERE sequence > 3", 4),
    ("last removed", "DELETE FROM audit WHERE sequence = 6", 6),
    (
        "cut off, and the head set back",
        "DELETE FROM audit WHERE sequence > 3; UPDATE audit_head SET sequence = 3",
        4,
    ),
    ("head removed", "DELETE FROM audit_head", 7),
    ("cut off, head removed", "DELETE FROM audit WHERE sequence > 3; DELETE FROM audit_head", 4),
    ("all removed", "DELETE FROM audit; DELETE FROM audit_head", 1),
    (
        "reordered",
        "UPDATE audit SET sequence = 9 WHERE sequence = 3;"
        "UPDATE audit SET sequence = 3 WHERE sequence = 4;"
        "UPDATE audit SET sequence = 4 WHERE sequence = 9",
        3,
    ),
    (
        "inserted",
        "INSERT INTO audit SELECT 7, at, event, facts, key_id, signature, previous"
        " FROM audit WHERE sequence = 6",
        7,
    ),
]


@pytest.mark.parametrize(("sql", "first"), [a[1:] for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_a_changed_log_is_found_now_and_later(store: Store, sql: str, first: int) -> None:
    with store.engine.begin() as connection:
        for statement in sql.split(";"):
            connection.exec_driver_sql(statement)
    with pytest.raises(AuditBroken) as caught:
        verify_audit(store.engine, store.keys)
    assert caught.value.sequence == first
    audit_lines(store, 2)  # the service goes on, and covers nothing up
    with pytest.raises(AuditBroken):
        verify_audit(store.engine, store.keys)


def _rows(connection: Connection) -> list[tuple[Any, ...]]:
    chosen = select(audit).order_by(audit.c.sequence)
    return [tuple(row) for row in connection.execute(chosen)]


def _mutated(data: st.DataObject, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The log after an attacker: values, order, number and copies of lines may be another."""
    rows = [list(row) for row in rows]
    for _ in range(data.draw(st.integers(1, 3), label="changes")):
        at = data.draw(st.integers(0, max(0, len(rows) - 1)), label="at")
        kind = data.draw(st.sampled_from(["edit", "remove", "swap", "copy", "cut"]), label="kind")
        if not rows:
            break
        if kind == "edit":
            column = data.draw(st.integers(1, 6), label="column")
            rows[at][column] = data.draw(st.text("0123456789abc", max_size=8), label="value")
        elif kind == "remove":
            del rows[at]
        elif kind == "swap":
            other = data.draw(st.integers(0, len(rows) - 1), label="other")
            rows[at][1:], rows[other][1:] = rows[other][1:], rows[at][1:]
        elif kind == "copy":
            rows.insert(at, list(rows[at]))
        else:
            del rows[at:]
        if data.draw(st.booleans(), label="renumber"):
            for number, row in enumerate(rows, start=1):
                row[0] = number
    return [tuple(row) for row in rows]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_every_mutation_is_found(store: Store, data: st.DataObject) -> None:
    with store.engine.connect() as connection:
        before = _rows(connection)
        after = _mutated(data, before)
        assume(after != before and len({row[0] for row in after}) == len(after))
        connection.execute(delete(audit))
        for row in after:
            connection.execute(insert(audit).values(row))
        for _ in range(data.draw(st.integers(0, 2), label="appended")):
            append_audit(connection, store.keys, at=world.NOW, event="later", facts={})
        with pytest.raises((AuditBroken, KeyLost)):
            verify_in(connection, store.keys)
        connection.rollback()


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_every_mutation_of_many_is_found(log: Log, data: st.DataObject) -> None:
    """As above without a database in each example, so with many more of them."""
    lines, head, secrets = log
    rows = [tuple(line.values()) for line in lines]
    after = _mutated(data, rows)
    assume(after != rows)
    changed = [dict(zip(lines[0], row, strict=True)) for row in after]
    assert verify_lines(lines, lambda: [head], secrets) == LINES
    with pytest.raises((AuditBroken, KeyLost)):
        verify_lines(changed, lambda: [head], secrets)


def test_an_older_copy_of_the_whole_log_is_found_by_a_witness(store: Store, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with store.engine.connect() as connection:
        old_head = connection.execute(select(audit_head)).one()
    audit_lines(store, 2)
    remember_head(store, witness)
    with store.engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.sequence > LINES))
        connection.execute(update(audit_head).values(**old_head._mapping))
    assert verify_audit(store.engine, store.keys) == LINES, "from inside, all is well"
    with pytest.raises(AuditBroken, match="audit line 8 was written once and is gone"):
        verify_audit(store.engine, store.keys, witnesses=read_heads(witness))
    for day in (1, 2):  # the service goes on, and writes another line 8
        _later(store, day)
    with pytest.raises(AuditBroken, match="line 8 is not the one that the witness remembers"):
        verify_audit(store.engine, store.keys, witnesses=read_heads(witness))


def test_the_log_of_the_service_is_a_witness(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    head = audit_lines(store, 1)
    line = {"event": "answered", "audit_sequence": head.sequence, "audit_signature": head.signature}
    log.write_text(f"[INFO] no JSON\n[]\n{json.dumps(line)}\n{{}}\n")
    assert read_heads(log) == [head]
    with pytest.raises(CommandError, match="nowhere cannot be read"):
        read_heads(tmp_path / "nowhere")


def test_a_log_of_unknown_keys_is_not_called_whole(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(update(audit).where(audit.c.sequence == 2).values(key_id="0" * 12))
    with pytest.raises(KeyLost, match="audit line 2 is signed with key 000000000000, which is"):
        verify_audit(store.engine, store.keys)


def test_the_chain_outlives_its_keys(store: Store, database_url: str) -> None:
    new = new_key()
    rotated = Store(database_url, KeyRing([new, KEY]), clock=lambda: world.NOW)
    audit_lines(rotated, 2)
    re_encrypt(rotated)
    rotated.close()
    alone = Store(database_url, KeyRing([new]))
    assert verify_audit(alone.engine, alone.keys) == LINES + 3
    with alone.engine.begin() as connection:
        connection.execute(update(audit).where(audit.c.sequence == 2).values(facts="{}"))
    with pytest.raises(AuditBroken, match="audit line 2 was changed"):
        verify_audit(alone.engine, alone.keys)
    alone.close()


def test_many_writers_make_one_chain(store: Store, database_url: str) -> None:
    stores = [Store(database_url, store.keys) for _ in range(3)]
    threads = [threading.Thread(target=audit_lines, args=(one, 10)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify_audit(store.engine, store.keys) == LINES + 30
    for one in stores:
        one.close()


def test_a_line_of_a_transaction_that_fails_leaves_no_gap(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), writing(store.engine) as connection:
        append_audit(connection, store.keys, at=world.NOW, event="lost", facts={})
        raise ZeroDivisionError
    audit_lines(store, 1)
    assert verify_audit(store.engine, store.keys) == LINES + 1


def _later(store: Store, days: float) -> None:
    store.clock = lambda: world.NOW + timedelta(days=days)
    with writing(store.engine) as connection:
        append_audit(connection, store.keys, at=store.clock(), event="later", facts={})


def test_old_lines_move_to_a_file_and_the_chain_holds(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    _later(store, 10)
    assert archive_audit(store, world.NOW + timedelta(days=5), first) == LINES
    assert verify_audit(store.engine, store.keys) == 2, "the later line, and one about the archive"
    _later(store, 20)
    assert archive_audit(store, world.NOW + timedelta(days=15), second) == 2
    assert verify_audit(store.engine, store.keys) == 2
    archives = read_archives([first, second])
    assert verify_audit(store.engine, store.keys, archives=archives) == LINES + 4
    assert archive_audit(store, world.NOW, tmp_path / "third") == 0
    assert not (tmp_path / "third").exists()


def test_an_archive_that_was_changed_or_left_out_is_found(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    _later(store, 10)
    archive_audit(store, world.NOW + timedelta(days=5), first)
    _later(store, 20)
    archive_audit(store, world.NOW + timedelta(days=15), second)
    with pytest.raises(AuditBroken, match="audit line 7 is missing; line 9 follows"):
        verify_audit(store.engine, store.keys, archives=read_archives([first]))
    first.write_text(first.read_text().replace('{\\"n\\":1}', '{\\"n\\":2}'))
    with pytest.raises(AuditBroken, match="audit line 3 was changed"):
        verify_audit(store.engine, store.keys, archives=read_archives([first, second]))
    first.write_text("no line\n")
    with pytest.raises(AuditBroken, match="line 1 is not JSON"):
        verify_audit(store.engine, store.keys, archives=read_archives([first, second]))


def test_the_line_about_the_archive_cannot_be_left_out(store: Store, tmp_path: Path) -> None:
    _later(store, 10)
    archive_audit(store, world.NOW + timedelta(days=5), tmp_path / "first")
    with store.engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.event == "audit archived"))
    with pytest.raises(AuditBroken):
        verify_audit(store.engine, store.keys)


def test_a_log_that_is_broken_is_not_archived(store: Store, tmp_path: Path) -> None:
    _later(store, 10)
    with store.engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.sequence == 2))
    with pytest.raises(AuditBroken):
        archive_audit(store, world.NOW + timedelta(days=5), tmp_path / "first")
    assert not (tmp_path / "first").exists()


def test_an_archive_is_never_overwritten(store: Store, tmp_path: Path) -> None:
    _later(store, 10)
    file = tmp_path / "first"
    file.write_text("mine")
    with pytest.raises(CommandError, match="exists already and was not changed"):
        archive_audit(store, world.NOW + timedelta(days=5), file)
    assert verify_audit(store.engine, store.keys) == LINES + 1, "nothing was deleted"
