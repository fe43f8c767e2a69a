"""Synthetic inpatients for demonstrations and tests, with vitals, labs, notes and wearables.

Everything is made here: the illnesses are written down in the ``sample_*`` modules, the numbers
follow from ``sample_physiology`` and a seed, and nothing is copied from a real chart. All times
count back from ``now``. The same ``now`` and seed give the same resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from fhir_adapters.chart import Chart
from fhir_adapters.datasets import (
    sample_delirium,
    sample_gi_bleeding,
    sample_heart_failure,
    sample_ketoacidosis,
    sample_observation,
    sample_postoperative,
    sample_respiratory_failure,
    sample_sepsis,
)
from fhir_adapters.datasets.chart_writer import ACT_CODE, ChartWriter, birth_date, instant
from fhir_adapters.datasets.sample_case import SampleCase
from fhir_adapters.datasets.sample_charting import Charting, Fact, QuotedFacts
from fhir_adapters.datasets.sample_documents import SampleDocuments
from fhir_adapters.datasets.sample_physiology import simulate
from fhir_adapters.datasets.sample_wearable import write_glucose_sensor, write_wearable

CASES: tuple[SampleCase, ...] = (
    sample_sepsis.CASE,
    sample_heart_failure.CASE,
    sample_respiratory_failure.CASE,
    sample_gi_bleeding.CASE,
    sample_postoperative.CASE,
    sample_observation.CASE,
    sample_ketoacidosis.CASE,
    sample_delirium.CASE,
)
DEFAULT_SEED = 2026
TEST_DATA = {
    "tag": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
            "code": "HTEST",
            "display": "test health data",
        }
    ]
}


def sample_charts(now: datetime, seed: int = DEFAULT_SEED) -> Mapping[str, Chart]:
    """Return the chart of each sample patient as it stands at ``now``, by name."""
    if now.tzinfo is None:
        raise ValueError("now must state its time zone")
    return {
        case.name: _chart(case, now, np.random.default_rng([seed, index]))
        for index, case in enumerate(CASES)
    }


def sample_bundles(now: datetime, seed: int = DEFAULT_SEED) -> Mapping[str, dict[str, Any]]:
    """Return a transaction Bundle of PUT entries for each sample patient, by name."""
    charts = sample_charts(now, seed)
    return {name: transaction(chart.resources) for name, chart in charts.items()}


def transaction(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a Bundle that puts resources on a FHIR server under their own ids."""
    entries = [
        {
            "resource": dict(resource),
            "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
        }
        for resource in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _chart(case: SampleCase, now: datetime, random: np.random.Generator) -> Chart:
    admission = now - timedelta(hours=case.hours)
    local = admission.hour + admission.minute / 60
    physiology = simulate(
        case.baseline,
        case.course,
        hours=case.hours,
        admission_hour_of_day=local,
        oxygen=case.oxygen,
        mobility=case.mobility,
    )
    patient_id = f"sample-{case.name}"
    writer = ChartWriter(patient_id, f"{patient_id}-stay")
    writer.resources += [_patient(case, patient_id, admission), _encounter(case, patient_id, now)]
    charting = Charting(case, physiology, writer, admission, random)
    charting.chart_all()
    write_wearable(writer, physiology, admission, random)
    if case.glucose_sensor:
        write_glucose_sensor(writer, physiology, admission, random)
    writer.resources += _documents(case, patient_id, admission, charting.facts)
    for resource in writer.resources:
        resource.setdefault("meta", TEST_DATA)
    return writer.chart()


def _patient(case: SampleCase, patient_id: str, admission: datetime) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": patient_id,
        "identifier": [{"system": "urn:meam:sample-patients", "value": case.name}],
        "active": True,
        "name": [{"use": "official", "family": case.family, "given": [case.given]}],
        "gender": case.gender,
        "birthDate": birth_date(admission, case.age_years),
    }


def _encounter(case: SampleCase, patient_id: str, now: datetime) -> dict[str, Any]:
    start = instant(now - timedelta(hours=case.hours))
    return {
        "resourceType": "Encounter",
        "id": f"{patient_id}-stay",
        "status": "in-progress",
        "class": {"system": ACT_CODE, "code": case.encounter_class},
        "subject": {"reference": f"Patient/{patient_id}"},
        "period": {"start": start},
        "reasonCode": [{"text": case.reason}],
        "location": [
            {
                "location": {"display": case.location},
                "status": "active",
                "period": {"start": start},
            }
        ],
    }


def _documents(
    case: SampleCase, patient_id: str, admission: datetime, facts: list[Fact]
) -> list[dict[str, Any]]:
    make = SampleDocuments(case, patient_id, admission)
    resources: list[dict[str, Any]] = []
    for number, note in enumerate(case.notes, start=1):
        text = note.text.format_map(QuotedFacts(facts, note.hours))
        resources += make.note(number, note, text)
    resources += [make.condition(n, d) for n, d in enumerate(case.diagnoses, start=1)]
    resources += [make.medication(n, text) for n, text in enumerate(case.medications, start=1)]
    resources += [make.order(n, order) for n, order in enumerate(case.orders, start=1)]
    return resources
