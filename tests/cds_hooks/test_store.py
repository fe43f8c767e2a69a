"""The store, on SQLite and PostgreSQL: encryption at rest, expiry, JWT ids, links."""

from __future__ import annotations

import dataclasses
import json
import math
import stat
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

from cds_hooks import tables
from cds_hooks.audit_check import verify_audit
from cds_hooks.errors import (
    CiphertextRefused,
    ExplanationNotFound,
    ExplanationUnreadable,
    KeyLost,
    LinkExpired,
    LinkInvalid,
    SettingsError,
)
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.links import ExplanationLinks
from cds_hooks.store import Store
from cds_hooks.stored_explanation import from_bytes, thinned, to_bytes
from model.record import DeviceSeries
from tests.cds_hooks import world
from tests.cds_hooks.stored_things import KEY, SECRET_WORDS, a_card, an_explanation

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url, KeyRing([KEY]), clock=lambda: world.NOW)
    yield made
    made.close()


def test_what_is_stored_comes_back(store: Store) -> None:
    stored = an_explanation()
    store.save_explanation(stored)
    back = store.load_explanation(stored.card_uuid)
    assert back.prediction == stored.prediction
    assert back.explanation == stored.explanation
    assert back.record.notes == stored.record.notes
    assert back.record.measurements == stored.record.measurements
    assert back.record.report == stored.record.report
    (series,), (original,) = back.record.device_series, stored.record.device_series
    np.testing.assert_array_equal(series.values, original.values)
    np.testing.assert_array_equal(series.times_s, original.times_s)
    assert series.values.dtype == np.float32


def test_nothing_is_stored_in_clear(store: Store) -> None:
    stored = an_explanation()
    assert SECRET_WORDS in str(stored.record.notes)
    store.record_answer([stored], [a_card(stored.card_uuid, patient_id="patient-4711")], {})
    with store.engine.connect() as connection:
        everything = [
            value
            for table in tables.metadata.sorted_tables
            for row in connection.execute(select(table))
            for value in row
        ]
    kept = b"|".join(v if isinstance(v, bytes) else str(v).encode() for v in everything)
    assert stored.card_uuid.encode() in kept
    for secret in (SECRET_WORDS, "patient-4711", "Observation/", "lactate"):
        assert secret.encode() not in kept
        assert zlib.compress(secret.encode()) not in kept


def test_files_of_sqlite_are_for_their_owner_only(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'new' / 's.sqlite'}", KeyRing([KEY]))
    files = list((tmp_path / "new").iterdir())
    assert {file.name for file in files} == {"s.sqlite", "s.sqlite-wal", "s.sqlite-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    store.close()


def test_what_is_acknowledged_is_on_the_disk(store: Store) -> None:
    with store.engine.connect() as connection:
        if store.engine.dialect.name == "sqlite":
            asked = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "secure_delete")
            ]
            assert asked == ["wal", 2, 1], "synchronous 2 is FULL: fsync at each commit"
        else:
            setting = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
            assert setting == "on"


