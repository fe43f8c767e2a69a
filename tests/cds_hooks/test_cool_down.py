"""A finding that a user has seen for a patient is not shown again, unless it grew."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select

from cds_hooks import tables
from cds_hooks.cool_down import Figure, Shown
from cds_hooks.parts import parts_of
from cds_hooks.settings import CoolDown
from model.record import PatientRecord
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


def test_a_fall_because_a_part_of_the_chart_is_gone_is_shown(client: FlaskClient) -> None:
    """An empty answer would read as relief: the laboratory could not be had."""
    failed = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "x"}]}

    def without_laboratory() -> list[dict[str, Any]]:
        request = world.hook_request({**_prefetch(4.1), "laboratory": failed})
        cards: list[dict[str, Any]] = client.post(URL, json=request).json["cards"]
        return cards

    assert len(_cards(client, lactate=4.1)) == 1
    (card,) = without_laboratory()
    assert "laboratory" in card["detail"]
    assert without_laboratory() == [], "now it was seen"


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


SEEN = {"death": Figure(0.40, "warning"), "sepsis": Figure(0.10, "info")}


@pytest.mark.parametrize(
    ("now", "covered"),
    [
        ({}, True),
        ({"death": Figure(0.499, "warning")}, True),
        ({"death": Figure(0.50, "warning")}, False),
        ({"death": Figure(0.41, "critical")}, False),
        ({"death": Figure(0.20, "info")}, True),
        ({"sepsis": Figure(0.19, "info")}, True),
        ({"sepsis": Figure(0.20, "info")}, False),
        ({"sepsis": Figure(0.11, "warning")}, False),
        ({"shock": Figure(0.01, "info")}, False),
    ],
)
def test_what_a_card_covers(now: dict[str, Figure], covered: bool) -> None:
    before = Shown(world.NOW, SEEN, "a")
    assert before.covers(Shown(world.NOW, {**SEEN, **now}, "b"), 0.1) is covered


def test_a_card_covers_neither_its_own_call_nor_an_answer_without_estimate() -> None:
    before = Shown(world.NOW, SEEN, "a")
    assert not before.covers(Shown(world.NOW, SEEN, "a"), 0.1)
    assert not before.covers(Shown(world.NOW, {}, "b"), 0.1)
    assert not Shown(world.NOW, {}, "a").covers(Shown(world.NOW, SEEN, "b"), 0.1)


class TwoTasks(world.LinearPredictor):
    """Says the probabilities that it is told to."""

    death, vasopressor = 0.62, 0.10

    def __call__(self, record: PatientRecord, *, deadline_s: float | None = None) -> Any:
        prediction, explanation = super().__call__(record, deadline_s=deadline_s)
        (task,) = prediction.tasks
        first = replace(task, probability=self.death, risk_group="low")
        second = replace(
            first, task="vasopressor", display="a vasopressor", probability=self.vasopressor
        )
        return replace(prediction, tasks=(first, second)), explanation


@pytest.fixture
def two() -> TwoTasks:
    return TwoTasks()


@pytest.fixture
def short(service: Service, clock: Clock, two: TwoTasks) -> FlaskClient:
    return service(use=two, clock=clock, cool_down=CoolDown(hours=8, risk_step=0.1, repeat="short"))


def test_a_risk_that_rose_beside_the_leading_one_is_shown(
    short: FlaskClient, two: TwoTasks
) -> None:
    (first,) = _cards(short)
    two.vasopressor = 0.90
    (again,) = _cards(short)
    assert (first["indicator"], again["indicator"]) == ("critical", "critical")
    assert "Estimated risk of a vasopressor: 90 %" in again["detail"]


def test_a_change_of_the_leading_task_alone_is_not_news(short: FlaskClient, two: TwoTasks) -> None:
    two.vasopressor = 0.28
    _cards(short)
    two.death = 0.05
    (again,) = _cards(short)
    assert again["summary"].startswith("Risk of a vasopressor: 28 %, as shown to you")


def test_the_short_form_says_what_fell(short: FlaskClient, two: TwoTasks) -> None:
    _cards(short)
    two.death = 0.20
    (card,) = _cards(short)
    assert card["summary"] == (
        "Risk of in-hospital death: now 20 %; 62 % as shown to you at 2026-11-23 12:00 UTC."
    )
    assert "not changed" not in card["detail"]
    assert "- Risk of in-hospital death: 20 % now, 62 % then\n" in card["detail"]


@pytest.mark.parametrize("death", [0.53, 0.62, 0.71])
def test_within_the_step_nothing_has_changed_by_much(
    short: FlaskClient, two: TwoTasks, death: float
) -> None:
    _cards(short)
    two.death = death
    (card,) = _cards(short)
    assert "has not changed by much since" in card["detail"]
    assert ("; 62 % as shown" in card["summary"]) is (death != 0.62)


def test_what_an_earlier_version_noted_counts_as_not_seen(client: FlaskClient) -> None:
    """It sealed one risk, under the name of its task."""
    store = parts_of(client.application).store
    columns = tables.shown_findings.c
    for finding in ("in_hospital_death", "no estimate"):
        key = ["", "", "Practitioner/doc-1", world.PATIENT, finding]
        name = store.fingerprint("cool-down", json.dumps(key).encode())
        payload = store.keys.encrypt(b'[0.9, "critical", "x"]', tables.place(columns.payload, name))
        row = {"fingerprint": name, "shown_s": world.NOW.timestamp(), "payload": payload}
        with store.engine.begin() as connection:
            connection.execute(insert(tables.shown_findings).values(row))
    assert len(_cards(client)) == 1
    empty = {**world.calm_prefetch(), "vitalSigns": None, "bedside": None}
    assert len(client.post(URL, json=world.hook_request(empty)).json["cards"]) == 1
