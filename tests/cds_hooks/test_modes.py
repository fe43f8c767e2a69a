"""The operator's switch: active, shadow and off for each service, without a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.parts import parts_of
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service

URL = "/cds-services/meam-risk"


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    return tmp_path / "switch"


@pytest.fixture
def client(service: Service, switch: Path) -> FlaskClient:
    return service(kill_switch_file=switch)


def _call(client: FlaskClient) -> Any:
    return client.post(URL, json=world.hook_request())


def _changes(client: FlaskClient) -> list[dict[str, Any]]:
    with parts_of(client.application).store.engine.connect() as connection:
        lines = connection.execute(
            select(tables.audit.c.facts).where(tables.audit.c.event == "mode changed")
        )
        return [json.loads(facts) for (facts,) in lines]


def test_without_the_file_the_settings_hold(client: FlaskClient) -> None:
    assert len(_call(client).json["cards"]) == 1
    assert _changes(client) == []


@pytest.mark.parametrize("text", ["", "\n", 'meam-risk = "off"'])
def test_off_is_503_and_on_again_without_a_restart(
    client: FlaskClient, switch: Path, text: str
) -> None:
    switch.write_text(text)
    response = _call(client)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "switched off" in response.json["issue"][0]["details"]["text"]
    assert client.get("/readyz").status_code == 200
    assert client.get("/cds-services").status_code == 200
    switch.unlink()
    assert _call(client).status_code == 200


@pytest.mark.parametrize(
    "text", ["off", "meam-risk = 1", 'meam-risk = "on"', 'other = "off"', "a = [", "\x00"]
)
def test_a_switch_that_is_not_understood_is_off_and_says_so(
    client: FlaskClient, switch: Path, text: str
) -> None:
    switch.write_text(text)
    response = _call(client)
    assert response.status_code == 503
    assert "its switch file" in response.json["issue"][0]["diagnostics"]


def test_shadow_by_the_switch_stores_and_shows_nothing(client: FlaskClient, switch: Path) -> None:
    switch.write_text('meam-risk = "shadow"')
    assert _call(client).json == {"cards": []}
    switch.write_text('meam-risk = "active"')
    assert len(_call(client).json["cards"]) == 1
    with parts_of(client.application).store.engine.connect() as connection:
        shown = connection.execute(select(tables.cards.c.shown).order_by(tables.cards.c.shown))
        assert list(shown.scalars()) == [False, True]


def test_the_switch_wins_over_shadow_in_the_settings(service: Service, switch: Path) -> None:
    client = service(kill_switch_file=switch, mode="shadow")
    assert _call(client).json == {"cards": []}
    switch.write_text('meam-risk = "active"')
    assert len(_call(client).json["cards"]) == 1


def test_each_change_is_one_audit_line(client: FlaskClient, switch: Path) -> None:
    _call(client)
    switch.touch()
    _call(client)
    _call(client)
    switch.unlink()
    _call(client)
    service = {"service": "meam-risk"}
    assert _changes(client) == [
        {**service, "before": "active", "now": "off"},
        {**service, "before": "off", "now": "active"},
    ]


def test_shadow_counts_what_it_would_have_shown(service: Service) -> None:
    client = service(mode="shadow")
    assert _call(client).json == {"cards": []}
    page = client.get("/metrics").get_data(as_text=True)
    assert 'meam_cards_total{indicator="critical",service="meam-risk"} 1.0' in page
    assert 'meam_agreement_count{methods="attention, SHAP"} 1.0' in page
