"""A finding that a user has seen for a patient is not shown again, unless it grew."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.cool_down import Shown
from cds_hooks.parts import parts_of
from cds_hooks.settings import CoolDown
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service

URL = "/cds-services/meam-risk"


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = world.NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(service: Service, clock: Clock) -> FlaskClient:
    return service(clock=clock, cool_down=CoolDown(hours=8, risk_step=0.1))


def _prefetch(lactate: float) -> dict[str, Any]:
    return {**world.full_prefetch(), "laboratory": world.bundle(world.laboratory(lactate))}


def _cards(client: FlaskClient, lactate: float = 1.0, **members: Any) -> list[dict[str, Any]]:
    request = world.hook_request(_prefetch(lactate), **members)
    response = client.post(URL, json=request)
    assert response.status_code == 200, response.get_data()
    cards: list[dict[str, Any]] = response.json["cards"]
    return cards


def test_without_a_cool_down_every_card_is_shown(service: Service) -> None:
    client = service()
    assert [len(_cards(client)) for _ in range(3)] == [1, 1, 1]


def test_the_same_finding_is_shown_once(client: FlaskClient, clock: Clock) -> None:
    assert len(_cards(client)) == 1
    clock.now += timedelta(hours=2)
    assert _cards(client) == []


def test_after_the_cool_down_it_is_shown_again(client: FlaskClient, clock: Clock) -> None:
    _cards(client)
    clock.now += timedelta(hours=8, seconds=1)
    assert len(_cards(client)) == 1


def test_a_risk_that_rose_by_the_step_is_shown(client: FlaskClient) -> None:
    _cards(client)
    assert _cards(client, lactate=1.1) == []
    assert len(_cards(client, lactate=4.1)) == 1
    assert _cards(client, lactate=4.1) == []


def test_a_risk_that_fell_is_not_news(client: FlaskClient) -> None:
    _cards(client, lactate=4.1)
    assert _cards(client, lactate=1.0) == []


@pytest.mark.parametrize(
    "context",
    [
        {"userId": "Practitioner/doc-2", "patientId": world.PATIENT, "encounterId": "enc-1"},
        {"userId": "PractitionerRole/doc-1", "patientId": world.PATIENT, "encounterId": "enc-1"},
    ],
)
def test_another_user_has_not_seen_it(client: FlaskClient, context: dict[str, str]) -> None:
    _cards(client)
    assert len(_cards(client, context=context)) == 1


def test_another_patient_has_a_card_of_their_own(client: FlaskClient) -> None:
    _cards(client)
    other = json.loads(json.dumps(world.hook_request(_prefetch(1.0))).replace("pat-1", "pat-2"))
    assert len(client.post(URL, json=other).json["cards"]) == 1


def test_the_same_call_again_gets_its_card_again(client: FlaskClient) -> None:
    """A client that did not get the answer in time asks anew, under the same hookInstance."""
    instance = "4e0a3a1e-3283-4575-ab82-028d55fe2719"
    assert len(_cards(client, hookInstance=instance)) == 1
    assert len(_cards(client, hookInstance=instance)) == 1
    assert _cards(client) == []


def test_no_estimate_and_an_estimate_are_two_findings(client: FlaskClient) -> None:
    empty = {**world.calm_prefetch(), "vitalSigns": None, "bedside": None}
    none = world.hook_request(empty)
    assert len(client.post(URL, json=none).json["cards"]) == 1
    assert len(_cards(client)) == 1


def test_the_short_form_says_when_the_whole_card_was_shown(service: Service, clock: Clock) -> None:
    client = service(clock=clock, cool_down=CoolDown(hours=8, repeat="short"))
    (whole,) = _cards(client)
    clock.now += timedelta(minutes=20)
    (short,) = _cards(client)
    assert short["indicator"] == "info"
    assert short["summary"].endswith("as shown to you at 2026-11-23 12:00 UTC.")
    assert len(short["detail"]) < len(whole["detail"]) / 3
    assert "callers are not authenticated" in short["detail"]
    page = client.get(short["links"][0]["url"].removeprefix("http://127.0.0.1:5000"))
    assert page.status_code == 200


def test_what_was_held_back_is_counted_and_audited(client: FlaskClient) -> None:
    _cards(client)
    _cards(client)
    page = client.get("/metrics").get_data(as_text=True)
    assert "meam_cards_held_back_total 1.0" in page
    with parts_of(client.application).store.engine.connect() as connection:
        events = connection.execute(select(tables.audit.c.event)).scalars().all()
    assert events.count("card held back") == 1
    assert events.count("hook answered") == 2


def test_in_shadow_mode_nothing_counts_as_seen(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    client = service(clock=clock, kill_switch_file=switch, cool_down=CoolDown(hours=8))
    switch.write_text('meam-risk = "shadow"')
    assert _cards(client) == []
    switch.unlink()
    assert len(_cards(client)) == 1
    switch.write_text('meam-risk = "shadow"')
    _cards(client)
    with parts_of(client.application).store.engine.connect() as connection:
        assert len(connection.execute(select(tables.cards.c.card_uuid)).all()) == 3


def test_nothing_of_it_is_in_clear_text(client: FlaskClient, tmp_path: Path) -> None:
    _cards(client)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"doc-1" not in kept
    assert world.PATIENT.encode() not in kept
    with parts_of(client.application).store.engine.connect() as connection:
        (row,) = connection.execute(select(tables.shown_findings))
    assert b"critical" not in row.payload
    assert b"warning" not in row.payload


BEFORE = Shown(world.NOW, 0.40, "warning", "a")


@pytest.mark.parametrize(
    ("now", "covered"),
    [
        (Shown(world.NOW, 0.40, "warning", "b"), True),
        (Shown(world.NOW, 0.499, "warning", "b"), True),
        (Shown(world.NOW, 0.50, "warning", "b"), False),
        (Shown(world.NOW, 0.41, "critical", "b"), False),
        (Shown(world.NOW, 0.41, "info", "b"), True),
        (Shown(world.NOW, 0.40, "warning", "a"), False),
        (Shown(world.NOW, None, "info", "b"), False),
    ],
)
def test_what_a_card_covers(now: Shown, covered: bool) -> None:
    assert BEFORE.covers(now, 0.1) is covered
