"""Rotation, on SQLite and PostgreSQL: everything comes under the new key, whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from cds_hooks import tables
from cds_hooks.audit_check import verify_audit
from cds_hooks.database import writing
from cds_hooks.feedback import store_feedback
from cds_hooks.kept_prediction import finding_from
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.re_encryption import keys_in_use, left_to_encrypt, re_encrypt, verifiable_key_ids
from cds_hooks.store import Store
from tests.cds_hooks import world
from tests.cds_hooks.stored_things import (
    COMMENT,
    KEY,
    a_card,
    a_prediction,
    an_explanation,
    an_override,
)

ROOT = Path(__file__).parent.parent.parent
NEW = new_key()
FINDING = "finding-1"


@pytest.fixture
def cards(database_url: str) -> list[str]:
    """Four answered hooks with feedback, and one finding, under the old key."""
    store = Store(database_url, KeyRing([KEY]), clock=lambda: world.NOW)
    stored = [an_explanation() for _ in range(4)]
    kept = [a_prediction(0.37) for _ in stored]
    store.record_answer(stored, [a_card(one.card_uuid) for one in stored], {}, kept)
    items = tuple(an_override(one.card_uuid) for one in stored)
    store_feedback(store, "meam-risk", "open", items)
    place = tables.place(tables.shown_findings.c.payload, FINDING)
    with writing(store.engine) as connection:
        connection.execute(
            insert(tables.shown_findings).values(
                fingerprint=FINDING, shown_s=0.0, payload=store.keys.encrypt(b"[]", place)
            )
        )
    store.close()
    return [one.card_uuid for one in stored]


@pytest.fixture
def rotated(cards: list[str], database_url: str) -> Iterator[Store]:
    store = Store(database_url, KeyRing([NEW, KEY]), clock=lambda: world.NOW)
    yield store
    store.close()


def _require_readable(database_url: str, keys: KeyRing, cards: list[str]) -> None:
    store = Store(database_url, keys, clock=lambda: world.NOW)
    for card in cards:
        assert store.load_explanation(card).card_uuid == card
    with store.engine.connect() as connection:
        for row in connection.execute(select(tables.predictions)):
            place = tables.place(tables.predictions.c.payload, row.prediction_uuid)
            (task,) = finding_from(store.keys.decrypt(row.payload, place)).tasks
            assert task.probability == 0.37
        for row in connection.execute(select(tables.feedback)):
            place = tables.place(tables.feedback.c.comment, row.fingerprint)
            assert keys.decrypt(row.comment, place).decode() == COMMENT
        (finding,) = connection.execute(select(tables.shown_findings)).all()
        place = tables.place(tables.shown_findings.c.payload, FINDING)
        assert keys.decrypt(finding.payload, place) == b"[]"
    verify_audit(store.engine, store.keys)
    store.close()


def test_afterwards_the_new_key_is_enough(
    rotated: Store, cards: list[str], database_url: str
) -> None:
    patient = rotated.patient_fingerprint("pat-1")
    left = left_to_encrypt(rotated)
    assert left == 4 + 4 + 4 + 1 + 3, "explanations, predictions, comments, finding, secrets"
    seen: list[int] = []
    done = re_encrypt(rotated, batch=3, progress=seen.append)
    assert (done.rows.total(), sum(seen), done.unreadable) == (left, left, [])
    assert left_to_encrypt(rotated) == 0
    assert not re_encrypt(rotated).rows, "a second run has nothing to do"
    _require_readable(database_url, KeyRing([NEW]), cards)
    alone = Store(database_url, KeyRing([NEW]))
    assert alone.patient_fingerprint("pat-1") == patient
    alone.close()


def test_the_keys_in_use_are_counted(rotated: Store) -> None:
    new, old = rotated.keys.key_ids
    before = keys_in_use(rotated)
    assert before[old] == {
        "explanations.payload": 4,
        "predictions.payload": 4,
        "feedback.comment": 4,
        "shown_findings.payload": 1,
        "lasting_secrets.secret": 3,
        "audit": 3,
    }
    assert before[new] == {"lasting_secrets.secret": 1}
    re_encrypt(rotated)
    after = keys_in_use(rotated)
    assert after[old] == {"audit": 3}, "what the old key signed can be verified without it"
    assert verifiable_key_ids(rotated) == {new, old}


def test_a_run_that_is_stopped_goes_on(rotated: Store, cards: list[str], database_url: str) -> None:
    left = left_to_encrypt(rotated)

    def stop(_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        re_encrypt(rotated, batch=2, progress=stop)
    assert left_to_encrypt(rotated) == left - 2
    _require_readable(database_url, rotated.keys, cards)
    assert re_encrypt(rotated).rows.total() == left - 2
    _require_readable(database_url, KeyRing([NEW]), cards)


_KILLED = """
import os, signal, sys
from cds_hooks.keys import KeyRing
from cds_hooks.re_encryption import re_encrypt
from cds_hooks.store import Store

done = 0
def progress(rows):
    global done
    done += rows
    if done >= 3:
        os.kill(os.getpid(), signal.SIGKILL)

re_encrypt(Store(sys.argv[1], KeyRing(sys.argv[2:])), batch=1, progress=progress)
"""


def test_a_run_that_is_killed_goes_on(rotated: Store, cards: list[str], database_url: str) -> None:
    left = left_to_encrypt(rotated)
    command = [sys.executable, "-c", _KILLED, database_url, NEW, KEY]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode == -9
    assert left_to_encrypt(rotated) == left - 3
    _require_readable(database_url, rotated.keys, cards)
    re_encrypt(rotated)
    _require_readable(database_url, KeyRing([NEW]), cards)


def test_rows_that_cannot_be_read_are_named_and_left(rotated: Store, cards: list[str]) -> None:
    lost, changed = cards[:2]
    table = tables.explanations
    place = tables.place(table.c.payload, lost)
    foreign = KeyRing([new_key()])
    with writing(rotated.engine) as connection:
        for card, payload in (
            (lost, foreign.encrypt(b"x", place)),
            (changed, KeyRing([KEY]).encrypt(b"x", "somewhere else")),
        ):
            connection.execute(
                update(table).where(table.c.card_uuid == card).values(payload=payload)
            )
    done = re_encrypt(rotated, batch=1)
    assert len(done.unreadable) == 2
    said = "; ".join(done.unreadable)
    assert f"{lost} is encrypted with key {foreign.key_ids[0]}, which is not in the key" in said
    assert f"{changed}: the stored data were changed" in said
    assert left_to_encrypt(rotated) == 2
    assert keys_in_use(rotated)[foreign.key_ids[0]] == {"explanations.payload": 1}
