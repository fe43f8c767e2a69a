"""A RiskAssessment says the risk and its reasons, and no word of a note."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds_hooks.risk_assessment import risk_assessment
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord, ReportLine
from tests.cds_hooks import world

RISK_CODES = "http://terminology.hl7.org/CodeSystem/risk-probability"


@pytest.fixture
def record() -> PatientRecord:
    resources = [
        world.patient(),
        world.encounter(),
        *world.vital_signs(),
        *world.laboratory(),
        world.note("Mrs. Vogelsang looks septic. Denies chest pain."),
        *world.device_data(),
    ]
    return build_record(Chart(world.PATIENT, tuple(resources)), world.NOW)


def assessed(record: PatientRecord, **changes: Any) -> dict[str, Any]:
    resource = risk_assessment(record, *world.LinearPredictor(**changes)(record))
    RiskAssessment.model_validate(resource)
    return resource


def test_it_says_whom_when_and_by_which_model(record: PatientRecord) -> None:
    resource = assessed(record)
    assert resource["status"] == "final"
    assert resource["subject"] == {"reference": f"Patient/{world.PATIENT}"}
    assert resource["encounter"] == {"reference": "Encounter/enc-1"}
    assert resource["method"] == {"text": "linear-test 1"}
    assert resource["occurrenceDateTime"] == world.NOW.isoformat()
    assert "not a medical device" in resource["note"][-1]["text"]


def test_the_probability_is_a_percentage_as_r4_has_it(record: PatientRecord) -> None:
    (task,) = world.LinearPredictor()(record)[0].tasks
    (outcome,) = assessed(record)["prediction"]
    assert outcome["outcome"] == {"text": "in-hospital death"}
    assert outcome["probabilityDecimal"] == pytest.approx(100 * task.probability, rel=1e-3)
    assert f"{100 * task.probability:.0f} %" in outcome["rationale"]
    assert outcome["qualitativeRisk"] == {
        "text": "high, at 90% confidence",
        "coding": [{"system": RISK_CODES, "code": "high"}],
    }


def test_an_uncertain_estimate_has_no_code_of_a_certain_one(record: PatientRecord) -> None:
    prediction, explanation = world.LinearPredictor()(record)
    uncertain = replace(prediction.tasks[0], risk_group="uncertain")
    resource = risk_assessment(record, replace(prediction, tasks=(uncertain,)), explanation)
    risk = resource["prediction"][0]["qualitativeRisk"]
    assert risk == {"text": "uncertain, at 90% confidence"}


def test_reasons_name_values_times_and_sources(record: PatientRecord) -> None:
    rationale = assessed(record)["prediction"][0]["rationale"]
    assert "Lactate 4.1 mmol/L (2026-11-23 10:00 UTC) raises it [Observation/lac-2]" in rationale
    assert "Heart Rate 101 /min on average" in rationale
    assert "association, not cause" in rationale


def test_notes_are_named_and_not_quoted(record: PatientRecord) -> None:
    resource = assessed(record)
    assert "Vogelsang" not in json.dumps(resource)
    rationale = resource["prediction"][0]["rationale"]
    assert "a sentence of the Progress note of 2026-11-23 07:00 UTC raises it" in rationale
    assert {"reference": "DocumentReference/note-1"} in resource["basis"]


def test_the_basis_lists_each_source_once_the_strongest_first(record: PatientRecord) -> None:
    basis = [entry["reference"] for entry in assessed(record)["basis"]]
    assert basis[:2] == ["Observation/lac-2", "Observation/lac-1"]
    assert len(basis) == len(set(basis))
    assert "Observation/dev-0" in basis


def test_an_explanation_that_failed_its_check_gives_no_reasons(record: PatientRecord) -> None:
    rationale = assessed(record, reliable=False)["prediction"][0]["rationale"]
    assert rationale.endswith("Reasons are not given: the explanation did not pass its own check.")


def test_where_the_model_does_not_apply_there_is_no_risk() -> None:
    resources = (world.patient(birthDate="2020-01-01"), *world.laboratory())
    record = build_record(Chart(world.PATIENT, resources), world.NOW)
    resource = assessed(record)
    assert resource["status"] == "cancelled"
    assert "prediction" not in resource
    assert "basis" not in resource
    assert resource["note"][0]["text"] == "No estimate: The patient is younger than 18 years."


def test_what_is_incomplete_stands_in_the_notes(record: PatientRecord) -> None:
    lines = tuple(ReportLine("x", "missing", f"source {n} is missing") for n in range(9))
    resource = assessed(replace(record, report=replace(record.report, incomplete=lines)))
    notes = [note["text"] for note in resource["note"]]
    assert notes[0] == "source 0 is missing"
    assert "3 more limits." in notes


def test_the_same_prediction_has_the_same_id(record: PatientRecord) -> None:
    assert assessed(record)["id"] == assessed(record)["id"]
    other = replace(record, demographics=replace(record.demographics, source="Patient/2"))
    assert assessed(other)["id"] != assessed(record)["id"]
