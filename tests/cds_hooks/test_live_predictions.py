"""Who has died, or has left, gets no estimate as if nothing had happened; the past is as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cds_hooks.cli import main
from cds_hooks.score_crew import scored
from cds_hooks.settings import Settings
from fhir_adapters.chart import Chart
from model.predictor import Predictor, load_predictor
from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.site_export import NOW, site_chart

URL = "/cds-services/meam-risk"
DIED = "The chart says that the patient has died."


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return load_predictor(Settings().checkpoint, threads=1)


def test_the_dead_get_no_estimate_and_no_next_steps(service: Service) -> None:
    client = service()
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    assert card["suggestions"]
    dead = {
        **world.full_prefetch(),
        "patient": world.patient(deceasedDateTime=world.hours_before(1)),
    }
    (card,) = client.post(URL, json=world.hook_request(dead)).json["cards"]
    assert card["summary"] == "No risk estimate: The patient has died."
    assert card["indicator"] == "info"
    assert "suggestions" not in card


def test_the_shipped_model_says_that_the_patient_has_died(
    service: Service, shipped: Predictor
) -> None:
    dead = {**world.full_prefetch(), "patient": world.patient(deceasedBoolean=True)}
    (card,) = service(use=shipped).post(URL, json=world.hook_request(dead)).json["cards"]
    assert card["summary"] == f"No risk estimate: {DIED}"


def test_a_finished_encounter_without_an_end_is_a_reservation(service: Service) -> None:
    client = service()
    over = {**world.full_prefetch(), "encounter": {**world.encounter(), "status": "finished"}}
    said = "of an encounter that has ended"
    details = [
        client.post(URL, json=world.hook_request(prefetch)).json["cards"][0]["detail"]
        for prefetch in (world.full_prefetch(), over)
    ]
    assert [said in detail for detail in details] == [False, True]


def changed(kind: str, **members: Any) -> Chart:
    """A patient of an export, with members of one kind of resource replaced."""
    chart = site_chart(0)
    resources = (
        {**one, **members} if one["resourceType"] == kind else one for one in chart.resources
    )
    return replace(chart, resources=tuple(resources))


def test_scoring_the_present_leaves_out_the_dead(shipped: Predictor) -> None:
    dead = changed("Patient", deceasedDateTime=(NOW - timedelta(hours=1)).isoformat())
    line = scored(dead, shipped, NOW, NOW)
    assert line["status"] == "cancelled"
    assert any(DIED in note["text"] for note in line["note"])


def test_scoring_the_past_does_not_know_who_died(shipped: Predictor) -> None:
    later = NOW + timedelta(days=30)
    today = changed("Patient", deceasedDateTime=NOW.date().isoformat())
    for dead in (today, changed("Patient", deceasedBoolean=True)):
        for moment in (NOW, "last"):
            assert scored(dead, shipped, moment, later) == scored(
                site_chart(0), shipped, moment, later
            )


def test_explain_speaks_of_the_present_unless_told_a_moment(tmp_path: Path) -> None:
    bundle = tmp_path / "chart.json"
    patient = world.patient(deceasedBoolean=True)
    bundle.write_text(json.dumps(world.bundle([patient, *world.laboratory()])), encoding="utf-8")
    at = world.NOW.isoformat().replace("+00:00", "+0000")
    codes = []
    for options in ((), ("--at", at)):
        result = CliRunner().invoke(main, ["explain", "--bundle", str(bundle), *options, "--json"])
        codes.append(json.loads(result.stdout)["prediction"]["applicability"]["codes"])
    assert ["deceased" in found for found in codes] == [True, False]