def test_a_server_that_does_not_wait_for_the_disk_is_made_to(database_url: str) -> None:
    if "postgresql" not in database_url:
        pytest.skip("SQLite has no such setting on a server")
    weak = Store(f"{database_url}%20-csynchronous_commit%3Doff", KeyRing([KEY]))
    with weak.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    weak.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not the address of a database"),
        ("mysql://db/meam", "mysql is not supported"),
    ],
)
def test_another_kind_of_database_is_refused(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Store(url, KeyRing([KEY]))


def test_an_unknown_or_expired_explanation_is_not_found(store: Store) -> None:
    old = an_explanation(life_h=-1)
    store.save_explanation(old)
    for card_uuid in (old.card_uuid, str(uuid.uuid4())):
        with pytest.raises(ExplanationNotFound, match=card_uuid):
            store.load_explanation(card_uuid)


def test_an_expiry_that_was_changed_in_the_database_does_not_count(store: Store) -> None:
    old = an_explanation(life_h=-1)
    store.save_explanation(old)
    with store.engine.begin() as connection:
        connection.execute(update(tables.explanations).values(expires_s=9e9))
    with pytest.raises(ExplanationNotFound):
        store.load_explanation(old.card_uuid)


def test_a_lost_key_is_named_and_nothing_of_the_content(store: Store) -> None:
    stored = an_explanation()
    store.save_explanation(stored)
    (lost,) = store.keys.key_ids
    store.keys = KeyRing([new_key()])
    with pytest.raises(KeyLost, match=f"{stored.card_uuid} is encrypted with key {lost}, which"):
        store.load_explanation(stored.card_uuid)


def test_a_service_that_lost_its_keys_does_not_start(store: Store, database_url: str) -> None:
    other = KeyRing([new_key()])
    with pytest.raises(KeyLost, match=f"key {store.keys.key_ids[0]}, which is not in the key ring"):
        Store(database_url, other)


def test_an_old_key_in_the_ring_still_reads(store: Store) -> None:
    stored = an_explanation()
    store.save_explanation(stored)
    store.keys = KeyRing([new_key(), KEY])
    assert store.load_explanation(stored.card_uuid).card_uuid == stored.card_uuid


def test_a_ciphertext_of_another_row_is_refused(store: Store) -> None:
    mine, yours = an_explanation(), an_explanation()
    payload = tables.explanations.c.payload
    for one in (mine, yours):
        store.save_explanation(one)
    with store.engine.begin() as connection:
        foreign = connection.execute(
            select(payload).where(tables.explanations.c.card_uuid == yours.card_uuid)
        ).scalar_one()
        connection.execute(
            update(tables.explanations)
            .where(tables.explanations.c.card_uuid == mine.card_uuid)
            .values(payload=foreign)
        )
    with pytest.raises(CiphertextRefused, match="or belong to another row"):
        store.load_explanation(mine.card_uuid)
    assert store.load_explanation(yours.card_uuid).card_uuid == yours.card_uuid


def test_a_patient_is_recognised_after_a_rotation(store: Store, database_url: str) -> None:
    before = store.patient_fingerprint("pat-1")
    rotated = Store(database_url, KeyRing([new_key(), KEY]))
    assert rotated.patient_fingerprint("pat-1") == before
    assert rotated.patient_fingerprint("pat-2") != before
    assert rotated.fingerprint("a", b"x") != rotated.fingerprint("b", b"x")
    rotated.close()


def test_damaged_or_foreign_data_are_unreadable() -> None:
    whole = to_bytes(an_explanation())
    for data in (b"", whole[:50], b"x" + whole):
        with pytest.raises(ExplanationUnreadable):
            from_bytes(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"logit": math.nan},
        {"empty_logit": math.inf},
        {"efficiency_gap_logit": np.float64(-math.inf)},
        {"logit": np.float64(0.25)},
        {"unreliable_reason": "half a pair: \ud800"},
        {"unreliable_reason": "é < 3 µg"},
    ],
    ids=str,
)
def test_numbers_and_texts_that_json_does_not_know_come_back(changes: dict[str, Any]) -> None:
    stored = an_explanation()
    assert stored.explanation is not None
    explanation = dataclasses.replace(stored.explanation, **changes)
    back = from_bytes(to_bytes(dataclasses.replace(stored, explanation=explanation))).explanation
    assert repr(back) == repr(
        dataclasses.replace(explanation, **{n: _plain(v) for n, v in changes.items()})
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def test_another_format_is_said() -> None:
    data = zlib.compress(json.dumps({"format": 99, "value": None}).encode())
    with pytest.raises(ExplanationUnreadable, match="format 99, we read 1"):
        from_bytes(data)


def test_only_our_classes_are_made() -> None:
    value = {"_": "Path", "x": 1}
    data = zlib.compress(json.dumps({"format": 1, "value": value}).encode())
    with pytest.raises(ExplanationUnreadable):
        from_bytes(data)


def test_thinning_keeps_every_peak() -> None:
    n = 86_399
    values = np.random.default_rng(0).normal(80, 3, n).astype(np.float32)
    values[12_345], values[n - 1] = 300, -5
    series = DeviceSeries(
        "heart_rate",
        "/min",
        np.arange(n, dtype=np.float64),
        values,
        ("Observation/1",),
        np.zeros(n, np.int32),
    )
    thin = thinned(series)
    assert len(thin.values) <= 2000
    assert thin.values.max() == 300
    assert thin.values[-1] == -5
    assert (np.diff(thin.times_s) > 0).all()
    np.testing.assert_array_equal(thin.values, values[thin.times_s.astype(int)])


def test_an_answer_is_recorded_whole_or_not_at_all(store: Store) -> None:
    stored = an_explanation()
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        store.record_answer([stored, stored], [a_card(stored.card_uuid)], {})
    with pytest.raises(ExplanationNotFound):
        store.load_explanation(stored.card_uuid)
    assert verify_audit(store.engine, store.keys) == 1, "the line about the new database"


def test_r75_expired_jwt_ids_are_forgotten(store: Store) -> None:
    now = [world.NOW]
    store.clock = lambda: now[0]
    expires_s = world.NOW.timestamp() + 300
    assert store.first_use("iss", "j-1", expires_s)
    now[0] += timedelta(seconds=299)
    assert not store.first_use("iss", "j-1", expires_s)
    now[0] += timedelta(seconds=100)
    assert store.first_use("iss", "j-2", expires_s + 300)
    with store.engine.connect() as connection:
        assert len(connection.execute(select(tables.replays)).all()) == 1


_USE_ALL = """
import os, sys
from cds_hooks.keys import KeyRing
from cds_hooks.store import Store

start, go = os.pipe()
children = []
for _ in range(3):
    if child := os.fork():
        children.append(child)
        continue
    os.close(go)
    store = Store(sys.argv[1], KeyRing([sys.argv[2]]))
    os.read(start, 1)  # returns when the parent closes its end, to all at once
    firsts = [n for n in range(20) if store.first_use("iss", f"jti-{n}", 9e9)]
    os.write(1, "".join(f"{n}\\n" for n in firsts).encode())
    os._exit(0)
os.close(go)
sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
"""


def test_r75_of_many_processes_one_is_first(store: Store, database_url: str) -> None:
    command = [sys.executable, "-c", _USE_ALL, database_url, KEY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert sorted(map(int, done.stdout.split())) == list(range(20)), "each id passed once"


LINKS = ExplanationLinks("https://cds.example.org/", KeyRing([KEY]), timedelta(hours=1))
CARD = "4e0a3a1e-3283-4575-ab82-028d55fe2719"


def test_a_link_leads_back_to_its_card() -> None:
    assert LINKS.url(CARD).startswith("https://cds.example.org/explanations/")
    assert LINKS.card_uuid(LINKS.token(CARD)) == CARD


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token.replace("4e0a", "5e0a"),
        lambda token: CARD,
        lambda token: "",
        lambda token: token + "ä",
    ],
)
def test_a_changed_link_is_invalid(change: Callable[[str], str]) -> None:
    with pytest.raises(LinkInvalid):
        LINKS.card_uuid(change(LINKS.token(CARD)))


def test_a_link_of_another_key_is_invalid() -> None:
    other = ExplanationLinks("https://x", KeyRing([new_key()]), timedelta(hours=1))
    with pytest.raises(LinkInvalid):
        LINKS.card_uuid(other.token(CARD))


def test_a_link_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token = LINKS.token(CARD)
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + 3700)
    with pytest.raises(LinkExpired):
        LINKS.card_uuid(token)


def test_links_outlive_the_rotation_of_keys() -> None:
    rotated = ExplanationLinks("https://x", KeyRing([new_key(), KEY]), timedelta(hours=1))
    assert rotated.card_uuid(LINKS.token(CARD)) == CARD


def test_a_stored_explanation_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        an_explanation().card_uuid = "x"  # type: ignore[misc]
