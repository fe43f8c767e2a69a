"""The purge, on SQLite and PostgreSQL: what is over its time goes, in batches, and is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from cds_hooks import tables
from cds_hooks.audit_check import verify_audit
from cds_hooks.database import writing
from cds_hooks.errors import ExplanationNotFound
from cds_hooks.feedback import store_feedback
from cds_hooks.keys import KeyRing
from cds_hooks.retention import overdue, purge
from cds_hooks.store import Store
from tests.cds_hooks import world
from tests.cds_hooks.stored_things import KEY, a_card, a_prediction, an_explanation, an_override

DAY = timedelta(days=1)
KINDS = ("explanations", "replays", "findings", "suggestions", "cards", "predictions", "feedback")
NOTHING = dict.fromkeys(KINDS, 0)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url, KeyRing([KEY]), clock=lambda: world.NOW)
    yield made
    made.close()


def _answer(store: Store, life_h: float = 1.0) -> str:
    """One answered hook with feedback; returns the card's uuid."""
    stored = an_explanation(life_h)
    store.record_answer([stored], [a_card(stored.card_uuid)], {}, [a_prediction()])
    store_feedback(store, "meam-risk", "open", (an_override(stored.card_uuid),))
    return stored.card_uuid


def _at(store: Store, days: float) -> None:
    store.clock = lambda: world.NOW + timedelta(days=days)


def test_explanations_go_when_they_expire_and_cards_after_their_time(store: Store) -> None:
    old, new = _answer(store, life_h=-1), _answer(store)
    assert purge(store, DAY) == NOTHING | {"explanations": 1}
    assert store.load_explanation(new).card_uuid == new
    with pytest.raises(ExplanationNotFound):
        store.load_explanation(old)
    _at(store, 2)
    everything = {
        "explanations": 1,
        **dict.fromkeys(("suggestions", "cards", "predictions", "feedback"), 2),
    }
    assert purge(store, DAY) == NOTHING | everything
    assert purge(store, DAY) == NOTHING


def test_feedback_counts_from_its_own_arrival(store: Store) -> None:
    card = _answer(store)
    _at(store, 2)
    store_feedback(store, "meam-risk", "open", (an_override(card, user_comment="late"),))
    assert purge(store, DAY)["feedback"] == 1
    with store.engine.connect() as connection:
        (left,) = connection.execute(select(tables.feedback)).all()
    assert left.received_s == store.clock().timestamp()


def test_findings_of_the_cool_down_go_when_it_is_over(store: Store) -> None:
    for n, hours in enumerate((1, 5)):
        shown_s = (world.NOW - timedelta(hours=hours)).timestamp()
        with writing(store.engine) as connection:
            connection.execute(
                insert(tables.shown_findings).values(
                    fingerprint=str(n), shown_s=shown_s, payload=b""
                )
            )
    assert purge(store, DAY, timedelta(hours=4))["findings"] == 1


def test_a_dry_run_says_what_a_purge_would_do_and_does_nothing(store: Store) -> None:
    _answer(store, life_h=-1)
    before = verify_audit(store.engine, store.keys)
    due = overdue(store, DAY)
    assert due == overdue(store, DAY) == NOTHING | {"explanations": 1}
    assert verify_audit(store.engine, store.keys) == before
    assert purge(store, DAY) == due


def test_each_batch_is_in_the_audit_log(store: Store) -> None:
    for n in range(5):
        store.first_use("iss", str(n), world.NOW.timestamp() - 1)
    seen: list[int] = []
    assert purge(store, DAY, batch=2, progress=seen.append)["replays"] == 5
    assert seen == [2, 2, 1]
    with store.engine.connect() as connection:
        lines = connection.execute(select(tables.audit).order_by(tables.audit.c.sequence)).all()
    batches = [json.loads(line.facts) for line in lines if line.event == "purge batch"]
    assert batches == [{"deleted": "replays", "rows": rows} for rows in (2, 2, 1)]
    assert json.loads(lines[-1].facts) == NOTHING | {"replays": 5}
    assert verify_audit(store.engine, store.keys) == len(lines)


def test_a_purge_that_is_stopped_keeps_whole_batches_and_goes_on(store: Store) -> None:
    for n in range(5):
        store.first_use("iss", str(n), world.NOW.timestamp() - 1)

    def stop(_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(store, DAY, batch=2, progress=stop)
    verify_audit(store.engine, store.keys)
    assert purge(store, DAY)["replays"] == 3


def test_what_was_deleted_is_in_no_file_of_sqlite(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 's.sqlite'}", KeyRing([KEY]), clock=lambda: world.NOW)
    _answer(store, life_h=-1)
    with store.engine.connect() as connection:
        sealed = connection.execute(select(tables.explanations.c.payload)).scalar_one()
    piece = sealed[200:260]

    def holding() -> list[str]:
        return [file.name for file in tmp_path.iterdir() if piece in file.read_bytes()]

    assert holding()
    purge(store, DAY)
    assert holding() == []
    store.close()
