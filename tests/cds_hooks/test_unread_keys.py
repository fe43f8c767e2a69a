"""Low risk is silent only where the chart was read: an unread laboratory is not a normal one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from cds_hooks.parts import parts_of
from cds_hooks.settings import Settings
from fhir_adapters.datasets.sample_patients import sample_charts
from model.predictor import Predictor, load_predictor
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service

URL = "/cds-services/meam-risk"
LOCAL = {"coding": [{"system": "https://lab.example/codes", "code": "X1"}]}
LINE = "laboratory results: none of the 3 items could be read; the estimate does without them"
Spoil = Callable[[dict[str, Any]], dict[str, Any]]


def _in_furlongs(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "valueQuantity": {"value": 9, "unit": "furlong", "code": "furlong"}}


def _under_local_codes(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "code": LOCAL}


def _of_nobody(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "subject": {"display": "the patient"}}


def _of_tomorrow(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "effectiveDateTime": world.hours_before(-24)}


SPOILT = [_in_furlongs, _under_local_codes, _of_nobody, _of_tomorrow]


def _cards(client: FlaskClient, laboratory: list[dict[str, Any]]) -> list[dict[str, Any]]:
    prefetch = {**world.calm_prefetch(), "laboratory": world.bundle(laboratory)}
    response = client.post(URL, json=world.hook_request(prefetch))
    assert response.status_code == 200, response.get_data()
    cards: list[dict[str, Any]] = response.json["cards"]
    return cards


@pytest.mark.parametrize("spoil", SPOILT)
def test_low_risk_without_a_readable_laboratory_is_a_card(
    client: FlaskClient, spoil: Spoil
) -> None:
    assert _cards(client, []) == []
    (card,) = _cards(client, [spoil(one) for one in world.laboratory()])
    assert card["indicator"] == "info"
    assert LINE in card["detail"]


def test_a_site_may_be_silent_all_the_same(service: Service) -> None:
    client = service(quiet_despite_missing=("laboratory",))
    assert _cards(client, [_under_local_codes(one) for one in world.laboratory()]) == []


def test_results_that_the_model_does_not_use_are_no_gap(client: FlaskClient) -> None:
    dipstick = world.observation("dip", "5802-4", 1, "1", 3, "laboratory")
    assert _cards(client, [dipstick]) == []


def test_it_is_counted(client: FlaskClient) -> None:
    _cards(client, [_under_local_codes(one) for one in world.laboratory()])
    page = parts_of(client.application).figures.page().decode()
    assert 'key="laboratory",reason="unread"} 1.0' in page


def test_a_result_timed_by_a_clock_ahead_of_ours_counts(client: FlaskClient) -> None:
    grave = world.observation("lac", "2524-7", 9.0, "mmol/L", -1 / 60, "laboratory")
    (card,) = _cards(client, [grave])
    assert card["summary"].endswith("raised most by: Lactate.")
    assert "Lactate 9 mmol/L (2026-11-23 12:01 UTC, just now)" in card["detail"]
    assert "as of 2026-11-23 12:01 UTC" in card["detail"]


def test_a_result_of_the_future_does_not(client: FlaskClient) -> None:
    grave = world.observation("lac", "2524-7", 9.0, "mmol/L", -6 / 60, "laboratory")
    (card,) = _cards(client, [grave])
    assert "Lactate 9" not in card["detail"]
    assert "laboratory results: the only item that came could not be read" in card["detail"]
    assert "1 item of a later time" in card["detail"]


def _request_of_sample(name: str, spoil: Spoil) -> dict[str, Any]:
    """The hook for a sample patient: charted values and a sensor, the laboratory's are spoilt."""
    found: dict[str, list[Any]] = defaultdict(list)
    for one in sample_charts(world.NOW)[name].resources:
        laboratory = "laboratory" in str(one.get("category"))
        key = "laboratory" if laboratory else str(one["resourceType"])
        found[key].append(spoil(dict(one)) if laboratory and "valueQuantity" in one else one)
    request = world.hook_request(
        {
            **dict.fromkeys(world.full_prefetch()),
            "patient": found["Patient"][0],
            "encounter": world.bundle(found["Encounter"]),
            "vitalSigns": world.bundle(found["Observation"]),
            "laboratory": world.bundle(found["laboratory"]),
        }
    )
    request["context"] = {"userId": "Practitioner/d", "patientId": f"sample-{name}"}
    return request


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return load_predictor(Settings().checkpoint, threads=1)


@pytest.mark.parametrize("spoil", SPOILT)
def test_the_shipped_model_is_not_silent_about_it(
    service: Service, shipped: Predictor, spoil: Spoil
) -> None:
    """Without its laboratory the risk of this patient is low, and a glucose sensor is read."""
    client = service(use=shipped)
    request = _request_of_sample("ketoacidosis", spoil)
    (card,) = client.post(URL, json=request).json["cards"]
    assert "laboratory results: none of the 81 charted items could be read" in card["detail"]
