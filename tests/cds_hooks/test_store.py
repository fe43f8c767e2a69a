"""The store: encryption at rest, expiry, key rotation, the audit chain, links."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from cds_hooks import tables
from cds_hooks.audit import AuditHead, append_audit, verify_audit
from cds_hooks.errors import (
    AuditBroken,
    ExplanationNotFound,
    ExplanationUnreadable,
    KeyLost,
    LinkExpired,
    LinkInvalid,
    SettingsError,
    StoreError,
)
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.links import ExplanationLinks
from cds_hooks.store import Store, StoredCard
from cds_hooks.stored_explanation import StoredExplanation, from_bytes, thinned, to_bytes
from cds_hooks.warm_up import warm_up_record
from model.record import DeviceSeries
from tests.cds_hooks import world

KEY = new_key()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 's.sqlite'}", KeyRing([KEY]), clock=lambda: world.NOW)
    yield made
    made.close()


def _stored(life_h: float = 1.0) -> StoredExplanation:
    record = warm_up_record()
    prediction, explanation = world.LinearPredictor()(record)
    return StoredExplanation(
        card_uuid=str(uuid.uuid4()),
        service_id="meam-risk",
        hook_instance="h",
        created_at=world.NOW,
        expires_at=world.NOW + timedelta(hours=life_h),
        record=record,
        prediction=prediction,
        explanation=explanation,
    )


def test_what_is_stored_comes_back(store: Store) -> None:
    stored = _stored()
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


def test_nothing_is_stored_in_clear(store: Store, tmp_path: Path) -> None:
    store.save_explanation(_stored())
    assert all(b"comfortabl" not in file.read_bytes() for file in tmp_path.iterdir())


def test_an_unknown_or_expired_explanation_is_not_found(store: Store) -> None:
    old = _stored(life_h=-1)
    store.save_explanation(old)
    for card_uuid in (old.card_uuid, str(uuid.uuid4())):
        with pytest.raises(ExplanationNotFound, match=card_uuid):
            store.load_explanation(card_uuid)


def test_a_lost_key_is_a_clear_error(store: Store) -> None:
    stored = _stored()
    store.save_explanation(stored)
    store.keys = KeyRing([new_key()])
    with pytest.raises(KeyLost, match="its key is not in the key ring"):
        store.load_explanation(stored.card_uuid)


def test_an_old_key_in_the_ring_still_reads(store: Store) -> None:
    stored = _stored()
    store.save_explanation(stored)
    store.keys = KeyRing([new_key(), KEY])
    assert store.load_explanation(stored.card_uuid).card_uuid == stored.card_uuid


def test_rotation_encrypts_with_the_new_key() -> None:
    old, new = KeyRing([KEY]), new_key()
    rotated = KeyRing([new, KEY]).rotate(old.encrypt(b"text"))
    assert KeyRing([new]).decrypt(rotated) == b"text"
    with pytest.raises(KeyLost):
        old.decrypt(rotated)


@pytest.mark.parametrize(
    ("keys", "message"),
    [((), "empty"), (("a b",), "not URL-safe base64"), (("YWJj",), "3 bytes, expected 32")],
)
def test_keys_that_are_none_are_refused(keys: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        KeyRing(keys)


def test_damaged_or_foreign_data_are_unreadable() -> None:
    whole = to_bytes(_stored())
    for data in (b"", whole[:50], b"x" + whole):
        with pytest.raises(ExplanationUnreadable):
            from_bytes(data)


def test_another_format_is_said() -> None:
    import zlib

    data = zlib.compress(json.dumps({"format": 99, "value": None}).encode())
    with pytest.raises(ExplanationUnreadable, match="format 99, we read 1"):
        from_bytes(data)


def test_only_our_classes_are_made() -> None:
    import zlib

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


def test_purge_deletes_what_is_over(store: Store) -> None:
    old, new = _stored(life_h=-1), _stored()
    cards = [_card(one.card_uuid) for one in (old, new)]
    store.record_answer([old, new], cards, {})
    assert store.purge(timedelta(days=1))["explanations"] == 1
    assert store.load_explanation(new.card_uuid)
    store.clock = lambda: world.NOW + timedelta(days=2)
    counts = store.purge(timedelta(days=1))
    assert (counts["explanations"], counts["cards"], counts["suggestions"]) == (1, 2, 2)


def _card(card_uuid: str) -> StoredCard:
    return StoredCard(
        card_uuid,
        "meam-risk",
        "h",
        "open",
        "pat-1",
        "info",
        "m 1",
        suggestion_uuids=(str(uuid.uuid4()),),
    )


def test_an_answer_is_recorded_whole_or_not_at_all(store: Store) -> None:
    stored = _stored()
    with pytest.raises(Exception, match="UNIQUE"):
        store.record_answer([stored, stored], [_card(stored.card_uuid)], {})
    with pytest.raises(ExplanationNotFound):
        store.load_explanation(stored.card_uuid)
    assert verify_audit(store.engine, store.keys) == 0


def test_a_database_of_another_version_is_refused(store: Store, tmp_path: Path) -> None:
    with store.engine.begin() as connection:
        connection.execute(update(tables.schema).values(version=99))
    with pytest.raises(StoreError, match="schema version 99, we know 1"):
        Store(f"sqlite:///{tmp_path / 's.sqlite'}", KeyRing([KEY]))


def _lines(store: Store, count: int) -> AuditHead:
    for n in range(count):
        with tables.writing(store.engine) as connection:
            head = append_audit(
                connection, store.keys, at=world.NOW, event="hook answered", facts={"n": n}
            )
    return head


def test_the_audit_chain_verifies(store: Store) -> None:
    head = _lines(store, 5)
    assert verify_audit(store.engine, store.keys) == 5
    assert verify_audit(store.engine, store.keys, witness=head) == 5


ATTACKS = [
    ("edited", "UPDATE audit SET facts = '{\"n\":9}' WHERE sequence = 3", 3),
    ("time changed", "UPDATE audit SET at = '2000-01-01' WHERE sequence = 2", 2),
    ("removed", "DELETE FROM audit WHERE sequence = 3", 3),
    ("first removed", "DELETE FROM audit WHERE sequence = 1", 1),
    (
        "reordered",
        "UPDATE audit SET sequence = 9 WHERE sequence = 3;"
        "UPDATE audit SET sequence = 3 WHERE sequence = 4;"
        "UPDATE audit SET sequence = 4 WHERE sequence = 9",
        3,
    ),
    (
        "inserted",
        "INSERT INTO audit SELECT 6, at, event, facts, key_id, signature, previous"
        " FROM audit WHERE sequence = 5",
        6,
    ),
]


@pytest.mark.parametrize(("sql", "first"), [a[1:] for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_a_changed_audit_log_is_found(store: Store, tmp_path: Path, sql: str, first: int) -> None:
    _lines(store, 5)
    with sqlite3.connect(tmp_path / "s.sqlite") as connection:
        connection.executescript(sql)
    with pytest.raises(AuditBroken) as caught:
        verify_audit(store.engine, store.keys)
    assert caught.value.sequence == first


def test_a_cut_audit_log_is_found_with_a_witness(store: Store, tmp_path: Path) -> None:
    head = _lines(store, 5)
    with sqlite3.connect(tmp_path / "s.sqlite") as connection:
        connection.execute("DELETE FROM audit WHERE sequence > 3")
    assert verify_audit(store.engine, store.keys) == 3
    with pytest.raises(AuditBroken, match="line 5 was written once and is gone"):
        verify_audit(store.engine, store.keys, witness=head)


def test_an_audit_log_signed_anew_needs_the_key(store: Store) -> None:
    _lines(store, 2)
    with pytest.raises(KeyLost):
        verify_audit(store.engine, KeyRing([new_key()]))
    assert verify_audit(store.engine, KeyRing([new_key(), KEY])) == 2


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    import threading

    keys, url = KeyRing([KEY]), f"sqlite:///{tmp_path / 's.sqlite'}"
    stores = [Store(url, keys) for _ in range(3)]
    threads = [threading.Thread(target=_lines, args=(one, 10)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify_audit(stores[0].engine, keys) == 30
    for one in stores:
        one.close()


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
        _stored().card_uuid = "x"  # type: ignore[misc]
