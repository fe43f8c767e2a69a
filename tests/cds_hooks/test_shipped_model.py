"""The service with the shipped checkpoint and the sample patients: nothing here is made up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cds_hooks.app import create_app
from cds_hooks.parts import parts_of
from cds_hooks.settings import development_settings
from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_patients import sample_charts
from tests.cds_hooks import world
from tests.cds_hooks.conftest import CheckedClient

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHARTS: Mapping[str, Chart] = sample_charts(NOW)
URL = "/cds-services/meam-risk"
BEDSIDE = {"survey", "exam", "therapy"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder: Path = tmp_path_factory.mktemp("service")
    settings = development_settings(
        folder,
        show_low_risk=True,
        deadline_ms=20_000,  # all notes are read, however busy the machine
        hard_limit_ms=60_000,
    )
    app = create_app(settings, clock=lambda: NOW)
    yield CheckedClient(app, app.response_class)
    parts_of(app).store.close()


def _categories(resource: Mapping[str, Any]) -> set[str]:
    concepts = resource.get("category", [])
    return {coding.get("code", "") for one in concepts for coding in one.get("coding", [])}


def prefetch_of(chart: Chart) -> dict[str, Any]:
    """Answer our own templates from a chart, as an EHR would."""

    def of(kind: str, categories: set[str]) -> dict[str, Any]:
        return world.bundle(
            [
                dict(one)
                for one in chart.resources
                if one["resourceType"] == kind and (not categories or _categories(one) & categories)
            ]
        )

    def only(kind: str) -> dict[str, Any]:
        return dict(next(one for one in chart.resources if one["resourceType"] == kind))

    return {
        "patient": only("Patient"),
        "encounter": only("Encounter"),
        "vitalSigns": of("Observation", {"vital-signs"}),
        "laboratory": of("Observation", {"laboratory"}),
        "notes": of("DocumentReference", set()),
        "reports": of("DiagnosticReport", set()),
        "bedside": of("Observation", BEDSIDE),
        "deviceData": of("Observation", {"activity"}),
        "deviceData-procedure": of("Observation", {"procedure"}),
    }


def _request(chart: Chart) -> dict[str, Any]:
    request = world.hook_request(prefetch_of(chart))
    request["context"].update(patientId=chart.patient_id, encounterId=chart.encounter_id)
    return request


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_each_sample_patient_gets_a_card_or_a_reason_why_not(
    client: FlaskClient, name: str
) -> None:
    chart = CHARTS[name]
    response = client.post(URL, json=_request(chart))
    assert response.status_code == 200, response.get_data()
    (card,) = response.json["cards"]
    assert len(card["summary"]) < 140
    assert "meam-risk" in card["detail"]
    known = {f"{one['resourceType']}/{one['id']}" for one in chart.resources}
    shown = [line for line in card["detail"].splitlines() if " – source: " in line]
    sources = [line.rpartition(" – source: ")[2].partition(" and ")[0] for line in shown]
    assert shown or card["summary"].startswith("No risk estimate")
    assert {source.replace("\\", "") for source in sources} <= known
    page = client.get(card["links"][0]["url"].removeprefix("http://127.0.0.1:5000"))
    assert page.status_code == 200


def test_the_shipped_model_is_deterministic(client: FlaskClient) -> None:
    request = _request(CHARTS["sepsis"])
    first, second = (client.post(URL, json=request).json["cards"][0]["detail"] for _ in range(2))
    assert first == second
