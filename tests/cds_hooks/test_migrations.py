"""Schema versions: an old database keeps its rows, a newer one is refused, workers do not race."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, select, text, update

from cds_hooks import migrations, tables
from cds_hooks.audit_check import verify_audit
from cds_hooks.errors import CiphertextRefused, StoreError, StoreUnavailable
from cds_hooks.feedback import FeedbackItem, store_feedback
from cds_hooks.kept_prediction import finding_from
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.store import Store
from tests.postgresql import Cluster

OLD_DATABASES = Path(__file__).parent / "databases"
# The two keys of the old database: the second half of its rows was written after a rotation.
NEW = "bmV3IGtleSBvZiB0aGUgZml4dHVyZSwgMzIgYnl0ZXM="
OLD = "b2xkIGtleSBvZiB0aGUgZml4dHVyZSwgMzIgYnl0ZXM="
RING = KeyRing([NEW, OLD])
CARDS = ("4e0a3a1e-3283-4575-ab82-028d55fe2719", "c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11")
COMMENT = "Comment of version 1: Größe"
LINES = {1: 5, 2: 6, 3: 7}  # of the audit log after the migration
STEPS = {1: [None], 2: [None, None], 3: ["repeat-lactate", "vte-assessment"]}
every_version = pytest.mark.parametrize("old_version", [1, 2, 3])


@pytest.fixture
def old_version() -> int:
    """Tests that hold for other versions too say so by a parameter."""
    return 1


@pytest.fixture
def old_database(database_url: str, old_version: int) -> str:
    """A database as an older schema version left it."""
    kind = "postgresql" if "postgresql" in database_url else "sqlite"
    script = (OLD_DATABASES / f"version_{old_version}.{kind}.sql").read_text(encoding="utf-8")
    if kind == "sqlite":
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            connection.executescript(script)
        return database_url
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.connection.cursor().execute(script)  # psycopg takes it whole
    engine.dispose()
    return database_url


def _rows(store: Store, table: Any) -> list[dict[str, Any]]:
    with store.engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


@every_version
def test_an_old_database_keeps_its_rows(old_database: str, old_version: int) -> None:
    store = Store(old_database, RING)
    payload = tables.explanations.c.payload
    for number, row in enumerate(_rows(store, tables.explanations)):
        place = tables.place(payload, row["card_uuid"])
        assert RING.decrypt(row["payload"], place) == f"explanation {number}".encode()
    cards = {row["card_uuid"]: row for row in _rows(store, tables.cards)}
    assert set(cards) == set(CARDS)
    assert cards[CARDS[0]]["drivers"] == '["structured/lactate", "note/0/1"]'
    assert cards[CARDS[0]]["created_s"] == datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
    suggestions = _rows(store, tables.suggestions)
    assert [row["card_uuid"] for row in suggestions] == list(CARDS[: len(suggestions)])
    assert [row["step_id"] for row in suggestions] == STEPS[old_version]
    assert len(_rows(store, tables.predictions)) == (4 if old_version == 3 else 0)
    assert len(_rows(store, tables.replays)) == 2
    feedback = {row["outcome"]: row for row in _rows(store, tables.feedback)}
    assert all(row["known_card"] and row["known_suggestions"] for row in feedback.values())
    overridden = feedback["overridden"]
    place = tables.place(tables.feedback.c.comment, overridden["fingerprint"])
    assert RING.decrypt(overridden["comment"], place).decode() == COMMENT
    store.close()


@every_version
def test_what_was_sent_to_the_old_version_is_a_repetition_for_the_new_one(
    old_database: str,
) -> None:
    store = Store(old_database, RING)
    item = FeedbackItem(
        CARDS[1],
        "overridden",
        "2026-11-24T12:01:00Z",
        reason_code="cds-not-applicable",
        reason_system="http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes",
        user_comment=COMMENT,
    )
    receipt = store_feedback(store, "meam-risk", "https://ehr.example", (item,))
    assert (receipt.stored, receipt.repeated) == (0, 1)
    assert not store.first_use("https://ehr.example", "jti-1", 9e9)
    store.close()


def test_the_audit_log_goes_on_and_says_what_was_done(old_database: str) -> None:
    store = Store(old_database, RING)
    assert verify_audit(store.engine, store.keys) == 5
    *_, line = sorted(_rows(store, tables.audit), key=lambda row: row["sequence"])
    assert line["event"] == "database migrated"
    assert line["facts"] == (
        '{"explanations":2,"feedback":2,"from":1,"tenantsOfCards":0,"tenantsOfPredictions":0,"to":4,'
        '"unreadableComments":0,"unreadableExplanations":0}'
    )
    store.close()


@pytest.mark.parametrize("old_version", [2, 3])
def test_a_sealed_log_goes_on_under_its_seal(old_database: str, old_version: int) -> None:
    store = Store(old_database, RING)
    lines = sorted(_rows(store, tables.audit), key=lambda row: row["sequence"])
    assert verify_audit(store.engine, store.keys) == len(lines) == LINES[old_version]
    found = {2: (0, 0), 3: (2, 3)}[old_version]
    counts = '"tenantsOfCards":{},"tenantsOfPredictions":{}'.format(*found)
    facts = f'{{"from":{old_version},{counts},"to":4}}'
    assert (lines[-1]["event"], lines[-1]["facts"]) == ("database migrated", facts)
    store.close()


@pytest.mark.parametrize("old_version", [3])
def test_the_audit_log_knows_the_tenants_of_hooks_answered_before(old_database: str) -> None:
    store = Store(old_database, RING)
    assert {row["card_uuid"]: row["tenant"] for row in _rows(store, tables.cards)} == dict(
        zip(CARDS, ("north", "south"), strict=True)
    )
    predictions = sorted(_rows(store, tables.predictions), key=lambda row: row["prediction_uuid"])
    assert [row["tenant"] for row in predictions] == ["north", "south", "south", ""], "no line: no"
    assert {row["tenant"] for row in _rows(store, tables.feedback)} == {""}
    for row in predictions:
        place = tables.place(tables.predictions.c.payload, row["prediction_uuid"])
        assert finding_from(RING.decrypt(row["payload"], place)).tasks
    store.close()


def _with_lines(database: str, *facts: dict[str, Any]) -> None:
    """Write answered hooks into the audit log of an old database, past its chain."""
    engine = create_engine(database)
    columns = "sequence, at, event, facts, key_id, previous, signature"
    values = ":n, '2026-11-24T12:00:00+00:00', 'hook answered', :facts, 'k', 'p', 's'"
    with engine.begin() as connection:
        for n, line in enumerate(facts):
            row = {"n": 100 + n, "facts": json.dumps(line, separators=(",", ":"))}
            connection.execute(text(f"INSERT INTO audit ({columns}) VALUES ({values})"), row)
    engine.dispose()


@pytest.mark.parametrize("old_version", [3])
def test_a_tenant_that_is_not_certain_or_no_text_stays_empty(old_database: str) -> None:
    hook = {
        "service": "meam-risk",
        "issuer": "https://ehr.example",
        "hookInstance": "5d0c8e1f-2f0b-4a6c-9c35-6b1e5f6a7b20",
        "card": None,
    }
    last = {**hook, "hookInstance": "9e8d7c6b-5a49-4838-9271-60504f3e2d1c"}
    nul, number = {**last, "tenant": "a\0b"}, {**last, "tenant": 7}
    _with_lines(old_database, {**hook, "tenant": "north"}, nul, number, {"n": 1})
    store = Store(old_database, RING)
    predictions = sorted(_rows(store, tables.predictions), key=lambda row: row["prediction_uuid"])
    assert [row["tenant"] for row in predictions] == ["north", "south", "", ""]
    store.close()


@every_version
def test_patients_of_the_current_key_are_still_recognised(old_database: str) -> None:
    store = Store(old_database, RING)
    cards = {row["card_uuid"]: row["patient"] for row in _rows(store, tables.cards)}
    assert store.patient_fingerprint("pat-1") == cards[CARDS[1]]
    store.close()
    again = Store(old_database, KeyRing([new_key(), NEW, OLD]))
    assert again.patient_fingerprint("pat-1") == cards[CARDS[1]], "and after the next rotation"
    again.close()


def test_what_no_key_reads_is_left_counted_and_refused(old_database: str) -> None:
    store = Store(old_database, KeyRing([NEW]))
    (line,) = [row for row in _rows(store, tables.audit) if row["event"] == "database migrated"]
    assert '"unreadableExplanations":1' in line["facts"]
    with store.engine.begin() as connection:
        connection.execute(update(tables.explanations).values(expires_s=9e9))
    with pytest.raises(CiphertextRefused, match="not a ciphertext of this program"):
        store.load_explanation(CARDS[0])
    store.close()


def _columns(url: str) -> dict[str, Any]:
    engine = create_engine(url)
    seen = inspect(engine)
    found = {
        table: (
            {
                column["name"]: (str(column["type"]), column["nullable"])
                for column in seen.get_columns(table)
            },
            seen.get_pk_constraint(table)["constrained_columns"],
            sorted(str(index["name"]) for index in seen.get_indexes(table)),
        )
        for table in seen.get_table_names()
    }
    engine.dispose()
    return found


@every_version
def test_the_way_from_an_old_version_leads_to_what_is_created_today(
    old_database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    Store(old_database, RING).close()
    if "sqlite" in old_database:
        fresh = f"sqlite:///{tmp_path / 'fresh.sqlite'}"
        Store(fresh, RING).close()
        assert _columns(old_database) == _columns(fresh)
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    with cluster.schema() as name:
        Store(cluster.url(name), RING).close()
        assert _columns(old_database) == _columns(cluster.url(name))


@every_version
def test_a_step_that_fails_leaves_the_database_as_it_was(
    old_database: str, old_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> dict[str, int]:
        raise StoreError("the step failed")

    before = _columns(old_database)
    steps = (*migrations._STEPS, migrations.Step(5, fails))
    with monkeypatch.context() as patched, pytest.raises(StoreError, match="the step failed"):
        patched.setattr(migrations, "_STEPS", steps)
        Store(old_database, RING)
    assert _columns(old_database) == before
    store = Store(old_database, RING)
    assert verify_audit(store.engine, store.keys) == LINES[old_version]
    store.close()


def _at_once(open_store: Callable[[], Store]) -> list[Store | Exception]:
    """Four workers that start together."""
    results: list[Store | Exception] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        try:
            results.append(open_store())
        except Exception as exc:  # noqa: BLE001  # each is looked at by the test
            results.append(exc)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _one_chain(stores: list[Store | Exception], lines: int) -> None:
    assert [type(store) for store in stores] == [Store] * 4
    (first, *_) = stores
    assert isinstance(first, Store)
    assert verify_audit(first.engine, first.keys) == lines
    assert len({one.patient_fingerprint("p") for one in stores if isinstance(one, Store)}) == 1
    for store in stores:
        if isinstance(store, Store):
            store.close()


@every_version
def test_workers_that_start_at_once_migrate_once(old_database: str, old_version: int) -> None:
    _one_chain(_at_once(lambda: Store(old_database, RING)), lines=LINES[old_version])


def test_workers_that_start_at_once_create_once(database_url: str) -> None:
    _one_chain(_at_once(lambda: Store(database_url, RING)), lines=1)


def test_a_newer_database_is_refused_and_left_alone(database_url: str) -> None:
    store = Store(database_url, RING)
    with store.engine.begin() as connection:
        connection.execute(update(tables.schema).values(version=99))
    message = "has schema version 99, and this program knows versions up to 4: a newer program"
    with pytest.raises(StoreError, match=message):
        Store(database_url, RING)
    with store.engine.connect() as connection:
        assert connection.execute(select(tables.schema.c.version)).scalar_one() == 99
    store.close()


def test_a_service_account_needs_no_right_to_change_tables(postgres: Cluster) -> None:
    with postgres.schema() as name:
        Store(postgres.url(name), RING).close()
        for statement in (
            "DROP ROLE IF EXISTS service",
            "CREATE ROLE service LOGIN",
            f"GRANT USAGE ON SCHEMA {name} TO service",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO service",
        ):
            postgres.run(statement)
        store = Store(postgres.url(name, role="service"), RING)
        assert store.first_use("iss", "jti", 9e9)
        store.record_answer([], [], {})
        with (
            pytest.raises(Exception, match="must be owner of table audit"),
            store.engine.begin() as connection,
        ):
            connection.execute(text("DROP TABLE audit"))
        store.close()
        postgres.run(f"REVOKE INSERT ON {name}.replays FROM service")
        store = Store(postgres.url(name, role="service"), RING)
        with pytest.raises(StoreUnavailable, match=r"InsufficientPrivilege \(42501\)"):
            store.first_use("iss", "jti-2", 9e9)
        store.close()
        postgres.run("DROP OWNED BY service")
