"""Charts of three sizes, and of any, for the benchmarks: made from the sample physiology.

The same size, time and variant give the same chart. Vital signs and laboratory results are
charted at even distances over the stay; a wrist device gives five channels by the minute; every
note holds sentences of its own, so that copies are not what is measured.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from fhir_adapters.chart import Chart
from fhir_adapters.datasets.chart_writer import ChartWriter, instant
from fhir_adapters.datasets.sample_charting import DECIMALS
from fhir_adapters.datasets.sample_documents import CLINICAL_NOTE, NOTE_TYPES
from fhir_adapters.datasets.sample_physiology import Baseline, Physiology, simulate
from fhir_adapters.datasets.sample_wearable import write_wearable

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VITALS = (
    "heart_rate",
    "respiratory_rate",
    "oxygen_saturation",
    "systolic_blood_pressure",
    "diastolic_blood_pressure",
    "mean_blood_pressure",
    "body_temperature",
)
LABORATORY = (
    *("white_blood_cells", "hemoglobin", "platelets", "sodium", "potassium", "chloride"),
    *("bicarbonate", "blood_urea_nitrogen", "creatinine", "glucose", "lactate", "albumin"),
    *("arterial_ph", "arterial_carbon_dioxide_pressure", "bilirubin", "magnesium"),
)
SENTENCES_A_NOTE = 6
_SENTENCES = (
    "Overnight the patient remained on {n} litres of oxygen with crackles at both bases.",
    "Denies chest pain and abdominal pain at the {n}th round.",
    "Urine output was {n} mL since the last note, norepinephrine is running.",
    "Slow to answer, follows commands, capillary refill {n} seconds.",
    "Family was told about the plan in conversation {n}.",
    "Plan: repeat lactate, continue ceftriaxone, day {n} of the course.",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much a chart holds. ``device_hours`` of five channels by the minute."""

    name: str
    observations: int
    notes: int
    device_hours: int
    stay_hours: int


SMALL = Size("small", 30, 1, 0, 24)
TYPICAL = Size("typical", 300, 10, 24, 47)
LARGE = Size("large", 10_000, 200, 168, 168)
SIZES = {size.name: size for size in (SMALL, TYPICAL, LARGE)}


def chart_of(size: Size, *, now: datetime = NOW, variant: int = 0, words: str = "") -> Chart:
    """Return the chart. ``words`` stand in every sentence: other words are sentences not seen."""
    random = np.random.default_rng([2026, variant])
    patient_id = f"bench-{size.name}-{variant}"
    admission = now - timedelta(hours=size.stay_hours)
    physiology = _physiology(size.stay_hours, variant)
    writer = ChartWriter(patient_id, f"{patient_id}-stay")
    writer.patient(gender="female", birth_date="1953-09-01")
    writer.encounter(start=instant(admission), unit_type="Medical ICU")
    _observe(writer, physiology, admission, size.observations, random)
    if size.device_hours:
        worn_since = now - timedelta(hours=size.device_hours)
        write_wearable(writer, _last(physiology, size.device_hours), worn_since, random)
    writer.resources += [_note(writer, now, number, size, words) for number in range(size.notes)]
    return writer.chart()


def hook_body(chart: Chart, *, live: str = "") -> bytes:
    """Return a hook request with the whole chart; or, with ``live``, with its FHIR server."""
    body: dict[str, Any] = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {
            "userId": "Practitioner/bench",
            "patientId": chart.patient_id,
            "encounterId": chart.encounter_id or f"{chart.patient_id}-stay",
        },
    }
    if live:
        body["fhirServer"] = live
    else:
        body["prefetch"] = prefetch(chart)
    return json.dumps(body).encode()


def prefetch(chart: Chart) -> dict[str, Any]:
    """Return the chart by the keys of the service, as a client sends it."""
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for resource in chart.resources:
        by_type.setdefault(resource["resourceType"], []).append(resource)
    observations = by_type.get("Observation", [])
    devices = [one for one in observations if "device" in one]
    charted = [one for one in observations if "device" not in one]
    keys = {
        "vitalSigns": [one for one in charted if "vital-signs" in str(one["category"])],
        "laboratory": [one for one in charted if "laboratory" in str(one["category"])],
        "deviceData": devices,
        "notes": by_type.get("DocumentReference", []),
    }
    empty = ("reports", "bedside", "deviceData-procedure", "orders", "tasks")
    return {
        "patient": by_type["Patient"][0],
        "encounter": by_type["Encounter"][0],
        **{key: _bundle(found) for key, found in keys.items()},
        **{key: _bundle([]) for key in empty},
    }


def _bundle(resources: list[Mapping[str, Any]]) -> dict[str, Any]:
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


@lru_cache(maxsize=8)
def _physiology(hours: int, variant: int) -> Physiology:
    """A septic patient who gets worse; variants differ in how much."""
    worst = 0.7 + 0.02 * (variant % 5)
    course = {
        "inflammation": ((0.0, 0.3), (hours, worst)),
        "vasoplegia": ((0.0, 0.1), (hours, worst)),
        "renal_injury": ((0.0, 0.0), (hours, worst)),
        "lung_injury": ((0.0, 0.0), (hours, 0.3)),
        "encephalopathy": ((0.0, 0.0), (hours, 0.5)),
    }
    baseline = Baseline(weight_kg=74, height_cm=168)
    return simulate(baseline, course, hours=hours, admission_hour_of_day=13)


def _last(physiology: Physiology, hours: int) -> Physiology:
    count = hours * 60 + 1
    values = {name: series[-count:] for name, series in physiology.values.items()}
    minutes = np.arange(len(physiology.minutes[-count:]), dtype=np.float64)
    return Physiology(minutes, values, physiology.activity[-count:])


def _observe(
    writer: ChartWriter,
    physiology: Physiology,
    admission: datetime,
    count: int,
    random: np.random.Generator,
) -> None:
    """Chart ``count`` values: of three, two are vital signs and one is a laboratory result."""
    hours = np.linspace(0.2, float(physiology.minutes[-1]) / 60 - 0.2, count)
    for number, hour in enumerate(hours.tolist()):
        third, rest = divmod(number, 3)
        names, place = (LABORATORY, third) if rest == 2 else (VITALS, 2 * third + rest)
        variable = names[place % len(names)]
        value = physiology.at(variable, hour) * (1 + 0.01 * float(random.standard_normal()))
        time = instant(admission + timedelta(hours=hour))
        writer.observe(variable, round(value, DECIMALS.get(variable, 0)), time)


def _note(
    writer: ChartWriter, now: datetime, number: int, size: Size, words: str
) -> dict[str, Any]:
    first = number * SENTENCES_A_NOTE
    sentences = [_SENTENCES[place].format(n=first + place) for place in range(SENTENCES_A_NOTE)]
    if words:
        sentences = [f"{text[:-1]}, {words}." for text in sentences]
    written = now - timedelta(hours=min(size.stay_hours, 160) * (size.notes - number) / size.notes)
    data = base64.b64encode(" ".join(sentences).encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": f"{writer.patient_id}-note-{number}",
        "status": "current",
        "type": NOTE_TYPES["progress"],
        "category": [CLINICAL_NOTE],
        "subject": {"reference": f"Patient/{writer.patient_id}"},
        "date": instant(written),
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    }
